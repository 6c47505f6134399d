package mesh

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/bigcompany/mesh/protocol"
)

// Rule is the rule by which a hub sends an event to a node, withholds it from the node, or rejects a message of a peer.
type Rule string

// The rules. If several rules withhold an event from a node, Explain reports the first of them in this order.
const (
	RuleReserved     Rule = "reserved-name"  // the name is not for events: no node may emit it, and no hub relays it
	RuleMuted        Rule = "muted"          // the hub has not admitted the node or the emitter
	RuleSender       Rule = "sender"         // the node emitted the event itself
	RuleMayNotEmit   Rule = "may-not-emit"   // Options.Permit does not let the emitter emit it
	RuleNotRemote    Rule = "not-remote"     // the node's table says remote:false
	RuleBadTable     Rule = "bad-table"      // the hub rejected the node's event table, which is invalid or beyond a limit
	RuleNoListener   Rule = "no-listener"    // the node does not subscribe to it
	RuleNodeHub      Rule = "node-hub"       // the node subscribes by a pattern only, and the hub is a Node.js hub
	RuleErrorName    Rule = "error-name"     // the name is error, and the node does not use the extensions
	RuleMayNotListen Rule = "may-not-listen" // Options.Permit does not let the node receive it
	RuleSlow         Rule = "slow"           // the node's queue was full, and the hub is closing the node
	RuleListens      Rule = "listens"        // the node receives the event, because it subscribes to it
)

// The rules by which a hub rejects messages of peers, besides RuleReserved, RuleMuted, RuleMayNotEmit and RuleBadTable.
const (
	RuleMalformed Rule = "malformed"         // the message is not a valid packet, or the question is invalid
	RuleRate      Rule = "rate-limited"      // the peer sends more than Options.Rate permits
	RuleWatchers  Rule = "too-many-watchers" // 256 peers, or 64 of the same user, already watch joins and leaves
	RuleTooEarly  Rule = "too-early"         // the peer sent more than 64 KB before the hub admitted it
)

// String returns a sentence that describes the rule.
func (r Rule) String() string {
	if s := ruleTexts[r]; s != "" {
		return s
	}
	return string(r)
}

var ruleTexts = map[Rule]string{
	RuleReserved:     "The name is reserved, a pattern or too long: no node may emit it, and no hub relays it.",
	RuleMuted:        "The hub has not admitted the node, or the emitter: such a node gets no events, and the hub drops its events.",
	RuleSender:       "A hub sends no event back to the node that emitted it; that node has already called its own listeners.",
	RuleMayNotEmit:   "The hub's permissions keep the emitter from emitting this event.",
	RuleNotRemote:    "The node has asked the hub never to send it this event: its table says remote:false.",
	RuleBadTable:     "The hub rejected the node's event table, which is invalid, or too long, or takes too many steps to search; the previous table stays in force.",
	RuleNoListener:   "The node subscribes neither to this event nor to a pattern that matches it.",
	RuleNodeHub:      "The node subscribes to this event only by a pattern, and its hub is a Node.js hub, which does not support patterns.",
	RuleErrorName:    "The name error has a special meaning in the original, so hubs send this event only to nodes that use the extensions.",
	RuleMayNotListen: "The hub's permissions keep the node from receiving this event.",
	RuleSlow:         "The node reads its events too slowly: its queue was full, and the hub is disconnecting it.",
	RuleListens:      "The node subscribes to this event, and no rule prevents its delivery.",

	RuleMalformed: "The peer sent an invalid packet or an invalid request.",
	RuleRate:      "The peer sends faster than the hub permits.",
}

// Explanation reports whether a node would receive an event, and which rule decides that.
type Explanation struct {
	Delivered bool `json:"delivered"` // true if Rule is RuleListens
	Rule      Rule `json:"rule"`
	// Match is the name or pattern by which the node subscribes to the event, if it does.
	Match string `json:"match,omitempty"`
}

// The payloads of $mesh.explain.
type (
	explainQuestion struct {
		RID   json.RawMessage `json:"rid,omitempty"`
		To    string          `json:"to"`
		Event string          `json:"event"`
		From  string          `json:"from,omitempty"`
	}
	explainAnswer struct {
		RID   json.RawMessage `json:"rid,omitempty"`
		To    string          `json:"to"`
		Event string          `json:"event"`
		From  string          `json:"from,omitempty"`
		Explanation
		Text string `json:"text"`
	}
)

// Explain reports whether the node with the ID to would receive an event that some other node emits, and by which rule.
// A client asks its hub, as for Nodes. The error is ErrUnknownNode if no hub that replies has such a node, and
// ErrNotPermitted if this node may not ask, or may neither emit nor receive the event itself. A client of a Node.js hub
// can only ask about itself; otherwise the error is ErrNodeHub.
func (n *Node) Explain(ctx context.Context, to, event string) (Explanation, error) {
	return n.ExplainFrom(ctx, "", to, event)
}

// ExplainFrom is like Explain, for an event that the node with the ID from emits.
func (n *Node) ExplainFrom(ctx context.Context, from, to, event string) (Explanation, error) {
	if n.closed.Load() {
		return Explanation{}, ErrClosed
	}
	return n.link.explain(ctx, from, to, event)
}

