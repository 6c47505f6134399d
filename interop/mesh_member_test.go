package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// kind is whose node it is.
type kind string

const (
	nodeKind kind = "Node" // the original's, in a process of its own
	goKind   kind = "Go"   // ours, in the process of the test
)

// member is a node of a mesh under test, of either kind and in either role. What its listeners hear is queued as events
// of kind "heard"; a client of ours also queues "disconnected", once for each connection that it loses, and "connected"
// when it returns.
type member interface {
	// on listens to a name or pattern. If the member is a client, sync tells when the hub knows.
	on(t testing.TB, pattern string)
	// emit emits an event. An empty payload leaves the argument out.
	emit(t testing.TB, name, payload string)
	heard() *Endpoint
}

// nodeMember is a node of the original's.
type nodeMember struct {
	*Endpoint
}

func startNodeMember(t testing.TB) nodeMember { return nodeMember{StartNode(t, MeshNode).Node()} }

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

// newGoMember takes a node over: it is closed when the test ends.
func newGoMember(t testing.TB, n *mesh.Node, err error) goMember {
	t.Helper()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	m := goMember{n, NewQueue("our " + string(n.Role()))}
	n.OnState(func(s mesh.State) {
		if s.Attempt == 0 { // those that fail later would be taken for another loss
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
	n, err := mesh.Listen(t.Context(), &o)
	// Who was there before has closed, but a process that another test is just starting has the socket too until it is
	// itself: between fork and exec.
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

// hear is a callback that queues what it gets.
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

// stablePorts are those that were given to a test, so that none is given to two.
var stablePorts sync.Map

// stablePort returns a free port that neither the system nor this function gives away again, for what begins to listen later.
func stablePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20_000 + rand.N(10_000)
		if _, taken := stablePorts.LoadOrStore(port, true); taken {
			continue
		}
		l, err := net.Listen("tcp", localAddr(port))
		if err == nil {
			require.NoError(t, l.Close())
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

// star is a mesh under test.
type star struct {
	hub     member
	port    int
	clients []member
}

// startStar starts a hub and its clients, and has all of them listen to the names. It returns when the hub knows that.
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

// join adds a client that listens to the names, one of which must be, or match, "done".
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

// sync returns when the hub has dealt with all that its clients emitted and announced.
func (s *star) sync(t testing.TB) {
	t.Helper()
	for _, c := range s.clients {
		c.emit(t, "mark", "")
	}
	for range s.clients {
		require.Equal(t, "mark", s.hub.heard().MustAwait(t, "heard").Name)
	}
}

// round has from emit an event, and returns what each member heard, the hub first, until the mesh was done with it. That
// is known because no member can hear "done" before what was sent to it because of the event.
func (s *star) round(t testing.TB, from member, name, payload string) [][]Event {
	t.Helper()
	from.emit(t, name, payload)
	return s.settle(t, from)
}

// settle is the end of a round: it returns what each member has heard when the mesh is done with all that from emitted.
func (s *star) settle(t testing.TB, from member) [][]Event {
	t.Helper()
	from.emit(t, "mark", "")
	return s.collect(t)
}

// collect is settle for one who has emitted "mark".
func (s *star) collect(t testing.TB) [][]Event {
	t.Helper()
	heard := [][]Event{until(t, s.hub, "mark")}
	s.hub.emit(t, "done", "")
	for _, c := range s.clients {
		heard = append(heard, until(t, c, "done"))
	}
	return heard
}

// until returns what a member hears before the event end, which it takes too.
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
