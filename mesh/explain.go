package mesh

import (
	"context"
	"encoding/json"

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
