package mesh

import "context"

// NodesWithin is Nodes of a client with another bound.
func NodesWithin(ctx context.Context, n *Node, limit int) ([]NodeInfo, error) {
	return n.link.(*client).nodesWithin(ctx, limit)
}
