package mesh

import (
	"context"
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
