package wire

import "github.com/bigcompany/mesh/protocol"

// Hello is the payload of $mesh.hello: a hub accepts the client's protocol.Hello.
type Hello struct {
	V    int    `json:"v"`
	ID   string `json:"id"` // the ID of the client, which the hub made from the client's key
	Hub  string `json:"hub"`
	Name string `json:"name"` // the name of the hub
}

// Unauthorized is the payload of $mesh.unauthorized: the reason why the hub does not admit the client.
type Unauthorized struct {
	Message string `json:"message"`
}

// Unheard is the payload of $mesh.unheard: no node subscribes to the event with this RID.
type Unheard struct {
	RID string `json:"rid"`
}

// Refused is the payload of $mesh.refused: the last rejected event, and the number of rejected events since the last
// report. A report about an event table has a message instead of an event.
type Refused struct {
	Rule    protocol.Rule `json:"rule"`
	Event   string        `json:"event,omitempty"`
	Count   int           `json:"count"`
	Message string        `json:"message,omitempty"`
}

// Empty is the payload of $mesh.move, $mesh.leaving and $mesh.left.
type Empty struct{}

// The rules by which a hub rejects messages of peers, besides protocol.RuleReserved, RuleMuted, RuleMayNotEmit and
// RuleBadTable. RuleRate is a rule of Refused. The others are in the hub's log only.
const (
	RuleMalformed protocol.Rule = "malformed"         // the message is not a valid packet, or the query is invalid
	RuleRate      protocol.Rule = "rate-limited"      // the peer sends more than Options.Rate permits
	RuleWatchers  protocol.Rule = "too-many-watchers" // 256 peers, or 64 of the same user, already watch joins and leaves
	RuleTooEarly  protocol.Rule = "too-early"         // the peer sent more than 64 KB before the hub admitted it
)
