package mesh

import (
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

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
