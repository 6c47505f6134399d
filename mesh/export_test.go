package mesh

import (
	"context"
	"net"
)

// NodesWithin is Nodes of a client, with the given limit.
func NodesWithin(ctx context.Context, n *Node, limit int) ([]NodeInfo, error) {
	return n.link.(*client).nodesWithin(ctx, limit)
}

// ServeOn makes a hub of NewHub serve a listener as its own.
func ServeOn(n *Node, l net.Listener) { n.hub.Load().serve([]net.Listener{l}) }

// DearSteps is a number of search steps. Above it, the hub routes only one batch of such events at a time.
const DearSteps = dearSteps

// HoldDear blocks the routing of events that take many steps until release is called.
func HoldDear(n *Node) (release func()) {
	h := n.hub.Load()
	h.dear.Lock()
	return h.dear.Unlock
}
