package mesh

import (
	"context"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// question is an open question to another hub.
type question struct {
	hub   string
	asked time.Time
	// answer is called once, without a lock. Its argument is nil if no reply arrives.
	answer func(*control)
}

// ask sends a question to another hub and calls answer once. If a reply arrives, the goroutine of receive calls answer
// before it processes the hub's later messages. If no reply arrives in time, answer gets nil, possibly on another
// goroutine.
func (c *cluster) ask(hub string, q control, answer func(*control)) {
	c.mu.Lock()
	if c.closed || len(c.asked) >= maxAsked || c.others[hub] == nil {
		c.mu.Unlock()
		answer(nil)
		return
	}
	c.rid++
	q.RID = c.rid
	c.asked[q.RID] = &question{hub: hub, asked: time.Now(), answer: answer}
	c.mu.Unlock()
	c.say(nameHub+hub, &q, func() {
		if q := c.take(q.RID, hub); q != nil {
			q.answer(nil)
		}
	})
}

// take removes and returns an open question to a hub, or returns nil.
func (c *cluster) take(rid uint64, hub string) *question {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := c.asked[rid]
	if q == nil || q.hub != hub {
		return nil
	}
	delete(c.asked, rid)
	return q
}

// verdict asks all other hubs about a node. It returns the first reply of a hub that has the node, or nil.
func (c *cluster) verdict(ctx context.Context, q control) *Explanation {
	hubs := c.hubs()
	answers := make(chan *control, len(hubs))
	for _, id := range hubs {
		c.ask(id, q, func(a *control) { answers <- a })
	}
	for range hubs {
		select {
		case a := <-answers:
			if a != nil && a.Verdict != nil {
				return a.Verdict
			}
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// answer returns the reply to another hub's question.
func (c *cluster) answer(q *control) *control {
	h, a := c.hub, new(control)
	switch q.Kind {
	case askSync:
		// Events that a peer of this hub has received must be published before the reply. The peer may be moving from
		// the asking hub to this one. Then it has dropped those events on its new connection, and must still receive
		// them from the asking hub.
		h.busy.Quiesce()
	case askNodes:
		h.roster.mu.Lock()
		defer h.roster.mu.Unlock()
		var page wire.NodesReply
		a.Next = h.page(max(0, q.After), max(1, min(q.Limit, maxPage)), q.Lower(), taker(&page))
		a.Nodes = page.Nodes
	case askGroups:
		a.Groups, a.Count = h.groups()
	case askExplain:
		if p, err := h.lookup(q.To); err == nil {
			rule, match := h.decide(q.From, q.Rule, p, q.Event)
			a.Verdict = &Explanation{Delivered: rule == protocol.RuleListens, Rule: rule, Match: match}
		}
	case askEmitter:
		if p, err := h.lookup(q.From); err == nil {
			a.Verdict = &Explanation{Rule: h.mayEmit(p, q.Event)}
		}
	}
	return a
}

func (c *cluster) receiveAnswer(from string, a *control) {
	c.mu.Lock()
	if c.round != nil && c.round.rid == a.RID {
		c.answered(from)
		c.mu.Unlock()
		return
	}
	c.mu.Unlock()
	if q := c.take(a.RID, from); q != nil {
		q.answer(a)
	}
}
