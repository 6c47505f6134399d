package mesh

import (
	"context"
	"encoding/json"
)

// Nodes returns the nodes of the mesh: the hub, its peers, and after them each other hub that responds, with its peers.
// A client asks its hub. While it has no hub, it waits for one until ctx ends. A list of thousands of nodes takes
// several responses, so it may lack a node that joins or leaves meanwhile. The error is ErrNodeHub behind a Node.js
// hub, ErrNotPermitted if the hub's Options.Permit rejects the query, and ErrTooManyWatchers if this node has callbacks
// of OnPresence that the hub does not serve.
//
// In a callback, Nodes may block until ctx ends if the callback queue is full, because the response can be queued after
// the waiting events.
func (n *Node) Nodes(ctx context.Context) ([]NodeInfo, error) {
	if n.closed.Load() {
		return nil, ErrClosed
	}
	return n.link.nodes(ctx)
}

// The payloads of $mesh.nodes: the query and the response.
type (
	nodesQuestion struct {
		RID   json.RawMessage `json:"rid,omitempty"`
		After int64           `json:"after,omitempty"`
		Limit int             `json:"limit,omitempty"`
		Watch *bool           `json:"watch,omitempty"`
		nodeFilter
		// Groups asks for groups in place of nodes. A response has the groups of one hub.
		Groups bool `json:"groups,omitempty"`
	}
	nodesAnswer struct {
		RID   json.RawMessage   `json:"rid,omitempty"`
		You   string            `json:"you"` // the ID of the requesting peer
		Total int               `json:"total"`
		Nodes []json.RawMessage `json:"nodes"`
		Hubs  []NodeInfo        `json:"hubs,omitempty"` // the other hubs, on the first page
		Next  int64             `json:"next,omitempty"`

		Groups    []nodeGroup `json:"groups,omitempty"`
		Ungrouped int         `json:"ungrouped,omitempty"` // clients without a group
	}
)
