package mesh

import (
	"errors"
	"time"
)

// Status tells whether a node has a hub.
type Status string

// The states of a node.
const (
	Connected    Status = "connected"
	Disconnected Status = "disconnected"
)

// State is what OnState reports: a connection made or lost, or an attempt that failed. A client that has moved from one hub
// to another reports the new connection only.
type State struct {
	Status Status
	// Role is Hub when this node has become the hub, which is the last state there is; otherwise Client.
	Role Role
	// Hub says which hub the client is connected to, or this node itself if it is the hub. Only if Connected.
	Hub HubInfo
	// Err says why the connection ended, or why the last attempt to make one failed; it wraps an
	// *engineio.CloseError, *engineio.HandshakeError or *AuthError where there is one. Only if Disconnected.
	Err error
	// Attempt counts the attempts to reconnect that failed since the connection was lost. Only if Disconnected.
	Attempt int
	// Retry is how long the client will wait before the next attempt. Only if Disconnected.
	Retry time.Duration
}

// HubInfo says what is known of a hub.
type HubInfo struct {
	// Node is true for a hub of the original Node.js implementation, or another that does not introduce itself.
	// The other fields are then empty.
	Node bool
	ID   string
	Name string
}

// Ready says whether clients should be sent to this node: nil at a hub that serves, is not shutting down, and reaches the
// other hubs if there is Options.Backplane. It is for health checks; a hub that is not ready serves the clients that it
// has. A client is ready while it has a hub.
func (n *Node) Ready() error {
	if n.closed.Load() {
		return ErrClosed
	}
	h := n.hub.Load()
	if h == nil {
		if _, ok := n.link.hubInfo(); !ok {
			return errNotConnected
		}
		return nil
	}
	if h.isDraining() {
		return errDraining
	}
	if h.cluster != nil {
		return h.cluster.member.Err()
	}
	return nil
}

var errNotConnected = errors.New("mesh: not connected to a hub")
