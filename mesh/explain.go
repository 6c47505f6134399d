package mesh

import (
	"context"
)

// Explain reports whether the node with the ID to would receive an event that some other node emits, and by which rule.
// A client asks its hub, as for Nodes. The error is ErrUnknownNode if no hub that replies has such a node, and
// ErrNotPermitted if this node may not ask, or may neither emit nor receive the event itself. A client of a Node.js hub
// can only ask about itself; otherwise the error is ErrLegacyHub.
func (n *Node) Explain(ctx context.Context, to, event string) (Explanation, error) {
	return n.ExplainFrom(ctx, "", to, event)
}

// ExplainFrom is like Explain, for an event that the node with the ID from emits.
func (n *Node) ExplainFrom(ctx context.Context, from, to, event string) (Explanation, error) {
	if n.closed.Load() {
		return Explanation{}, ErrClosed
	}
	var e Explanation
	err := n.retry(func(r role) (err error) {
		e, err = r.Explain(ctx, from, to, event)
		return err
	})
	return e, err
}
