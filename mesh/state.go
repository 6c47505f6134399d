package mesh

import (
	"errors"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/hub"
)

// Status is the connection status of a node.
type Status string

// The statuses of a node.
const (
	Connected    Status = "connected"
	Disconnected Status = "disconnected"
)

// State is a report of OnState: a connection was made or lost, or an attempt failed. A client that has moved from one
// hub to another reports only the new connection.
type State struct {
	Status Status
	// Role is RoleHub when this node has become the hub, which is the last report; otherwise RoleClient.
	Role Role
	// Hub is the hub that the client is connected to, or this node itself if it is the hub. Set only if Connected.
	Hub HubInfo
	// Err is the reason why the connection ended, or why the last attempt failed. It wraps an *engineio.CloseError,
	// *engineio.HandshakeError or *AuthError if there is one. Set only if Disconnected.
	Err error
	// Attempt is the number of failed attempts to reconnect since the connection was lost. Set only if Disconnected.
	Attempt int
	// Retry is the pause before the next attempt. Set only if Disconnected.
	Retry time.Duration
}

// HubInfo describes a hub.
type HubInfo struct {
	// Legacy is true for a hub of the original Node.js implementation, or for another hub that does not introduce itself.
	// The other fields are then empty.
	Legacy bool
	ID     string
	Name   string
}

// Ready reports whether clients should be sent to this node. It returns nil at a hub that serves, is not shutting down,
// and reaches the other hubs if Options.Backplane is set. At a client it returns nil while the client is connected. Use
// it for health checks. A hub that is not ready still serves its connected clients.
func (n *Node) Ready() error {
	if n.closed.Load() {
		return ErrClosed
	}
	h := n.hub()
	if h == nil {
		if _, ok := n.role().hubInfo(); !ok {
			return errNotConnected
		}
		return nil
	}
	if h.IsDraining() {
		return hub.ErrDraining
	}
	return h.OthersErr()
}

var errNotConnected = errors.New("mesh: not connected to a hub")
