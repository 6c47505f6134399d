package dispatch

import "sync/atomic"

// Listener is a callback and its state.
type Listener[E any] struct {
	// Set before the listener is added, and never changed.
	Pattern string // canonical, see interest.Canonical; "" for an observer
	Group   *Group // nil for a listener that belongs to no group
	Call    func(E)

	// Left is the number of remaining calls; 0 means no limit. Guarded by the queue's mu once the listener is added.
	Left int
	off  bool // no further calls; guarded by the queue's mu

	seq uint64 // listeners of one event are called in the order in which they were added; guarded by the registry's mu
}

// Accepts reports whether a listener gets events of this origin. Only the listeners of a group depend on the origin.
func (l *Listener[E]) Accepts(from Origin) bool {
	return l.Group == nil || from == Called || from == Received && l.Group.Remote()
}

// Group is the listeners of one resource. They get the events of other nodes only while the group is remote.
type Group struct {
	remote        atomic.Bool    // changed with the registry's mu locked
	subscriptions map[string]int // the number of listeners by pattern; guarded by the registry's mu
}

// Remote reports whether the group is remote. A new group is not.
func (g *Group) Remote() bool { return g.remote.Load() }

// Origin is the way on which an event came to the node.
type Origin uint8

// The origins of an event.
const (
	Received Origin = iota // from another node
	Emitted                // by this node
	Called                 // by a call of a resource's method
)
