package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// states collects the states of a node after the current one.
func states(n *mesh.Node) <-chan mesh.State {
	ch := make(chan mesh.State, 1000)
	n.OnState(func(s mesh.State) { ch <- s })
	<-ch
	return ch
}

func awaitStatus(t testing.TB, ch <-chan mesh.State, want mesh.Status) mesh.State {
	t.Helper()
	deadline := time.After(meshtest.Patience)
	for {
		select {
		case s := <-ch:
			if s.Status == want {
				return s
			}
		case <-deadline:
			require.FailNow(t, "status did not come", want)
		}
	}
}

// offline connects a client over WebSocket by a proxy, and closes the proxy. changes has the later reports of OnState.
func offline(t *testing.T, hub *mesh.Node, opts mesh.Options) (c *mesh.Node, p *meshtest.Proxy, changes <-chan mesh.State) {
	t.Helper()
	p = meshtest.StartProxy(t, hub.Addr())
	opts.Addr, opts.Transports = p.Addr(), overWebSocket
	c = connectTo(t, opts)
	changes = states(c)
	p.Close()
	awaitStatus(t, changes, mesh.Disconnected)
	return c, p, changes
}

func TestReconnectAfterTheHubWasKilledAndRestarted(t *testing.T) {
	for name, transports := range map[string][]engineio.Transport{
		"polling": {engineio.Polling}, "websocket": overWebSocket, "both": nil,
	} {
		t.Run(name, func(t *testing.T) {
			first, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0"})
			require.NoError(t, err)
			addr := first.Addr()
			c := connectTo(t, mesh.Options{Addr: addr, Transports: transports})
			d := connectTo(t, mesh.Options{Addr: addr, Transports: transports})
			changes := states(c)
			heard := listenTo(t, c, "e", "late::*")
			require.NoError(t, first.Close())
			lost := awaitStatus(t, changes, mesh.Disconnected)
			require.Error(t, lost.Err)
			require.ErrorIs(t, lost.Err, net.ErrClosed)
			_, ok := c.Hub()
			require.False(t, ok)

			c.On("late::*", func(mesh.Event) {}) // the next handshake announces it
			second := listen(t, mesh.Options{Addr: addr, Name: "second"})
			back := awaitStatus(t, changes, mesh.Connected)
			require.Empty(t, cmp.Diff(mesh.HubInfo{ID: second.ID(), Name: "second"}, back.Hub))
			require.NoError(t, d.Emit("e", 1))
			require.NoError(t, d.Emit("late::x", 2))
			require.Equal(t, "1", string(heard.Next().Payload))
			e := heard.Next()
			require.Equal(t, "2", string(e.Payload))
			require.Equal(t, d.ID(), e.From, "an ID is for life")
		})
	}
}

func TestReconnectPausesGrowAndAreRandom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var pauses [2][]time.Duration
		for i := range pauses {
			hub, network := serveInMemory(t, mesh.Options{})
			n, err := mesh.Connect(context.Background(), &mesh.Options{Addr: "http://mesh", HTTPClient: network.Client, Transports: overWebSocket})
			require.NoError(t, err)
			changes := states(n)
			network.SetDown("mesh", true)
			require.NoError(t, hub.Close())
			for attempt := range 12 {
				s := <-changes
				require.Equal(t, attempt, s.Attempt)
				most := min(50*time.Millisecond<<attempt, 5*time.Second)
				require.GreaterOrEqual(t, s.Retry, most/2)
				require.LessOrEqual(t, s.Retry, most)
				pauses[i] = append(pauses[i], s.Retry)
			}
			require.NoError(t, n.Close())
		}
		require.NotEqual(t, pauses[0], pauses[1])
	})
}

func TestOfflineEventsGoOutInOrderBeforeNewerOnes(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	c, p, _ := offline(t, hub, mesh.Options{})
	const queued = 500
	for i := range queued {
		require.NoError(t, c.Emit("e", i))
	}
	p.Open()
	for i := queued; i < 2*queued; i++ { // while the client reconnects and sends its queue
		require.NoError(t, c.Emit("e", i))
	}
	for i := range 2 * queued {
		var got int
		require.NoError(t, heard.Next().Decode(&got))
		require.Equal(t, i, got)
	}
	flush(t, c)
}

func TestOfflineQueueHoldsOneMegabyte(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c, _, _ := offline(t, hub, mesh.Options{})
	payload := json.RawMessage(`"` + strings.Repeat("x", 10_000) + `"`)
	sent := 0
	var err error
	for {
		if err = c.Emit("e", payload); err != nil {
			break
		}
		sent++
	}
	require.ErrorIs(t, err, mesh.ErrQueueFull)
	require.InDelta(t, 1<<20/10_000, sent, 5)
	local := make(chan mesh.Event, 1)
	c.On("e", func(e mesh.Event) { local <- e })
	require.ErrorIs(t, c.Emit("e", payload), mesh.ErrQueueFull)
	require.NoError(t, c.Close())
	require.Empty(t, local, "the node's own listeners do not get an event that is not sent")
}

