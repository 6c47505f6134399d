package hub

import (
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// The methods in this file are for the cluster: see cluster.Hub.

// Count returns the number of nodes, including the hub.
func (h *Hub) Count() int { return h.roster.count() }

// Quiesce waits until the events that the hub was routing at the time of the call are in the queues of the peers, and
// published.
func (h *Hub) Quiesce() { h.inflight.Quiesce() }

// Supersede ends the peers whose nodes have newer connections at another hub.
func (h *Hub) Supersede(conns map[string]uint64, expect func(id string, conn uint64)) (newer map[string]uint64) {
	var older []*peer
	for id, conn := range conns {
		gone, newest := h.roster.supersedeAt(id, conn)
		older = append(older, gone...)
		if newest == 0 {
			expect(id, conn)
			continue
		}
		if newer == nil {
			newer = make(map[string]uint64)
		}
		newer[id] = newest
	}
	h.endSuperseded(older)
	return newer
}

// Page returns a page of the hub's nodes as JSON, and the start of the next page; 0 after the last one.
func (h *Hub) Page(after, limit int, find wire.NodeFilter) (nodes []json.RawMessage, next int) {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	var page wire.NodesReply
	next = h.page(max(0, after), max(1, min(limit, maxPage)), find.Lower(), taker(&page))
	return page.Nodes, next
}

// Groups returns the groups of the hub's nodes, and the number of the other nodes.
func (h *Hub) Groups() (groups []wire.NodeGroup, ungrouped int) { return h.groups() }

// ExplainOwn reports whether a node of this hub receives an event; ok is false if the hub has no such node.
func (h *Hub) ExplainOwn(from, to, event string, refused protocol.Rule) (e protocol.Explanation, ok bool) {
	p, err := h.lookup(to)
	if err != nil {
		return e, false
	}
	rule, match := h.explainFor(from, refused, p, event)
	return protocol.Explanation{Delivered: rule == protocol.RuleListens, Rule: rule, Match: match}, true
}

// MayEmitOwn returns the rule that stops a node of this hub from emitting an event; ok is false if the hub has no such
// node.
func (h *Hub) MayEmitOwn(from, event string) (refused protocol.Rule, ok bool) {
	p, err := h.lookup(from)
	if err != nil {
		return "", false
	}
	return h.whyNotEmit(p, event), true
}
