package protocol

import "time"

// Role is the role of a node in its mesh.
type Role string

// The roles of a node.
const (
	RoleHub    Role = "hub"
	RoleClient Role = "client"
)

// NodeInfo is a hub's description of a node, in NameNodes, NameJoin and NameLeave. A hub describes itself and each of
// its peers, whether a peer is a node of this module or not. A page, a Node.js client and a stock Engine.IO client are
// nodes, too.
type NodeInfo struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"` // the name in the node's Hello
	Role Role   `json:"role"`
	// Hub is the ID of the hub that a client is connected to. A client that moves joins at the new hub before it leaves
	// the old hub.
	Hub string `json:"hub,omitempty"`
	// Addr is the address from which a client connected, or the address of a proxy in front of the hub. For a hub it is
	// the address of its listener, and empty without an own listener.
	Addr string `json:"addr,omitempty"`
	// Transport and Revision describe the client's current session: "polling", "websocket" or "webtransport", and the
	// revision of Engine.IO, 3 or 4. They are empty for a hub.
	Transport string `json:"transport,omitempty"`
	Revision  int    `json:"revision,omitempty"`
	// Negotiated is true for nodes of this module, and for all others that introduce themselves in the same way.
	Negotiated bool `json:"negotiated"`
	// Browser is true if the User-Agent of the client is that of a browser.
	Browser bool `json:"browser,omitempty"`
	// Muted is true for a peer that the hub has not admitted: it receives no events, and the hub drops its events.
	Muted bool `json:"muted,omitempty"`
	// Since is the time at which a client connected or a hub started. LastSeen is the time of a client's last packet or
	// heartbeat; for the hub itself it is the time of this description. Both use the clock of the hub, which may differ
	// from the clock of this machine.
	Since    time.Time `json:"since"`
	LastSeen time.Time `json:"lastSeen"`
	// Interests are the names and patterns that the node subscribes to, sorted: at most 32, of at most 2 KiB in total.
	// More is the number of omitted ones.
	Interests []string `json:"interests"`
	More      int      `json:"more,omitempty"`
}

// Explanation is a hub's answer to NameExplain: whether a node would receive an event, and which rule decides that.
type Explanation struct {
	Delivered bool `json:"delivered"` // true if Rule is RuleListens
	Rule      Rule `json:"rule"`
	// Match is the name or pattern by which the node subscribes to the event, if it does.
	Match string `json:"match,omitempty"`
}

// Rule is the rule by which a hub sends an event to a node, withholds it from the node, or rejects a message of a peer.
type Rule string

// The rules of an Explanation. If several rules withhold an event from a node, the first of them in this order applies.
const (
	RuleReserved     Rule = "reserved-name"  // the name is not for events: no node may emit it, and no hub relays it
	RuleMuted        Rule = "muted"          // the hub has not admitted the node or the emitter
	RuleSender       Rule = "sender"         // the node emitted the event itself
	RuleMayNotEmit   Rule = "may-not-emit"   // the hub's permissions keep the emitter from emitting it
	RuleNotRemote    Rule = "not-remote"     // the node's table says remote:false
	RuleBadTable     Rule = "bad-table"      // the hub rejected the node's event table, which is invalid or beyond a limit
	RuleNoListener   Rule = "no-listener"    // the node does not subscribe to it
	RuleLegacyHub    Rule = "legacy-hub"     // the node subscribes by a pattern only, and the hub is a Node.js hub
	RuleErrorName    Rule = "error-name"     // the name is error, and the node does not use the extensions
	RuleMayNotListen Rule = "may-not-listen" // the hub's permissions keep the node from receiving it
	RuleSlow         Rule = "slow"           // the node's queue was full, and the hub is closing the node
	RuleListens      Rule = "listens"        // the node receives the event, because it subscribes to it
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
	RuleLegacyHub:    "The node subscribes to this event only by a pattern, and its hub is a Node.js hub, which does not support patterns.",
	RuleErrorName:    "The name error has a special meaning in the original, so hubs send this event only to nodes that use the extensions.",
	RuleMayNotListen: "The hub's permissions keep the node from receiving this event.",
	RuleSlow:         "The node reads its events too slowly: its queue was full, and the hub is disconnecting it.",
	RuleListens:      "The node subscribes to this event, and no rule prevents its delivery.",
}
