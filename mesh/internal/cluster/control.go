package cluster

import (
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// The names under which hubs publish to each other.
const (
	subjectAll      = "$hubs"     // to all hubs
	subjectHub      = "$hub-"     // with an ID appended: to one hub
	subjectPresence = "$presence" // to the hubs that watch joins and leaves
)

// The kinds of messages between hubs. The first byte of a message is its kind.
const (
	frameEvents  = 'e' // a frame of events
	frameControl = 'c' // a control, as JSON
)

// control is every message between hubs other than events. A hub ignores JSON members that it does not know, so that
// hubs of different versions can share a mesh.
type control struct {
	Kind string `json:"kind"`
	RID  uint64 `json:"rid,omitempty"`

	Hub   *protocol.NodeInfo `json:"hub,omitempty"`   // of hello and here: the sender
	Count int                `json:"count,omitempty"` // the number of nodes at the sender
	// Claims is true if the sender claims nodes.
	Claims bool `json:"claims,omitempty"`

	// Of nodes: the start, the limit and the reply.
	After int               `json:"after,omitempty"`
	Limit int               `json:"limit,omitempty"`
	Nodes []json.RawMessage `json:"nodes,omitempty"`
	Next  int               `json:"next,omitempty"`
	wire.NodeFilter

	Groups []wire.NodeGroup `json:"groups,omitempty"` // of groups: the reply, where Count is the number of ungrouped nodes

	// Of explain and emitter: the question, the rule that is already known to stop the emitter, and the reply.
	From    string                `json:"from,omitempty"`
	To      string                `json:"to,omitempty"`
	Event   string                `json:"event,omitempty"`
	Rule    protocol.Rule         `json:"rule,omitempty"`
	Verdict *protocol.Explanation `json:"verdict,omitempty"`

	Node json.RawMessage `json:"node,omitempty"` // of join and leave: a protocol.NodeInfo

	// Of claims and sync: nodes that have reconnected, with the numbers of their connections. See claims.go.
	Conns map[string]uint64 `json:"conns,omitempty"`
}

// The kinds of control. A reply (kindReply) has the rid of its question.
const (
	kindHello   = "hello"   // the sender has joined; the receivers introduce themselves
	kindHere    = "here"    // the sender is alive
	kindBye     = "bye"     // the sender leaves
	kindSync    = "sync"    // have you processed all my earlier messages?
	kindNodes   = "nodes"   // which nodes do you have?
	kindGroups  = "groups"  // which groups of nodes do you have?
	kindExplain = "explain" // does your node To receive Event from From?
	kindEmitter = "emitter" // may your node From emit Event?
	kindJoin    = "join"    // a node has joined at the sender
	kindLeave   = "leave"   // a node has left the sender
	kindClaims  = "claims"  // these nodes have reconnected, and emit at the sender
	kindReply   = "answer"
)

// send publishes a control. A control that cannot be sent counts as lost on the way, and every question allows for
// that.
func (c *Cluster) send(name string, m *control, unheard func()) {
	body, err := json.Marshal(m)
	if err != nil {
		panic(err) // it holds only strings, numbers, times and checked JSON
	}
	if err := c.backplane.Publish(name, append([]byte{frameControl}, body...), unheard); err != nil {
		c.conf.Counters.HubsDropped.Add(1)
	}
}

func (c *Cluster) receiveControl(from string, m *control) {
	switch m.Kind {
	case kindHello:
		self := c.conf.Hub.Describe()
		c.send(subjectHub+from, &control{Kind: kindHere, Hub: &self, Count: c.conf.Hub.Count(), Claims: true}, nil)
	case kindHere: // meet has processed it
	case kindBye:
		c.lose(from, "closed")
	case kindClaims:
		c.receiveClaims(from, m.Conns)
	case kindSync, kindNodes, kindGroups, kindExplain, kindEmitter:
		if len(m.Conns) > 0 {
			c.receiveClaims(from, m.Conns)
			c.replyToClaims(from, m.RID)
			return
		}
		a := c.reply(m)
		a.Kind, a.RID = kindReply, m.RID
		c.send(subjectHub+from, a, nil)
	case kindReply:
		c.receiveReply(from, m)
	case kindJoin, kindLeave:
		var info protocol.NodeInfo
		if json.Unmarshal(m.Node, &info) != nil {
			c.conf.Counters.Malformed.Add(1)
			return
		}
		info.Hub = from
		event := protocol.NameJoin
		if m.Kind == kindLeave {
			event = protocol.NameLeave
		}
		c.conf.Hub.Presence(event, wire.EncodeInfo(info))
	default: // perhaps from a later version
	}
}