func (h *hub) explain(ctx context.Context, from, to, event string) (Explanation, error) {
	var refused Rule // the rule that stops the emitter
	if from != "" {
		if emitter, err := h.lookup(from); err == nil {
			refused = h.mayEmit(emitter, event)
		} else if v := h.cluster.verdict(ctx, control{Kind: askEmitter, From: from, Event: event}); v != nil {
			refused = v.Rule
		} else {
			return Explanation{}, err
		}
	}
	listener, err := h.lookup(to)
	if err == nil {
		rule, match := h.decide(from, refused, listener, event)
		return Explanation{Delivered: rule == RuleListens, Rule: rule, Match: match}, nil
	}
	if v := h.cluster.verdict(ctx, control{Kind: askExplain, From: from, To: to, Event: event, Rule: refused}); v != nil {
		return *v, nil
	}
	return Explanation{}, err
}

// mayEmit returns the rule that stops a peer from emitting an event, or "". A nil p is the hub itself.
func (h *hub) mayEmit(p *peer, event string) Rule {
	switch {
	case p == nil:
		return ""
	case !h.admits(p):
		return RuleMuted
	case protocol.Relayed(event) && !p.may(MayEmit, event):
		return RuleMayNotEmit
	}
	return ""
}

// lookup returns the peer with an ID, or nil for the hub's own ID.
func (h *hub) lookup(id string) (*peer, error) {
	if id == h.node.id {
		return nil, nil
	}
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	if p := h.roster.ids[id]; p != nil {
		return p, nil
	}
	return nil, ErrUnknownNode
}

// decide applies the rules to an event for p, or for the hub itself if p is nil. An empty from is an unknown emitter.
// refused is the result of mayEmit for from.
func (h *hub) decide(from string, refused Rule, p *peer, event string) (rule Rule, match string) {
	if !protocol.Relayed(event) {
		return RuleReserved, ""
	}
	if refused == RuleMuted || p == nil && refused != "" {
		return refused, ""
	}
	if p == nil {
		if match = matching(h.node.interests(), event); match == "" {
			return RuleNoListener, ""
		}
		return RuleListens, match
	}
	h.roster.mu.Lock()
	admitted, interests, table, badTable := p.admitted, p.interests, p.table, p.badTable
	h.roster.mu.Unlock()
	switch {
	case !admitted:
		return RuleMuted, ""
	case from == p.id:
		return RuleSender, ""
	case refused != "":
		return refused, ""
	}
	match = matching(interests, event)
	switch {
	case keepsFrom(table, event):
		return RuleNotRemote, ""
	case match == "" && badTable:
		return RuleBadTable, ""
	case match == "":
		return RuleNoListener, ""
	case event == protocol.NameError && !p.negotiated:
		return RuleErrorName, match
	case !p.may(MayListen, event):
		return RuleMayNotListen, match
	case p.slow.Load() || p.sock.Context().Err() != nil:
		return RuleSlow, match
	}
	return RuleListens, match
}

func (h *hub) admits(p *peer) bool {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	return p.admitted
}

// matching returns the name or pattern that matches an event, preferably the name itself; "" if there is no match.
func matching(interests []string, event string) string {
	match := ""
	for _, i := range interests {
		if i == event {
			return i
		}
		if match == "" && protocol.Match(i, event) {
			match = i
		}
	}
	return match
}

// keepsFrom reports whether a table says that an event must not be sent.
func keepsFrom(raw []byte, event string) bool {
	table, err := protocol.ParseEventTable(raw)
	if err != nil {
		return false // a table with an error is not in force
	}
	for _, key := range []string{event, tablePrefix + event} {
		if remote, ok := table[key]; ok && !remote {
			return true
		}
	}
	return false
}

func (p *peer) answerExplain(ctx context.Context, payload json.RawMessage) {
	var q explainQuestion
	if !p.asked(ctx, protocol.NameExplain, payload, &q, &q.RID) {
		return
	}
	if max(len(q.To), len(q.From)) > protocol.MaxID || len(q.Event) > protocol.MaxName {
		p.refuseQuestion(protocol.NameExplain, q.RID)
		return
	}
	if protocol.Relayed(q.Event) && !p.may(MayListen, q.Event) && !p.may(MayEmit, q.Event) {
		p.denyQuestion(protocol.NameExplain, q.RID)
		return
	}
	if to, err := p.hub.lookup(q.To); err == nil && to != nil {
		p.hub.roster.mu.Lock()
		p.charge(len(to.table) / questionBytes)
		p.hub.roster.mu.Unlock()
	}
	e, err := p.hub.explain(ctx, q.From, q.To, q.Event)
	if err != nil {
		p.reply(protocol.NameExplain, failure{q.RID, codeUnknownNode, "no node with this ID is connected to the hub"})
		return
	}
	p.reply(protocol.NameExplain, explainAnswer{q.RID, q.To, q.Event, q.From, e, e.Rule.String()})
}

func (c *client) explain(ctx context.Context, from, to, event string) (e Explanation, err error) {
	if info, ok := c.hubInfo(); ok && info.Node && to == c.node.id && from == "" {
		return c.explainSelf(event), nil
	}
	_, err = c.ask(ctx, protocol.NameExplain, func(rid json.RawMessage) any {
		return explainQuestion{RID: rid, To: to, Event: event, From: from}
	}, &e)
	switch {
	case errors.Is(err, errIsHub):
		return c.node.hub.Load().explain(ctx, from, to, event)
	case err != nil:
		return Explanation{}, unanswered(err)
	}
	return e, nil
}

// explainSelf applies the rules of a Node.js hub to an event for this node.
func (c *client) explainSelf(event string) Explanation {
	match := matching(c.node.interests(), event)
	rule := RuleListens
	switch {
	case !protocol.Relayed(event):
		rule, match = RuleReserved, ""
	case match == "":
		rule = RuleNoListener
	case match != event:
		rule = RuleNodeHub
	}
	return Explanation{Delivered: rule == RuleListens, Rule: rule, Match: match}
}
