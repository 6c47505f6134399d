package mesh

import (
	"context"
	"net"
)

// NodesWithin is Nodes of a client, with the given limit.
func NodesWithin(ctx context.Context, n *Node, limit int) ([]NodeInfo, error) {
	return n.uplink.NodesWithin(ctx, limit)
}

// ServeOn makes a hub of NewHub serve a listener as its own.
func ServeOn(n *Node, l net.Listener) { n.hub().Serve([]net.Listener{l}) }
