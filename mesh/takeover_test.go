package mesh_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// stableAddr returns a free address of localhost for a hub that starts later: see interoptest.StablePort.
func stableAddr(t testing.TB) string {
	t.Helper()
	return fmt.Sprintf("localhost:%d", interoptest.StablePort(t))
}

// start starts a node. The test may close it earlier.
func start(t testing.TB, opts mesh.Options) *mesh.Node {
	t.Helper()
	n, err := mesh.Start(meshtest.Context(t), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func TestAutohealMakesExactlyOneNodeTheHub(t *testing.T) {
	addr := stableAddr(t)
	nodes := []*mesh.Node{start(t, mesh.Options{Addr: addr})}
	first := nodes[0]
	var changes []<-chan mesh.State
	for i := range 6 {
		n := start(t, mesh.Options{Addr: addr, Name: fmt.Sprint(i)})
		nodes = append(nodes, n)
		changes = append(changes, states(n))
	}
	nodes = nodes[1:]
	bystander := connectTo(t, mesh.Options{Addr: addr})
	changes = append(changes, states(bystander))
	nodes = append(nodes, bystander)
	var heard []ears
	var ids []string
	for _, n := range nodes {
		heard = append(heard, listenTo(t, n, "e"))
		ids = append(ids, n.ID())
	}
	require.NoError(t, first.Close())

	var hub *mesh.Node
	for i, n := range nodes {
		lost := awaitStatus(t, changes[i], mesh.Disconnected)
		require.Error(t, lost.Err)
		require.Equal(t, mesh.RoleClient, lost.Role)
		back := awaitStatus(t, changes[i], mesh.Connected)
		require.Equal(t, n.Role(), back.Role)
		if n.Role() == mesh.RoleHub {
			require.Nil(t, hub, "a second hub")
			require.Equal(t, mesh.HubInfo{ID: n.ID(), Name: n.Name()}, back.Hub)
			hub = n
		}
	}
	require.NotNil(t, hub)
	require.Equal(t, mesh.RoleClient, bystander.Role())
	require.Equal(t, addr, hub.Addr())
	for i, n := range nodes {
		flush(t, n)
		require.Equal(t, ids[i], n.ID())
		info, ok := n.Hub()
		require.True(t, ok)
		require.Equal(t, hub.ID(), info.ID)
	}
	require.Equal(t, len(nodes)-1, hub.Stats().Peers)
	require.Len(t, hub.Sessions(), len(nodes)-1)
	known, err := hub.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, known, len(nodes))
	require.Equal(t, hub.ID(), known[0].ID)
	why, err := hub.Explain(meshtest.Context(t), mesh.ExplainQuery{To: bystander.ID(), Event: "e"})
	require.NoError(t, err)
	require.Equal(t, protocol.RuleListens, why.Rule)
	for i, from := range nodes {
		require.NoError(t, from.Emit("e", i))
		for _, h := range heard {
			e := h.Next()
			require.Equal(t, fmt.Sprint(i), string(e.Payload))
			require.Equal(t, from.ID(), e.From)
		}
	}
}

func TestOnlyStartedNodesTakeOver(t *testing.T) {
	addr := stableAddr(t)
	first, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: addr})
	require.NoError(t, err)
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, addr)
	}}
	defer transport.CloseIdleConnections()
	nodes := []*mesh.Node{
		connectTo(t, mesh.Options{Addr: addr}),
		start(t, mesh.Options{Addr: addr, NoTakeover: true}),
		start(t, mesh.Options{Addr: "192.0.2.1:8888", HTTPClient: &http.Client{Transport: transport}}), // a hub on another machine
	}
	var changes []<-chan mesh.State
	for _, n := range nodes {
		changes = append(changes, states(n))
	}
	require.NoError(t, first.Close())
	for _, ch := range changes {
		for range 3 {
			awaitStatus(t, ch, mesh.Disconnected)
		}
	}
	second := listen(t, mesh.Options{Addr: addr})
	for i, n := range nodes {
		require.Equal(t, second.ID(), awaitStatus(t, changes[i], mesh.Connected).Hub.ID)
		require.Equal(t, mesh.RoleClient, n.Role())
	}
}

