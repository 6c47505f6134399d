package mesh

import (
	"cmp"
	"context"
)

// Shutdown waits until the node can end without loss, and then closes the node as Close does. If ctx ends first,
// Shutdown closes the node all the same and returns the cause of ctx.
//
// A hub with other hubs in its mesh, see Options.Backplane, first asks its peers of this package to move to another hub
// without loss. From then on the hub rejects new peers, and Ready returns an error. It serves each existing peer until
// that peer has moved. A client with only one address dials it again, where a load balancer may lead to another hub. At
// the end the hub closes all other peers, as Close does. A hub that is alone closes at once, because its peers have no
// other hub.
//
// Shutdown of a client waits as Flush does, and returns the errors of Flush. Like Close, Shutdown does not wait for the
// callback that is running.
func (n *Node) Shutdown(ctx context.Context) error {
	var err error
	if !n.closed.Load() {
		err = n.drain(ctx)
	}
	_ = n.Close()
	return err
}

// drain returns when closing the node loses nothing.
func (n *Node) drain(ctx context.Context) (err error) {
	if n.uplink != nil {
		err = n.Flush(ctx)
	}
	if h := n.hub(); h != nil {
		err = cmp.Or(h.Drain(ctx), err) // an earlier loss does not affect the hub's clients
	}
	return err
}
