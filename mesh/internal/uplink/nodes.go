package uplink

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// maxNodesBytes limits the total size of the responses for one list of nodes. A client need not trust its hub.
const maxNodesBytes = 32 << 20

var errManyNodes = errors.New("mesh: the hub reports too many nodes")

// Nodes asks the hub for the nodes of the mesh.
func (u *Uplink) Nodes(ctx context.Context) ([]protocol.NodeInfo, error) {
	return u.NodesWithin(ctx, maxNodesBytes)
}

// NodesWithin is like Nodes. It fails if the responses have more than limit bytes in total.
func (u *Uplink) NodesWithin(ctx context.Context, limit int) ([]protocol.NodeInfo, error) {
	var all []protocol.NodeInfo
	var asked *conn // the connection whose hub numbers the pages
	watch, size := u.watches(), 0
	for next, first := int64(0), true; first || next > 0; first = false {
		var a struct {
			Nodes json.RawMessage
			Next  int64
		}
		conn, err := u.ask(ctx, protocol.NameNodes, func(rid json.RawMessage) any {
			return wire.NodesQuery{RID: rid, After: next, Watch: watch}
		}, &a)
		if err == nil && next > 0 && conn != asked {
			return u.NodesWithin(ctx, limit) // another hub would continue a different list
		}
		asked = conn
		if err != nil {
			return nil, unanswered(err)
		}
		if size += len(a.Nodes); size > limit || a.Next != 0 && a.Next <= next {
			return nil, errManyNodes
		}
		next = a.Next
		var page []protocol.NodeInfo
		if err := json.Unmarshal(a.Nodes, &page); err != nil {
			return nil, unanswered(err)
		}
		all = append(all, page...)
	}
	return all, nil
}
