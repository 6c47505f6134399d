package mesh

import (
	"context"
)

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