func TestAutohealNeedsMoreThanALostConnection(t *testing.T) {
	hub := listen(t, mesh.Options{})
	p := meshtest.StartProxy(t, hub.Addr())
	n := start(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	changes := states(n)
	for range 3 {
		p.Cut()
		awaitStatus(t, changes, mesh.Disconnected)
		require.Equal(t, hub.ID(), awaitStatus(t, changes, mesh.Connected).Hub.ID)
		require.Equal(t, mesh.RoleClient, n.Role())
	}
}

// TestNewHubSendsQueuedEvents checks the events that the new hub emitted while there was no hub. They reach the nodes
// that reconnect in time, in order, and before the events that the hub emits later.
func TestNewHubSendsQueuedEvents(t *testing.T) {
	for range 5 { // on a busy machine, the other node may reconnect too late
		addr := stableAddr(t)
		first := start(t, mesh.Options{Addr: addr})
		heir := start(t, mesh.Options{Addr: addr})
		other := connectTo(t, mesh.Options{Addr: addr})
		heard := listenTo(t, other, "e")
		back := states(other)
		const events = 500
		emitted := make(chan error, events)
		heir.OnState(func(s mesh.State) {
			if s.Role == mesh.RoleHub {
				for i := range events {
					emitted <- heir.Emit("e", i)
				}
			}
		})
		require.NoError(t, first.Close())
		for range events {
			require.NoError(t, <-emitted)
		}
		flush(t, heir)
		inTime := false // the other node has reconnected to the new hub by now, at any attempt
		for len(back) > 0 {
			inTime = (<-back).Status == mesh.Connected
		}
		if !inTime {
			awaitStatus(t, back, mesh.Connected)
		}
		for i := events; i < 2*events; i++ {
			require.NoError(t, heir.Emit("e", i))
		}
		if !inTime {
			continue
		}
		for i := range 2 * events {
			var got int
			require.NoError(t, heard.Next().Decode(&got))
			require.Equal(t, i, got)
		}
		return
	}
	require.FailNow(t, "a client is never back within the time that the new hub waits")
}

func TestFlushOfANewHubReportsUnconfirmedEventsOnce(t *testing.T) {
	addr := stableAddr(t)
	first := start(t, mesh.Options{Addr: addr})
	heir := start(t, mesh.Options{Addr: addr})
	require.NoError(t, heir.Emit("e", nil))
	flush(t, heir)
	require.NoError(t, heir.Emit("e", nil)) // never confirmed
	changes := states(heir)
	require.NoError(t, first.Close())
	awaitStatus(t, changes, mesh.Connected)
	require.Equal(t, mesh.RoleHub, heir.Role())
	require.ErrorIs(t, heir.Flush(meshtest.Context(t)), mesh.ErrUnconfirmed)
	for range 2 {
		require.NoError(t, heir.Emit("e", nil))
		flush(t, heir)
	}
}

// TestAutohealWhileEverythingIsCalled closes one hub after another under load. The race detector reports unsynchronized
// access.
func TestAutohealWhileEverythingIsCalled(t *testing.T) {
	addr := stableAddr(t)
	left := make(map[*mesh.Node]bool)
	for range 5 {
		left[start(t, mesh.Options{Addr: addr, CallbackLimit: 10_000})] = true
	}
	ctx, cancel := context.WithTimeout(context.Background(), meshtest.Patience)
	defer cancel()
	actions := []func(n *mesh.Node, i int){
		func(n *mesh.Node, i int) { _ = n.Emit("e", i) },
		func(n *mesh.Node, _ int) { n.On("e", func(mesh.Event) {})() },
		func(n *mesh.Node, _ int) { n.On("*", func(mesh.Event) { _ = n.Emit("answer", n.Role()) })() },
		func(n *mesh.Node, _ int) { n.OnState(func(mesh.State) {})() },
		func(n *mesh.Node, i int) {
			short, stop := context.WithTimeout(ctx, time.Duration(i%50)*time.Millisecond)
			defer stop()
			_ = n.Flush(short)
		},
		func(n *mesh.Node, _ int) {
			_, _ = n.Hub()
			_, _, _, _, _ = n.Role(), n.Addr(), n.Sessions(), n.Stats(), n.Err()
			n.Resource("r").SetRemote(rand.N(2) == 0)
		},
		func(n *mesh.Node, _ int) {
			defer n.OnPresence(func(mesh.Presence) {})()
			short, stop := context.WithTimeout(ctx, 20*time.Millisecond)
			defer stop()
			_, _ = n.Nodes(short)
			_, _ = n.Explain(short, mesh.ExplainQuery{To: n.ID(), Event: "e"})
		},
	}
	var wg sync.WaitGroup
	for n := range left {
		for _, act := range actions {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil && n.Err() == nil; i++ {
					act(n, i)
					time.Sleep(time.Duration(rand.N(200)) * time.Microsecond) // this leaves time for the takeover on a small machine
				}
			})
		}
	}
	for len(left) > 1 {
		var hub *mesh.Node
		eventually(t, "there is a hub", func() bool {
			for n := range left {
				if n.Role() == mesh.RoleHub {
					hub = n
				}
			}
			return hub != nil
		})
		delete(left, hub)
		for n := range left {
			eventually(t, "all have found it", func() bool {
				info, ok := n.Hub()
				return ok && info.ID == hub.ID()
			})
		}
		wg.Go(func() { _ = hub.Close() })
	}
	cancel()
	wg.Wait()
}

func TestAutohealStopsWhenTheNodeIsClosed(t *testing.T) {
	addr := stableAddr(t)
	for range 30 {
		first := start(t, mesh.Options{Addr: addr})
		require.Equal(t, mesh.RoleHub, first.Role(), "the address is free again")
		second := start(t, mesh.Options{Addr: addr})
		var wg sync.WaitGroup
		wg.Go(func() { _ = first.Close() })
		wg.Go(func() {
			time.Sleep(time.Duration(rand.N(8000)) * time.Microsecond) // before, while or after it becomes the hub
			_ = second.Emit("e", nil)
			_ = second.Close()
		})
		wg.Wait()
		require.ErrorIs(t, second.Emit("e", nil), mesh.ErrClosed)
		require.ErrorIs(t, second.Flush(meshtest.Context(t)), mesh.ErrClosed)
	}
}
