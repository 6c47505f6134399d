package mesh

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"sync/atomic"

	"github.com/bigcompany/mesh/mesh/internal/dispatch"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/uplink"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// local is a node as its own hub and its own uplink see it: see hub.Local and uplink.Local.
type local struct{ node *Node }

func (l local) Deliver(events []wire.Event, superseded *atomic.Bool) (missed int) {
	n := l.node
	var listeners []*listener
	for i := range events {
		if i == 0 || events[i].Name != events[i-1].Name {
			listeners = n.listeners.Match(events[i].Name)
		}
		t, ok := n.taskOf(&events[i], listeners)
		switch {
		case !ok:
		case superseded != nil:
			t.Event.Payload = bytes.Clone(t.Event.Payload)
			if !n.callbacks.PushUnless(superseded, t) {
				missed++
			}
		case errors.Is(n.callbacks.Offer(t), fault.ErrQueueFull):
			missed++
		}
	}
	return missed
}

func (l local) Settle() { l.node.callbacks.Barrier() }

func (l local) Listens(event string) bool {
	return anyAccepts(l.node.listeners.Match(event), dispatch.Received)
}

func (l local) Interests() []string { return l.node.interests() }

func (l local) WatchesPresence() bool { return len(l.node.onPresence.All()) > 0 }

func (l local) Presence(event string, info json.RawMessage, wait bool) (queued bool) {
	t, ok := l.node.noticeOf(event, info)
	switch {
	case !ok:
		return true
	case wait:
		return l.node.callbacks.Push(t)
	}
	return !errors.Is(l.node.callbacks.Offer(t), fault.ErrQueueFull)
}

func (l local) FailRequest(rid string, err error) { l.node.inbox.fail(rid, err) }
func (l local) Fail(err error)                    { l.node.end(err) }
func (l local) Done() <-chan struct{}             { return l.node.done }

// interests returns the names and patterns that a node subscribes to, sorted.
func (n *Node) interests() []string {
	table, _ := n.listeners.Table()
	var names []string
	for key, remote := range table {
		if remote {
			names = append(names, protocol.TableName(key))
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

func (l local) Version() uint64 { return l.node.listeners.Version() }

func (l local) Table() (protocol.EventTable, uint64) { return l.node.listeners.Table() }

func (l local) Receive(e wire.Event) { l.node.hear(e) }

func (l local) Reached(addr uplink.Addr) { l.node.setAddr(addr) }

func (l local) MetLegacyHub() {
	for _, pattern := range l.node.listeners.Patterns() {
		l.node.warnOfPattern(pattern)
	}
}

func (l local) Report(s uplink.State) {
	status := Disconnected
	if s.Connected {
		status = Connected
	}
	l.node.report(State{Status: status, Role: RoleClient, Hub: HubInfo(s.Hub), Err: publicError(s.Err), Attempt: s.Attempt, Retry: s.Retry})
}
