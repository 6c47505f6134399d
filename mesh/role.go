package mesh

import (
	"context"
	"encoding/json"
	"errors"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/hub"
	"github.com/bigcompany/mesh/mesh/internal/uplink"
)

// role connects a node to the other nodes of the mesh. A node is one of three:
//
//	clientRole  a client of a hub
//	*takeover   a hub that was a client, and does not send the events of the client's queue yet
//	hubRole     a hub
//
// A role changes only from clientRole to *takeover, and from that to hubRole: see takeover.go.
type role interface {
	// Emit sends an event of this node to the other nodes. It does not block. For a request, rid is not empty: the node
	// must then learn if no node subscribes to the event.
	Emit(event string, payload json.RawMessage, rid string) error
	// Announce is called when the node's subscriptions have changed.
	Announce()
	// Flush returns when the other nodes have the events and subscriptions, or these can never reach them.
	Flush(ctx context.Context) error
	Sockets() []*engineio.Socket
	// hubInfo returns the hub of the node; false if there is no hub.
	hubInfo() (HubInfo, bool)
	Nodes(ctx context.Context) ([]NodeInfo, error)
	Explain(ctx context.Context, from, to, event string) (Explanation, error)
	// WatchPresence is called when OnPresence has got its first listener, or lost its last listener.
	WatchPresence()
	// asHub returns the hub that this node is; nil at a client.
	asHub() *hub.Hub
}

func (n *Node) role() role { return *n.current.Load() }

// hub returns the hub that this node is; nil at a client.
func (n *Node) hub() *hub.Hub { return n.role().asHub() }

func (n *Node) setRole(r role) { n.current.Store(&r) }

// retry calls fn with the node's role. If the role changes during the call, the uplink returns ErrRetired, and retry
// calls fn again with the new role.
func (n *Node) retry(fn func(role) error) error {
	for {
		if err := fn(n.role()); !errors.Is(err, uplink.ErrRetired) {
			return err
		}
	}
}

// sendOut sends an event of this node to the other nodes.
func (n *Node) sendOut(event string, payload json.RawMessage, rid string) error {
	for { // as retry, without a closure
		if err := n.role().Emit(event, payload, rid); !errors.Is(err, uplink.ErrRetired) {
			return err
		}
	}
}
