package hub

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Limits of a response to $mesh.nodes.
const (
	maxPage      = 256      // nodes in a response
	maxPageBytes = 48 << 10 // a response that has this size takes no more nodes
)

func (p *peer) answerNodes(ctx context.Context, payload json.RawMessage) {
	var q wire.NodesQuery
	if !p.admitQuery(ctx, protocol.NameNodes, payload, &q, &q.RID) {
		return
	}
	if len(q.Find) > protocol.MaxName {
		p.rejectQuery(protocol.NameNodes, q.RID)
		return
	}
	if q.Limit <= 0 {
		q.Limit = maxPage
	}
	find := q.Lower()
	q.After, q.Limit = max(0, q.After), min(q.Limit, maxPage)
	h, r := p.hub, &p.hub.roster
	a := wire.NodesReply{RID: q.RID, You: p.id, Nodes: []json.RawMessage{}}
	r.mu.Lock()
	if q.Watch != nil && !h.watchFor(p, *q.Watch) {
		r.mu.Unlock()
		p.reject(wire.RuleWatchers)
		p.fail(protocol.NameNodes, q.RID, wire.CodeTooMany, "too many nodes watch presence already, in total or of this user")
		return
	}
	a.Total = len(r.ids) + 1 + h.others.NodeCount()
	number, slot := cut(q.After)
	if q.Groups {
		r.mu.Unlock()
		p.answerGroups(a, number)
		return
	}
	if number > 0 {
		r.mu.Unlock()
		p.answerNodesOf(a, number, slot, q.Limit, find)
		return
	}
	if q.After == 0 && find.Find == "" {
		a.Hubs = h.others.Infos(maxPage)
	}
	next := h.page(int(q.After), q.Limit, find, taker(&a))
	a.Next = int64(next)
	if next == 0 {
		a.Next = h.firstPage(1)
	}
	p.chargeQuery(len(a.Nodes) / queryNodes)
	if find.Find != "" && r.ids[find.Find] == nil {
		p.chargeQuery(min(maxScan, len(r.slots)) / queryScan)
	}
	// Written with the roster locked, as tell does, so that no presence change comes between.
	ok := p.offer([]engineio.Message{wire.Control(protocol.NameNodes, a)})
	r.mu.Unlock()
	if !ok {
		p.overflow()
	}
}

// answerNodesOf responds with nodes of another hub: of the hub with the number, or of the next hub if that hub is gone.
// After the last hub, the response has no nodes.
func (p *peer) answerNodesOf(a wire.NodesReply, number, after, limit int, find wire.NodeFilter) {
	h := p.hub
	id, found := h.others.After(number)
	if found == 0 {
		p.reply(protocol.NameNodes, a)
		return
	}
	if found != number {
		after = 0
	}
	answered := make(chan struct{})
	// The goroutine that receives the other hub's messages writes the response, before a later presence change of that
	// hub.
	h.others.AskNodes(id, after, limit, find, func(nodes []json.RawMessage, next int, _ bool) {
		defer close(answered)
		a.Next = h.firstPage(found + 1)
		a.Nodes = append(a.Nodes, nodes...)
		if next > 0 {
			a.Next = cursor(found, next)
		}
		p.reply(protocol.NameNodes, a)
	})
	<-answered
	p.chargeQuery(limit / queryNodes)
}

// taker returns the function to which page passes each node of a reply.
func taker(a *wire.NodesReply) func(protocol.NodeInfo) (goesOn bool) {
	size := 0
	return func(info protocol.NodeInfo) bool {
		raw := protocol.AppendASCII(nil, wire.EncodeInfo(info)) // the size in the packet
		a.Nodes = append(a.Nodes, raw)
		size += len(raw)
		return size < maxPageBytes
	}
}

// A cursor is the start of a page of nodes: the number of another hub and a slot there. This hub's own number is 0.
func cursor(number, slot int) int64 { return int64(number)<<32 | int64(slot) }

func cut(cursor int64) (number, slot int) {
	return int(cursor >> 32 & (1<<20 - 1)), int(cursor & (1<<31 - 1))
}

// firstPage returns the cursor of the first other hub with at least this number; 0 if there is no such hub.
func (h *Hub) firstPage(number int) int64 {
	_, found := h.others.After(number)
	return cursor(found, 0)
}

// Nodes returns the hub, its peers, and each other hub that replies with its peers.
func (h *Hub) Nodes(ctx context.Context) ([]protocol.NodeInfo, error) {
	var all []protocol.NodeInfo
	for next, first := 0, true; first || next > 0; first = false {
		h.roster.mu.Lock() // locked for one page at a time
		next = h.page(next, maxPage, wire.NodeFilter{}, func(info protocol.NodeInfo) bool {
			all = append(all, info)
			return true
		})
		h.roster.mu.Unlock()
	}
	for _, id := range h.others.IDs() {
		all = append(all, h.nodesOf(ctx, id)...)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("mesh: nodes: %w", context.Cause(ctx))
	}
	return all, nil
}

// nodesOf returns the nodes of another hub, or a part of them if the hub stops responding.
func (h *Hub) nodesOf(ctx context.Context, id string) (all []protocol.NodeInfo) {
	type page struct {
		nodes []json.RawMessage
		next  int
		ok    bool
	}
	for next, first := 0, true; first || next > 0; first = false {
		pages := make(chan page, 1)
		h.others.AskNodes(id, next, maxPage, wire.NodeFilter{}, func(nodes []json.RawMessage, next int, ok bool) {
			pages <- page{nodes, next, ok}
		})
		var p page
		select {
		case p = <-pages:
		case <-ctx.Done():
		}
		if !p.ok {
			return all
		}
		for _, raw := range p.nodes {
			var info protocol.NodeInfo
			if json.Unmarshal(raw, &info) == nil {
				all = append(all, info)
			}
		}
		next = p.next
	}
	return all
}
