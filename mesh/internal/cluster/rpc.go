package cluster

import (
	"context"
	"encoding/json"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// pendingCall is an open question to another hub.
type pendingCall struct {
	hub   string
	asked time.Time
	// reply is called once, without a lock. Its argument is nil if no reply arrives.
	reply func(*control)
}

// call sends a question to another hub and calls answer once. If a reply arrives, the goroutine that runs receive calls
// answer before it processes the hub's later messages. If no reply arrives in time, answer gets nil, possibly on
// another goroutine.
func (c *Cluster) call(hub string, q control, answer func(*control)) {
	c.mu.Lock()
	if c.closed || len(c.calls) >= maxCalls || c.others[hub] == nil {
		c.mu.Unlock()
		answer(nil)
		return
	}
	c.rid++
	q.RID = c.rid
	c.calls[q.RID] = &pendingCall{hub: hub, asked: time.Now(), reply: answer}
	c.mu.Unlock()
	c.send(subjectHub+hub, &q, func() {
		if q := c.take(q.RID, hub); q != nil {
			q.reply(nil)
		}
	})
}

// take removes and returns an open question to a hub, or returns nil.
func (c *Cluster) take(rid uint64, hub string) *pendingCall {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.calls[rid]
	if q == nil || q.hub != hub {
		return nil
	}
	delete(c.calls, rid)
	return q
}

// AskNodes asks another hub for a page of its nodes: see hub.Others.
func (c *Cluster) AskNodes(hub string, after, limit int, find wire.NodeFilter, reply func(nodes []json.RawMessage, next int, ok bool)) {
	c.call(hub, control{Kind: kindNodes, After: after, Limit: limit, NodeFilter: find}, func(a *control) {
		if a == nil {
			reply(nil, 0, false)
			return
		}
		reply(a.Nodes, a.Next, true)
	})
}

// AskGroups asks another hub for the groups of its nodes.
func (c *Cluster) AskGroups(hub string, reply func(groups []wire.NodeGroup, ungrouped int)) {
	c.call(hub, control{Kind: kindGroups}, func(a *control) {
		if a == nil {
			a = new(control)
		}
		reply(a.Groups, a.Count)
	})
}

// AskEmit asks the other hubs which rule stops a node of theirs from emitting an event.
func (c *Cluster) AskEmit(ctx context.Context, from, event string) (refused protocol.Rule, ok bool) {
	e, ok := c.askAny(ctx, control{Kind: kindEmitter, From: from, Event: event})
	return e.Rule, ok
}

// AskExplain asks the other hubs whether a node of theirs receives an event.
func (c *Cluster) AskExplain(ctx context.Context, from, to, event string, refused protocol.Rule) (e protocol.Explanation, ok bool) {
	return c.askAny(ctx, control{Kind: kindExplain, From: from, To: to, Event: event, Rule: refused})
}

// askAny asks all other hubs about a node. It returns the first reply of a hub that has the node.
func (c *Cluster) askAny(ctx context.Context, q control) (e protocol.Explanation, ok bool) {
	hubs := c.IDs()
	answers := make(chan *control, len(hubs))
	for _, id := range hubs {
		c.call(id, q, func(a *control) { answers <- a })
	}
	for range hubs {
		select {
		case a := <-answers:
			if a != nil && a.Verdict != nil {
				return *a.Verdict, true
			}
		case <-ctx.Done():
			return e, false
		}
	}
	return e, false
}

// reply returns the reply to another hub's question.
func (c *Cluster) reply(q *control) *control {
	h, a := c.conf.Hub, new(control)
	switch q.Kind {
	case kindSync:
		// Events that a peer of this hub has received must be published before the reply. The peer may be moving from
		// the asking hub to this one. Then it has dropped those events on its new connection, and must still receive
		// them from the asking hub.
		h.Quiesce()
	case kindNodes:
		a.Nodes, a.Next = h.Page(q.After, q.Limit, q.NodeFilter)
	case kindGroups:
		a.Groups, a.Count = h.Groups()
	case kindExplain:
		if e, ok := h.ExplainOwn(q.From, q.To, q.Event, q.Rule); ok {
			a.Verdict = &e
		}
	case kindEmitter:
		if rule, ok := h.MayEmitOwn(q.From, q.Event); ok {
			a.Verdict = &protocol.Explanation{Rule: rule}
		}
	}
	return a
}

func (c *Cluster) receiveReply(from string, a *control) {
	c.mu.Lock()
	if c.round != nil && c.round.rid == a.RID {
		c.confirm(from)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	if q := c.take(a.RID, from); q != nil {
		q.reply(a)
	}
}
