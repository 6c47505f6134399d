package mesh

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

func (c *client) Nodes(ctx context.Context) ([]NodeInfo, error) {
	return c.nodesWithin(ctx, maxNodesBytes)
}

func (c *client) nodesWithin(ctx context.Context, limit int) ([]NodeInfo, error) {
	var all []NodeInfo
	var asked *conn // the connection whose hub numbers the pages
	watch, size := c.watches(), 0
	for next, first := int64(0), true; first || next > 0; first = false {
		var a struct {
			Nodes json.RawMessage
			Next  int64
		}
		conn, err := c.ask(ctx, protocol.NameNodes, func(rid json.RawMessage) any {
			return wire.NodesQuery{RID: rid, After: next, Watch: watch}
		}, &a)
		if err == nil && next > 0 && conn != asked {
			return c.nodesWithin(ctx, limit) // another hub would continue a different list
		}
		asked = conn
		if err != nil {
			return nil, unanswered(err)
		}
		if size += len(a.Nodes); size > limit || a.Next != 0 && a.Next <= next {
			return nil, errManyNodes
		}
		next = a.Next
		var page []NodeInfo
		if err := json.Unmarshal(a.Nodes, &page); err != nil {
			return nil, unanswered(err)
		}
		all = append(all, page...)
	}
	return all, nil
}
