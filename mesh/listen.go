package mesh

import (
	"time"

	"github.com/bigcompany/mesh/protocol"
)

// On calls fn with each event whose name matches pattern, whoever emitted it, this node included. In a pattern `*`
// stands for one part of a name and `**` for any number of parts, also none; parts are separated by `::`. See the
// package's comment on callbacks.
//
// off takes the listener off. After it has returned, fn is not running, and it is not called again; only when off is
// called by fn itself, or by what fn waits for, that call goes on. off may be called more than once. In a callback of
// the same node it never waits; elsewhere, do not call it with a lock held that fn wants.
//
// On panics if fn is nil or the pattern is none that can be heard: a pattern that comes from outside is to be checked
// with protocol.CheckListen first. On a closed node it does nothing.
//
// A Node hub knows no patterns: the listener then hears what this node emits, and nothing else, which is logged.
func (n *Node) On(pattern string, fn func(Event)) (off func()) { return n.listen(pattern, 0, fn) }

// Once is On for the first event.
func (n *Node) Once(pattern string, fn func(Event)) (off func()) { return n.listen(pattern, 1, fn) }

// Many is On for the first times events. It panics if times is less than 1.
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
	if fn == nil {
		panic("mesh: nil callback")
	}
	return n.add(&listener{pattern: canonical(pattern), event: fn, left: times})
}

// add adds a listener.
func (n *Node) add(l *listener) (off func()) {
	if n.closed.Load() {
		return func() {}
	}
	if n.emitter.add(l) {
		n.link.announce()
		if info, ok := n.link.hubInfo(); ok && info.Node && protocol.IsPattern(l.pattern) {
			n.warnOfPattern(l.pattern)
		}
	}
	return func() {
		n.executor.retire(l)
		n.forget(l)
		n.executor.settle(l)
	}
}

// forget takes a listener out of the index.
func (n *Node) forget(l *listener) {
	if l.pattern != "" && n.emitter.remove(l) && !n.closed.Load() {
		n.link.announce()
	}
}

func (n *Node) warnOfPattern(pattern string) {
	n.opts.Logger.Warn("mesh: the hub is a Node hub, which knows no patterns: only events of this node are heard", "pattern", pattern)
}

// OnAny calls fn with each event that this node itself emits, and with no other. See On for off. It panics if fn is nil.
func (n *Node) OnAny(fn func(Event)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	l := &listener{event: fn}
	n.emitter.watch(&n.emitter.any, l)
	return func() {
		n.executor.retire(l)
		n.emitter.unwatch(&n.emitter.any, l)
		n.executor.settle(l)
	}
}

// OnState calls fn when a client loses its hub, fails to reach it again, has reached it, or has become the hub itself,
// after which there is nothing more to tell. It is not called with the state at the time of the call. See On for off. It
// panics if fn is nil.
func (n *Node) OnState(fn func(State)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	l := &listener{state: fn}
	n.emitter.watch(&n.emitter.state, l)
	return func() {
		n.executor.retire(l)
		n.emitter.unwatch(&n.emitter.state, l)
		n.executor.settle(l)
	}
}

// report hands a state to OnState's listeners.
func (n *Node) report(s State) {
	s.Retry = s.Retry.Round(time.Millisecond)
	if listeners := *n.emitter.state.Load(); len(listeners) > 0 {
		n.executor.push(task{state: &s, listeners: listeners, size: eventOverhead})
	}
}