func TestOfflineQueueThatWasFullIsSent(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e", "end")
	c, p, _ := offline(t, hub, mesh.Options{OfflineLimit: 100_000})
	sent := 0
	for c.Emit("e", sent) == nil {
		sent++
	}
	p.Open()
	for range sent {
		require.Equal(t, "e", heard.Next().Name)
	}
	flush(t, c)
	require.NoError(t, c.Emit("end", nil))
	heard.silentUntil("end")
}

func TestOfflineEventsAreWrittenForTheHubThatComes(t *testing.T) {
	// An event without payload has another encoding for a Node.js hub than for ours. The node learns the kind of its hub
	// only after it has emitted the event.
	h := meshtest.StartLegacyHub(t)
	p := meshtest.StartProxy(t, strings.TrimPrefix(h.URL, "http://"))
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	changes := states(c)
	p.Close()
	awaitStatus(t, changes, mesh.Disconnected)
	require.NoError(t, c.Emit("e", nil))
	p.Open()
	flush(t, c)
	require.Equal(t, []string{`{"event":"e","payload":{},"headers":{"auth":{}}}`}, h.Received("e"))
}

func TestFlushMeansThatTheHubHasProcessedEverything(t *testing.T) {
	for name, transports := range map[string][]engineio.Transport{
		"polling": {engineio.Polling}, "websocket": overWebSocket, "both": nil,
	} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, mesh.Options{})
			c := connect(t, hub, mesh.Options{Transports: transports})
			for round := range 20 {
				for range round {
					require.NoError(t, c.Emit("e", nil))
				}
				before := hub.Stats().Sent
				c.On("x", func(mesh.Event) {})
				flush(t, c)
				require.EqualValues(t, round*(round+1)/2, hub.Stats().Received)
				require.NoError(t, hub.Emit("x", nil))
				require.Equal(t, before+1, hub.Stats().Sent)
			}
		})
	}
}

func TestFlushWaitsForTheNextHubUntilTheContextEnds(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c, p, changes := offline(t, hub, mesh.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, c.Flush(ctx), context.DeadlineExceeded)

	require.NoError(t, c.Emit("e", nil))
	flushed := make(chan error)
	go func() { flushed <- c.Flush(meshtest.Context(t)) }()
	awaitStatus(t, changes, mesh.Disconnected)
	p.Open()
	require.NoError(t, <-flushed)
	require.EqualValues(t, 1, hub.Stats().Received)
}

func TestFlushReportsUnconfirmedEventsOnce(t *testing.T) {
	hub := listen(t, mesh.Options{})
	p := meshtest.StartProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	changes := states(c)

	require.NoError(t, c.Emit("e", nil))
	flush(t, c)
	p.Cut()
	awaitStatus(t, changes, mesh.Connected)
	require.NoError(t, c.Flush(meshtest.Context(t)), "all was confirmed before the break")

	require.NoError(t, c.Emit("e", nil))
	p.Cut()
	awaitStatus(t, changes, mesh.Connected)
	require.NoError(t, c.Emit("e", nil))
	require.ErrorIs(t, c.Flush(meshtest.Context(t)), mesh.ErrUnconfirmed)
	require.NoError(t, c.Flush(meshtest.Context(t)), "the node has reported this already")
}

func TestFlushEndsWhenTheNodeIsClosed(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c, _, changes := offline(t, hub, mesh.Options{})
	flushed := make(chan error)
	go func() { flushed <- c.Flush(meshtest.Context(t)) }()
	awaitStatus(t, changes, mesh.Disconnected)
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-flushed, mesh.ErrClosed)
}

func TestCloseWritesEmittedEvents(t *testing.T) {
	for name, transports := range map[string][]engineio.Transport{
		"polling": {engineio.Polling}, "websocket": overWebSocket, "both": nil,
	} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, mesh.Options{})
			heard := listenTo(t, hub, "e")
			c := connect(t, hub, mesh.Options{Transports: transports, QueueLimit: 10_000, OfflineLimit: 10 << 20})
			const events = 1000
			for i := range events {
				require.NoError(t, c.Emit("e", i))
			}
			require.NoError(t, c.Close())
			for i := range events {
				var got int
				require.NoError(t, heard.Next().Decode(&got))
				require.Equal(t, i, got)
			}
			eventually(t, "the peer is gone", func() bool { return hub.Stats().Peers == 0 })
		})
	}
	t.Run("hub", func(t *testing.T) {
		hub, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0"})
		require.NoError(t, err)
		c := connect(t, hub, mesh.Options{})
		heard := listenTo(t, c, "e")
		const events = 1000
		for i := range events {
			require.NoError(t, hub.Emit("e", i))
		}
		require.NoError(t, hub.Close())
		for range events {
			heard.Next()
		}
	})
}

