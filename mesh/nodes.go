package mesh

import (
	"context"
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Nodes returns the nodes of the mesh: the hub, its peers, and after them each other hub that responds, with its peers.
// A client asks its hub. While it has no hub, it waits for one until ctx ends. A list of thousands of nodes takes
// several responses, so it may lack a node that joins or leaves meanwhile. The error is ErrLegacyHub behind a Node.js
// hub, ErrNotPermitted if the hub's Options.Permit rejects the query, and ErrTooManyWatchers if this node has callbacks
// of OnPresence that the hub does not serve.
//
// In a callback, Nodes may block until ctx ends if the callback queue is full, because the response can be queued after
// the waiting events.
func (n *Node) Nodes(ctx context.Context) ([]NodeInfo, error) {
	if n.closed.Load() {
		return nil, ErrClosed
	}
	var all []NodeInfo
	err := n.retry(func(r role) (err error) {
		all, err = r.Nodes(ctx)
		return err
	})
	return all, err
}

// Role is the role of a node in its mesh: RoleHub or RoleClient.
type Role = protocol.Role

// The roles of a node.
const (
	RoleHub    = protocol.RoleHub
	RoleClient = protocol.RoleClient
)

// NodeInfo is a hub's description of a node: of each of its peers, and of itself.
type NodeInfo = protocol.NodeInfo

// Explanation reports whether a node would receive an event, and which rule decides that.
type Explanation = protocol.Explanation

// Rule is the rule by which a hub sends an event to a node or withholds it: protocol.RuleListens and so on.
type Rule = protocol.Rule

// ExplainQuery is a question for Explain: would the node To receive Event if the node From emitted it? To and From are
// IDs. An empty From is any other node.
type ExplainQuery struct{ From, To, Event string }

// Explain reports whether a node would receive an event, and which rule decides that. A client asks its hub, as for
// Nodes. The error is ErrUnknownNode if no hub that replies has one of the nodes, and ErrNotPermitted if this node may
// not ask, or may neither emit nor receive the event itself. A client of a Node.js hub can only ask whether it would
// receive the event of any other node; otherwise the error is ErrLegacyHub.
func (n *Node) Explain(ctx context.Context, q ExplainQuery) (Explanation, error) {
	if n.closed.Load() {
		return Explanation{}, ErrClosed
	}
	var e Explanation
	err := n.retry(func(r role) (err error) {
		e, err = r.Explain(ctx, q.From, q.To, q.Event)
		return err
	})
	return e, err
}

// Presence reports that a node has joined the mesh or left it.
type Presence struct {
	Joined bool // false if the node left
	Node   NodeInfo
}

// OnPresence calls fn when another node has joined the mesh or left it. A node joins twice if its connection broke and
// it is back before the hub noticed that. OnPresence does not report the nodes that are already there. To miss no node,
// call Nodes after OnPresence. A client receives no reports while it has no hub, see OnState. It receives none at all
// from a Node.js hub, or from a hub with 256 other watching peers, or with 64 of the same user. See On for off.
// OnPresence panics if fn is nil.
//
// When one of several hubs is lost, fn is called for that hub, and not for the nodes whose NodeInfo.Hub is its ID: they
// have left with it. When that hub is back, fn is called for the hub, which may have nodes already, and not for those
// nodes. Call Nodes again when a node joins whose Role is Hub.
func (n *Node) OnPresence(fn func(Presence)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	remove := n.observe(&n.onPresence, func(d delivery) {
		p := Presence{Joined: d.Name == protocol.NameJoin}
		if d.Decode(&p.Node) == nil {
			fn(p)
		}
	})
	n.role().WatchPresence()
	return func() {
		remove()
		n.role().WatchPresence()
	}
}

// noticeOf returns the task that reports a join or leave to OnPresence's listeners; false if there is no listener.
func (n *Node) noticeOf(event string, info json.RawMessage) (t task, ok bool) {
	listeners := n.onPresence.All()
	if len(listeners) == 0 {
		return t, false
	}
	return task{Event: delivery{Event: Event{Name: event, Payload: info}}, Listeners: listeners, Size: wire.Size(event, info)}, true
}
