package mesh

import (
	"context"
	"net"
)

// NodesWithin is Nodes of a client with another bound.
func NodesWithin(ctx context.Context, n *Node, limit int) ([]NodeInfo, error) {
	return n.link.(*client).nodesWithin(ctx, limit)
}

// ServeOn has a hub of NewHub serve a listener as its own.
func ServeOn(n *Node, l net.Listener) { n.hub.Load().serve([]net.Listener{l}) }

// DearSteps is the number of steps from which on an event is routed with others like it one at a time.
const DearSteps = dearSteps

// HoldDear has events that take many steps to route wait until release is called.
func HoldDear(n *Node) (release func()) {
	h := n.hub.Load()
	h.dear.Lock()
	return h.dear.Unlock
}
