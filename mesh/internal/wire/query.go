package wire

import (
	"encoding/json"
	"strings"

	"github.com/bigcompany/mesh/protocol"
)

// Failure is the reply to a query that fails.
type Failure struct {
	RID     json.RawMessage `json:"rid,omitempty"`
	Error   string          `json:"error"` // one of the codes
	Message string          `json:"message"`
}

// The codes of Failure.Error.
const (
	CodeBadQuery     = "bad-question"
	CodeNotPermitted = "not-permitted"
	CodeUnknownNode  = "unknown-node"
	CodeTooMany      = "too-many-watchers"
	CodeUnanswered   = "unanswered"
)

// Sync is the payload of $mesh.sync, and of its reply.
type Sync struct {
	RID json.RawMessage `json:"rid,omitempty"`
}

// ExplainQuery is the payload of $mesh.explain: would the node To get Event from the node From?
type ExplainQuery struct {
	RID   json.RawMessage `json:"rid,omitempty"`
	To    string          `json:"to"`
	Event string          `json:"event"`
	From  string          `json:"from,omitempty"`
}

// ExplainReply is the reply to an ExplainQuery.
type ExplainReply struct {
	RID   json.RawMessage `json:"rid,omitempty"`
	To    string          `json:"to"`
	Event string          `json:"event"`
	From  string          `json:"from,omitempty"`
	protocol.Explanation
	Text string `json:"text"` // the sentence of the rule
}

// NodesQuery is the payload of $mesh.nodes.
type NodesQuery struct {
	RID   json.RawMessage `json:"rid,omitempty"`
	After int64           `json:"after,omitempty"` // where the page starts: 0, or Next of the last page
	Limit int             `json:"limit,omitempty"`
	Watch *bool           `json:"watch,omitempty"` // the client wants to know from now on of each join and leave, or no more
	NodeFilter
	// Groups asks for groups in place of nodes. A reply has the groups of one hub.
	Groups bool `json:"groups,omitempty"`
}

// NodesReply is the reply to a NodesQuery: one page of the list.
type NodesReply struct {
	RID   json.RawMessage     `json:"rid,omitempty"`
	You   string              `json:"you"` // the ID of the client
	Total int                 `json:"total"`
	Nodes []json.RawMessage   `json:"nodes"`          // each is a protocol.NodeInfo
	Hubs  []protocol.NodeInfo `json:"hubs,omitempty"` // the other hubs, on the first page
	Next  int64               `json:"next,omitempty"` // where the next page starts; 0 after the last page

	Groups    []NodeGroup `json:"groups,omitempty"`
	Ungrouped int         `json:"ungrouped,omitempty"` // clients without a group
}

// NodeFilter selects the nodes whose name contains a text or whose ID begins with it. If Exact is set, the whole name
// or ID must be the text. The comparison ignores case. An empty text selects all nodes.
type NodeFilter struct {
	Find  string `json:"find,omitempty"`
	Exact bool   `json:"exact,omitempty"`
}

// Lower returns the filter with its text in lower case.
func (f NodeFilter) Lower() NodeFilter { return NodeFilter{strings.ToLower(f.Find), f.Exact} }

// Selects reports whether the filter selects a node. The text of the filter must be in lower case.
func (f NodeFilter) Selects(id, name string) bool {
	switch {
	case f.Find == "":
		return true
	case f.Exact:
		return f.Find == id || strings.ToLower(name) == f.Find
	}
	return strings.HasPrefix(id, f.Find) || strings.Contains(strings.ToLower(name), f.Find)
}

// NodeGroup describes clients of one hub that are alike: they are of the same kind, and have the same subscriptions
// apart from numbers and IDs in the names.
type NodeGroup struct {
	Count int    `json:"count"`
	Hub   string `json:"hub"`
	ID    string `json:"id"` // of one of the clients
	// Name is the common prefix of their names.
	Name       string `json:"name,omitempty"`
	Revision   int    `json:"revision"`
	Negotiated bool   `json:"negotiated"`
	Browser    bool   `json:"browser,omitempty"`
	Muted      bool   `json:"muted,omitempty"`
	// Interests has # in place of numbers and IDs. protocol.NodeInfo describes its limits and More.
	Interests []string `json:"interests"`
	More      int      `json:"more,omitempty"`
}