func TestEmitNeverBlocksOnASlowHub(t *testing.T) {
	// A hub that accepts everything and then stops reading.
	stuck := make(chan struct{})
	server := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		_, _ = s.Read(ctx) // the handshake
		go func() {
			<-stuck
			s.Abort(nil)
		}()
		_, _ = s.Read(ctx) // responds to the ping after it, and takes one event
		<-stuck
	}), &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &http.Server{Handler: server}
	go func() { _ = web.Serve(l) }()
	t.Cleanup(func() {
		_ = server.Close()
		_ = web.Close()
	})
	c := connectTo(t, mesh.Options{Addr: l.Addr().String(), Transports: overWebSocket})
	t.Cleanup(func() { close(stuck) }) // before c is closed
	payload := json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)
	start := time.Now()
	for err = nil; err == nil; {
		err = c.Emit("e", payload)
	}
	require.ErrorIs(t, err, mesh.ErrQueueFull)
	require.Less(t, time.Since(start), meshtest.Patience)
}

func TestOrderAcrossTheUpgrade(t *testing.T) {
	hub := listen(t, mesh.Options{})
	atHub := listenTo(t, hub, "e")
	const events = 2000
	for range 5 {
		sender := connect(t, hub, mesh.Options{})
		receiver := connect(t, hub, mesh.Options{})
		heard := listenTo(t, receiver, "e")
		for i := range events {
			require.NoError(t, sender.Emit("e", i))
		}
		for _, ears := range []ears{atHub, heard} {
			for i := range events {
				var got int
				require.NoError(t, ears.Next().Decode(&got))
				require.Equal(t, i, got)
			}
		}
	}
}

// A program at a hub's address can send hello to all clients and close their connections at once. A hub with a fault
// may do the same.
func TestHubThatGreetsAndClosesIsDialedLessAndLess(t *testing.T) {
	onStage(t, "a", func(t *testing.T, s *stage) {
		n, p := s.connect(mesh.Options{})
		changes := states(n)
		const calls = 20
		began := time.Now()
		var pauses []time.Duration
		for range calls {
			synctest.Wait() // the client is introduced
			p.Socket.Abort(nil)
			lost := awaitStatus(t, changes, mesh.Disconnected)
			require.Zero(t, lost.Attempt, "none has failed")
			pauses = append(pauses, lost.Retry)
			p = s.arrival("a")
		}
		for i, pause := range pauses {
			most := min(50*time.Millisecond<<i, 5*time.Second)
			require.GreaterOrEqual(t, pause, most/2)
			require.LessOrEqual(t, pause, most)
		}
		require.Greater(t, time.Since(began), 30*time.Second, "for %d calls", calls)

		time.Sleep(time.Second) // that connection has lasted
		p.Socket.Abort(nil)
		for {
			if s := awaitStatus(t, changes, mesh.Disconnected); s.Retry <= 50*time.Millisecond {
				break
			}
		}
		s.arrival("a")
		require.NoError(t, n.Close())
	})
}

func TestOnStateBeginsWithTheCurrentState(t *testing.T) {
	hub := listen(t, mesh.Options{Name: "one"})
	p := meshtest.StartProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	now := func(n *mesh.Node) mesh.State {
		t.Helper()
		ch := make(chan mesh.State, 100)
		defer n.OnState(func(s mesh.State) { ch <- s })()
		return <-ch
	}
	require.Empty(t, cmp.Diff(mesh.State{Status: mesh.Connected, Role: mesh.RoleHub, Hub: mesh.HubInfo{ID: hub.ID(), Name: "one"}}, now(hub)))
	require.Empty(t, cmp.Diff(mesh.State{Status: mesh.Connected, Role: mesh.RoleClient, Hub: mesh.HubInfo{ID: hub.ID(), Name: "one"}}, now(c)))
	require.NoError(t, hub.Connected(meshtest.Context(t)))
	require.NoError(t, c.Connected(meshtest.Context(t)))

	changes := states(c)
	p.Close()
	awaitStatus(t, changes, mesh.Disconnected)
	require.Equal(t, mesh.Disconnected, now(c).Status)
	cause := errors.New("enough")
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(cause)
	require.ErrorIs(t, c.Connected(ctx), cause)
	connected := make(chan error)
	go func() { connected <- c.Connected(meshtest.Context(t)) }()
	p.Open()
	require.NoError(t, <-connected)
	require.NoError(t, c.Ready())

	// In a callback, and while reports arrive: a listener gets each state once, and the newest state last.
	inCallback := make(chan mesh.State, 10)
	hub.On("e", func(mesh.Event) { hub.OnState(func(s mesh.State) { inCallback <- s }) })
	require.NoError(t, c.Emit("e", nil))
	require.Equal(t, mesh.RoleHub, (<-inCallback).Role)

	p.Close()
	awaitStatus(t, changes, mesh.Disconnected)
	go func() { connected <- c.Connected(meshtest.Context(t)) }()
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-connected, mesh.ErrClosed)
	require.ErrorIs(t, c.Connected(t.Context()), mesh.ErrClosed)
	c.OnState(func(mesh.State) { t.Error("the node is closed") })
}
