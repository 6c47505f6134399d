package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// kind says which implementation a node has.
type kind string

const (
	nodeKind kind = "Node.js" // the original mesh, in a separate process
	goKind   kind = "Go"      // this project, in the process of the test
)

// member is a node of a mesh under test, of either kind and in either role. It queues the events that its listeners
// receive as events of kind "heard". A Go client also queues "disconnected", once for each lost connection, and
// "connected" when it has reconnected.
type member interface {
	// on subscribes to a name or pattern. If the member is a client, sync waits until the hub knows the subscription.
	on(t testing.TB, pattern string)
	// emit emits an event. An empty payload omits the argument.
	emit(t testing.TB, name, payload string)
	heard() *Endpoint
}

// nodeMember is a node of the original mesh.
type nodeMember struct {
	*Endpoint
}

func startNodeMember(t testing.TB) nodeMember { return nodeMember{startNode(t, MeshNode).Node()} }

func (m nodeMember) on(t testing.TB, pattern string) {
	t.Helper()
	m.Must(t, Command{Do: "on", Name: pattern}, "listens")
}

func (m nodeMember) emit(t testing.TB, name, payload string) {
	t.Helper()
	c := Command{Do: "emit", Name: name}
	if payload != "" {
		c.Payload = json.RawMessage(payload)
	}
	m.Must(t, c, "emitted")
}

func (m nodeMember) heard() *Endpoint { return m.Endpoint }

// listen makes the node a hub and returns its port.
func (m nodeMember) listen(t testing.TB, c Command) int {
	t.Helper()
	c.Do, c.Host = "listen", "127.0.0.1"
	return m.Must(t, c, "listening").Port
}

// connect makes the node a client.
func (m nodeMember) connect(t testing.TB, c Command) {
	t.Helper()
	c.Do, c.Host = "connect", "127.0.0.1"
	m.Must(t, c, "connected")
}

// goMember is a node of ours.
type goMember struct {
	*mesh.Node
	events *Endpoint
}

// newGoMember makes a member of a node, and closes the node when the test ends. It fails t if err is not nil.
func newGoMember(t testing.TB, n *mesh.Node, err error) goMember {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	m := goMember{n, NewQueue("our " + string(n.Role()))}
	first := true // the state that newGoMember's caller knows
	n.OnState(func(s mesh.State) {
		if first {
			first = false
			return
		}
		if s.Attempt == 0 { // a failed attempt to reconnect is not another loss
			m.events.Push(Event{Kind: string(s.Status)})
		}
	})
	return m
}

func startGoHub(t testing.TB, o mesh.Options) goMember {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	o.Page = true
	n, err := mesh.Listen(t.Context(), &o)
	// The previous server has closed its socket. But a process that another test starts has the socket too, between
	// fork and exec.
	for end := time.Now().Add(AwaitTimeout); errors.Is(err, syscall.EADDRINUSE) && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
		n, err = mesh.Listen(t.Context(), &o)
	}
	return newGoMember(t, n, err)
}

func startGoClient(t testing.TB, port int, o mesh.Options) goMember {
	t.Helper()
	o.Addr = localAddr(port)
	n, err := mesh.Connect(t.Context(), &o)
	return newGoMember(t, n, err)
}

func (m goMember) on(_ testing.TB, pattern string) { m.listen(pattern) }

func (m goMember) listen(pattern string) (off func()) { return m.On(pattern, m.hear) }

// hear is a callback that queues events.
func (m goMember) hear(e mesh.Event) {
	m.events.Push(Event{Kind: "heard", Name: e.Name, Payload: e.Payload, From: e.From})
}

func (m goMember) emit(t testing.TB, name, payload string) {
	t.Helper()
	require.NoError(t, m.Emit(name, json.RawMessage(payload)))
}

func (m goMember) heard() *Endpoint { return m.events }

func (m goMember) port(t testing.TB) int {
	t.Helper()
	_, port, err := net.SplitHostPort(m.Addr())
	require.NoError(t, err)
	n, err := strconv.Atoi(port)
	require.NoError(t, err)
	return n
}

func (m goMember) flush(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
	defer cancel()
	require.NoError(t, m.Flush(ctx))
}

func localAddr(port int) string { return fmt.Sprintf("127.0.0.1:%d", port) }

// star is a mesh under test.
type star struct {
	hub     member
	port    int
	clients []member
}

// startStar starts a hub and its clients, and subscribes all of them to the names. It returns when the hub knows the
// subscriptions.
func startStar(t testing.TB, hub kind, clients []kind, names ...string) *star {
	t.Helper()
	s := &star{}
	if hub == goKind {
		h := startGoHub(t, mesh.Options{})
		s.hub, s.port = h, h.port(t)
	} else {
		h := startNodeMember(t)
		s.hub, s.port = h, h.listen(t, Command{})
	}
	for _, name := range append(names, "mark") {
		s.hub.on(t, name)
	}
	for _, k := range clients {
		s.join(t, k, append(names, "done")...)
	}
	s.sync(t)
	return s
}

// join adds a client that subscribes to the names. One of the names must be, or match, "done".
func (s *star) join(t testing.TB, k kind, names ...string) {
	t.Helper()
	var c member
	if k == goKind {
		c = startGoClient(t, s.port, mesh.Options{})
	} else {
		m := startNodeMember(t)
		m.connect(t, Command{Port: s.port})
		c = m
	}
	for _, name := range names {
		c.on(t, name)
	}
	s.clients = append(s.clients, c)
}

// sync waits until the hub has handled all events and subscriptions of its clients.
func (s *star) sync(t testing.TB) {
	t.Helper()
	for _, c := range s.clients {
		c.emit(t, "mark", "")
	}
	for range s.clients {
		require.Equal(t, "mark", s.hub.heard().MustAwait(t, "heard").Name)
	}
}

// round makes from emit an event. It waits until the mesh has handled the event, and returns the events that each
// member received, the hub first. No member can receive "done" before the events that were sent to it earlier.
func (s *star) round(t testing.TB, from member, name, payload string) [][]Event {
	t.Helper()
	from.emit(t, name, payload)
	return s.settle(t, from)
}

// settle ends a round. It waits until the mesh has handled all events of from, and returns the events that each member
// received.
func (s *star) settle(t testing.TB, from member) [][]Event {
	t.Helper()
	from.emit(t, "mark", "")
	return s.collect(t)
}

// collect is like settle, after from has emitted "mark".
func (s *star) collect(t testing.TB) [][]Event {
	t.Helper()
	heard := [][]Event{until(t, s.hub, "mark")}
	s.hub.emit(t, "done", "")
	for _, c := range s.clients {
		heard = append(heard, until(t, c, "done"))
	}
	return heard
}

// until returns the events that a member receives before the event end. It removes end from the queue too.
func until(t testing.TB, m member, end string) []Event {
	t.Helper()
	var events []Event
	for {
		ev := m.heard().MustAwait(t, "heard")
		if ev.Name == end {
			return events
		}
		events = append(events, ev)
	}
}
