package hub

import (
	"context"
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Explain reports whether the node with the ID to receives an event from the node with the ID from, and by which rule.
// An empty from is any other node. The error is fault.ErrUnknownNode if no hub that replies has one of the nodes.
func (h *Hub) Explain(ctx context.Context, from, to, event string) (protocol.Explanation, error) {
	var refused protocol.Rule // the rule that stops the emitter
	if from != "" {
		if emitter, err := h.lookup(from); err == nil {
			refused = h.whyNotEmit(emitter, event)
		} else if rule, ok := h.others.AskEmit(ctx, from, event); ok {
			refused = rule
		} else {
			return protocol.Explanation{}, err
		}
	}
	listener, err := h.lookup(to)
	if err == nil {
		rule, match := h.explainFor(from, refused, listener, event)
		return protocol.Explanation{Delivered: rule == protocol.RuleListens, Rule: rule, Match: match}, nil
	}
	if e, ok := h.others.AskExplain(ctx, from, to, event, refused); ok {
		return e, nil
	}
	return protocol.Explanation{}, err
}

// whyNotEmit returns the rule that stops a peer from emitting an event, or "". A nil p is the hub itself.
func (h *Hub) whyNotEmit(p *peer, event string) protocol.Rule {
	switch {
	case p == nil:
		return ""
	case !h.admits(p):
		return protocol.RuleMuted
	case protocol.Relayed(event) && !p.may(Emit, event):
		return protocol.RuleMayNotEmit
	}
	return ""
}

// lookup returns the peer with an ID, or nil for the hub's own ID.
func (h *Hub) lookup(id string) (*peer, error) {
	if id == h.conf.ID {
		return nil, nil
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if p := h.roster.ids[id]; p != nil {
		return p, nil
	}
	return nil, fault.ErrUnknownNode
}

// explainFor applies the rules to an event for p, or for the hub itself if p is nil. An empty from is an unknown
// emitter. refused is the result of whyNotEmit for from.
func (h *Hub) explainFor(from string, refused protocol.Rule, p *peer, event string) (rule protocol.Rule, match string) {
	if !protocol.Relayed(event) {
		return protocol.RuleReserved, ""
	}
	if refused == protocol.RuleMuted || p == nil && refused != "" {
		return refused, ""
	}
	if p == nil {
		if match = wire.Matching(h.conf.Local.Interests(), event); match == "" {
			return protocol.RuleNoListener, ""
		}
		return protocol.RuleListens, match
	}
	h.roster.mu.Lock()
	admitted, interests, table, badTable := p.admitted, p.interests, p.table, p.badTable
	h.roster.mu.Unlock()
	switch {
	case !admitted:
		return protocol.RuleMuted, ""
	case from == p.id:
		return protocol.RuleSender, ""
	case refused != "":
		return refused, ""
	}
	if match = wire.Matching(interests, event); match == "" {
		switch {
		case optedOutByTable(table, event):
			return protocol.RuleNotRemote, ""
		case badTable:
			return protocol.RuleBadTable, ""
		}
		return protocol.RuleNoListener, ""
	}
	e := emissionOf(event, from).matchedBy(match != event)
	switch v := p.decide(&e); {
	case v == optedOut:
		return v.rule(), ""
	case v != deliver:
		return v.rule(), match
	case p.slow.Load() || p.sock.Context().Err() != nil:
		return protocol.RuleSlow, match
	}
	return protocol.RuleListens, match
}

func (h *Hub) admits(p *peer) bool {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	return p.admitted
}

// optedOutByTable reports whether a table says that an event must not be sent. It answers for names that are not in the
// index.
func optedOutByTable(raw []byte, event string) bool {
	table, err := protocol.ParseEventTable(raw)
	if err != nil {
		return false // a table with an error is not in force
	}
	for _, key := range []string{event, wire.TablePrefix + event} {
		if remote, ok := table[key]; ok && !remote {
			return true
		}
	}
	return false
}

func (p *peer) answerExplain(ctx context.Context, payload json.RawMessage) {
	var q wire.ExplainQuery
	if !p.admitQuery(ctx, protocol.NameExplain, payload, &q, &q.RID) {
		return
	}
	if max(len(q.To), len(q.From)) > protocol.MaxID || len(q.Event) > protocol.MaxName {
		p.rejectQuery(protocol.NameExplain, q.RID)
		return
	}
	if protocol.Relayed(q.Event) && !p.may(Listen, q.Event) && !p.may(Emit, q.Event) {
		p.denyQuery(protocol.NameExplain, q.RID)
		return
	}
	if to, err := p.hub.lookup(q.To); err == nil && to != nil {
		p.hub.roster.mu.Lock()
		p.chargeQuery(len(to.table) / queryBytes)
		p.hub.roster.mu.Unlock()
	}
	e, err := p.hub.Explain(ctx, q.From, q.To, q.Event)
	if err != nil {
		p.fail(protocol.NameExplain, q.RID, wire.CodeUnknownNode, "no node with this ID is connected to the hub")
		return
	}
	p.reply(protocol.NameExplain, wire.ExplainReply{RID: q.RID, To: q.To, Event: q.Event, From: q.From, Explanation: e, Text: e.Rule.String()})
}
