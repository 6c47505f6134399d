package mesh

import (
	"context"
	"fmt"

	"github.com/bigcompany/mesh/mesh/internal/dispatch"
	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/protocol"
)

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
