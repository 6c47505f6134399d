package mesh

import (
	"context"
	"errors"
	"fmt"
	"sync"
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

// State is the connection of a node to its hub, after it was made or lost or after an attempt failed. A client that has
// moved from one hub to another reports only the new connection.
type State struct {
	Status Status
	// Role is RoleHub at the hub, and after this node has become the hub; otherwise RoleClient.
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

// states holds the current state of a node.
type states struct {
	mu      sync.Mutex
	last    State
	number  uint64        // counts the states
	changed chan struct{} // closed when there is a newer state; nil if no goroutine waits
}

// set makes s the current state and returns its number.
func (t *states) set(s State) (number uint64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = s
	t.number++
	if t.changed != nil {
		close(t.changed)
		t.changed = nil
	}
	return t.number
}

// get returns the current state, and a channel that is closed when there is a newer one.
func (t *states) get() (State, <-chan struct{}) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.changed == nil {
		t.changed = make(chan struct{})
	}
	return t.last, t.changed
}

// Connected returns nil when the node is connected to a hub, and at once if it is the hub. It returns ErrClosed if the
// node is closed first. If ctx ends first, the error wraps the cause of ctx.
//
// Start and Connect return a connected node. Connected is for the time after a loss, when Emit only queues events.
func (n *Node) Connected(ctx context.Context) error {
	for {
		s, changed := n.states.get()
		switch {
		case n.closed.Load():
			return ErrClosed
		case s.Status == Connected:
			return nil
		}
		select {
		case <-changed:
		case <-n.done:
			return ErrClosed
		case <-ctx.Done():
			return fmt.Errorf("mesh: wait for a hub: %w", context.Cause(ctx))
		}
	}
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
