package mesh

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/dispatch"
	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// On calls fn with each event whose name matches pattern, from every node, including this node. In a pattern `*`
// matches one part of a name, and `**` matches any number of parts, including zero. The parts are separated by `::`.
// The package documentation describes how callbacks run.
//
// off removes the listener. It does not wait: a call of fn that has begun continues, and no further call follows. In a
// callback of the same node, no other callback is running, so fn is not called after off. Elsewhere, call
// Node.WaitCallback after off to wait for the end of that call. off may be called more than once.
//
// On panics if fn is nil or if the pattern is not valid. Check a pattern from an external source with
// protocol.CheckListen first. On a closed node, On does nothing.
//
// A Node.js hub does not support patterns. A listener with a pattern then receives only the events that this node
// emits, and the node logs a warning.
func (n *Node) On(pattern string, fn func(Event)) (off func()) { return n.listen(pattern, 0, fn) }

// Once is like On, but the listener receives only the first event.
func (n *Node) Once(pattern string, fn func(Event)) (off func()) { return n.listen(pattern, 1, fn) }

// Many is like On, but the listener receives only the first times events. It panics if times is less than 1.
func (n *Node) Many(pattern string, times int, fn func(Event)) (off func()) {
	if times < 1 {
		panic("mesh: Many: times must be positive")
	}
	return n.listen(pattern, times, fn)
}

func (n *Node) listen(pattern string, times int, fn func(Event)) (off func()) {
	if err := protocol.CheckListen(pattern); err != nil {
		panic("mesh: " + err.Error())
	}
	l := listenerOf(pattern, fn)
	l.Left = times
	return n.add(l)
}

// OnAny calls fn with each event that this node itself emits, and with no event of another node, as onAny of the original
// does. To receive the events of all nodes, subscribe to the pattern `**` with On. See On for off. OnAny panics if fn is
// nil.
func (n *Node) OnAny(fn func(Event)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	return n.observe(&n.onAny, func(d delivery) { fn(d.Event) })
}

// OnState calls fn with the current state, and again with each new state: when a client loses its hub, when an attempt
// to reconnect fails, when the client is connected, and when the node has become the hub itself. The state of a hub is
// final: no further call follows it. See On for off, and Connected for waiting. OnState panics if fn is nil.
func (n *Node) OnState(fn func(State)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	reported := uint64(0) // the number of the last state; belongs to the goroutine of the callbacks
	n.states.mu.Lock()
	off = n.observe(&n.onState, func(d delivery) {
		if d.number > reported {
			reported = d.number
			fn(*d.state)
		}
	})
	now, number, all := n.states.last, n.states.number, n.onState.All()
	n.states.mu.Unlock()
	// All listeners get the state, and drop it if they have it. The task has no size, so that a callback may call this.
	n.callbacks.Commit(task{Event: delivery{state: &now, number: number}, Listeners: all})
	return off
}

// report logs a state and queues it for OnState's listeners.
func (n *Node) report(s State) {
	log := n.opts.Logger.With("addr", n.Addr())
	switch {
	case s.Role == RoleHub:
		log.Warn("mesh: the hub was gone: this node is the hub now")
	case s.Status == Connected:
		log.Info("mesh: connected", "legacy", s.Hub.Legacy, "hub", s.Hub.ID)
	default:
		level := slog.LevelWarn
		if s.Attempt > 0 {
			level = slog.LevelDebug // a hub can be away for days
		}
		log.Log(context.Background(), level, "mesh: no connection", "error", s.Err, "attempt", s.Attempt, "retry", s.Retry)
	}
	s.Retry = s.Retry.Round(time.Millisecond)
	number := n.states.set(s)
	if listeners := n.onState.All(); len(listeners) > 0 {
		n.callbacks.Push(task{Event: delivery{state: &s, number: number}, Listeners: listeners, Size: wire.Overhead})
	}
}

// delivery is the argument of a callback: an event, or a state for the listeners of OnState.
type delivery struct {
	Event
	state  *State
	number uint64 // of state
}

type (
	listener = dispatch.Listener[delivery]
	task     = dispatch.Task[delivery]
)

// WaitCallback waits until the callback that is running has returned. It returns nil at once if no callback is running.
// If ctx ends first, its error wraps the cause of ctx.
//
// After the off function of a listener, and after Close, it returns nil when no call of the listener, or of any
// listener, is running any more. In a callback, WaitCallback waits for that callback, until ctx ends.
func (n *Node) WaitCallback(ctx context.Context) error {
	if err := n.callbacks.WaitCall(ctx); err != nil {
		return fmt.Errorf("mesh: wait for a callback: %w", err)
	}
	return nil
}

// listenerOf returns a listener that passes its events to fn.
func listenerOf(pattern string, fn func(Event)) *listener {
	if fn == nil {
		panic("mesh: nil callback")
	}
	return &listener{Pattern: interest.Canonical(pattern), Call: func(d delivery) { fn(d.Event) }}
}

// add adds a listener of a pattern.
func (n *Node) add(l *listener) (off func()) {
	if n.closed.Load() {
		return func() {}
	}
	if n.listeners.AddInterest(l) {
		n.role().Announce()
		if info, ok := n.role().hubInfo(); ok && info.Legacy && protocol.IsPattern(l.Pattern) {
			n.warnOfPattern(l.Pattern)
		}
	}
	return func() {
		n.callbacks.Retire(l)
		n.forget(l)
	}
}

// forget removes a listener of a pattern.
func (n *Node) forget(l *listener) {
	if n.listeners.RemoveInterest(l) && !n.closed.Load() {
		n.role().Announce()
	}
}

func (n *Node) warnOfPattern(pattern string) {
	n.opts.Logger.Warn("mesh: the hub is a Node.js hub, which does not support patterns: only events of this node match", "pattern", pattern)
}

// observe adds a listener to the list of OnAny, OnState or OnPresence.
func (n *Node) observe(list *dispatch.Observers[delivery], call func(delivery)) (off func()) {
	l := &listener{Call: call}
	list.Add(l)
	return func() {
		n.callbacks.Retire(l)
		list.Remove(l)
	}
}

func (n *Node) warnOfSlowCallbacks(d delivery) {
	n.opts.Logger.Warn("mesh: callbacks are slow: reading from the connection pauses", "event", d.Name)
}
