package natsbackplane_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/backplanetest"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

func port(s *server.Server) int { return s.Addr().(*net.TCPAddr).Port }

func TestNATSKilledAndRestarted(t *testing.T) {
	s := natstest.Start(t, &server.Options{})
	defer func() { natstest.Stop(s) }()
	var log interoptest.Buffer
	var in inbox
	// The publisher reconnects at once, the listener a moment later.
	var backs [2]chan time.Time
	again := func(i int, pause time.Duration) nats.Option {
		backs[i] = make(chan time.Time, 1)
		return func(o *nats.Options) error {
			o.ReconnectWait, o.ReconnectJitter = pause, 0
			o.ReconnectedCB = func(*nats.Conn) { backs[i] <- time.Now() }
			return nil
		}
	}
	publishing := natsbackplane.New(connect(t, s, again(0, time.Millisecond)), &natsbackplane.Options{Logger: log.Logger(slog.LevelInfo)})
	publisher, err := publishing.Join(newID(), func(string, []byte) {})
	require.NoError(t, err)
	defer publisher.Close()
	listener := join(t, connect(t, s, again(1, 400*time.Millisecond)), nil, in.receive)
	listener.Subscribe("kept", "unwanted", "n::**", "n::*")
	meet(t, publisher, "kept", &in)
	in.take()

	p := port(s)
	natstest.Stop(s)
	for _, m := range []mesh.BackplaneMember{publisher, listener} {
		eventually(t, func() bool { return m.Err() != nil })
		require.EqualError(t, m.Err(), "natsbackplane: no connection to NATS")
	}
	// The hubs continue to work, and change their subscriptions meanwhile.
	listener.Subscribe("new")
	listener.Unsubscribe("unwanted")
	listener.Subscribe("short")
	listener.Unsubscribe("short")
	for i := range 1000 {
		require.NoError(t, publisher.Publish("n::"+strconv.Itoa(i%5), []byte(strconv.Itoa(i)), nil))
	}
	published := publishing.Stats().Published
	time.Sleep(600 * time.Millisecond) // time for failed attempts to reconnect
	require.Equal(t, published, publishing.Stats().Published, "no message was sent")

	s = natstest.Start(t, &server.Options{Port: p})
	for _, m := range []mesh.BackplaneMember{publisher, listener} {
		eventually(t, func() bool { return m.Err() == nil })
	}
	meet(t, publisher, "new", &in)
	meet(t, publisher, "kept", &in)
	for _, name := range []string{"unwanted", "short"} {
		require.NoError(t, publisher.Publish(name, []byte(name), nil))
	}
	meet(t, publisher, "kept", &in)
	// The queued messages have arrived, each at most once and in order. Some were lost if the listener reconnected too
	// late.
	last, n := -1, 0
	for _, text := range in.take() {
		require.NotEqual(t, "unwanted", text)
		require.NotEqual(t, "short", text)
		if i, err := strconv.Atoi(text); err == nil {
			require.Greater(t, i, last)
			last = i
			n++
		}
	}
	if later := (<-backs[1]).Sub(<-backs[0]); later < 500*time.Millisecond {
		require.Equal(t, 1000, n, "the listener was back %v after the publisher", later)
	}
	stats := publishing.Stats()
	require.GreaterOrEqual(t, stats.Published, uint64(1000))
	require.EqualValues(t, 1, stats.Disconnects)
	require.EqualValues(t, 1, stats.Reconnects)
	require.Zero(t, stats.DroppedOut)
	require.Contains(t, log.String(), "no connection to NATS")
	require.Contains(t, log.String(), "connected to NATS")
}

// TestOutageIsBounded starts without a server at NATS' address.
func TestOutageIsBounded(t *testing.T) {
	s := natstest.Start(t, &server.Options{})
	p := port(s)
	nc := connect(t, s)
	natstest.Stop(s)
	b := natsbackplane.New(nc, &natsbackplane.Options{QueueLimit: 1 << 20})
	eventually(t, func() bool { return nc.Status() == nats.RECONNECTING })
	var in inbox
	m, err := b.Join(newID(), in.receive)
	require.NoError(t, err)
	defer m.Close()
	require.Error(t, m.Err())

	accepted := 0
	interoptest.RequireHeapGrows(t, 8<<20, func() {
		for i := range 200_000 {
			name := fmt.Sprintf("passing::%d", i)
			m.Subscribe(name, name+"::**")
			m.Unsubscribe(name, name+"::**")
			if err := m.Publish(name, make([]byte, 100), func() {}); err == nil {
				accepted++
			} else {
				require.ErrorIs(t, err, mesh.ErrBackplaneFull)
			}
		}
	})
	require.InDelta(t, (1<<20)/(100+100), accepted, 1500)
	require.EqualValues(t, 200_000-accepted, b.Stats().DroppedOut)

	// After the server has started, everything works as if it had run from the beginning.
	s = natstest.Start(t, &server.Options{Port: p})
	defer natstest.Stop(s)
	m.Subscribe("e")
	eventually(t, func() bool { return m.Err() == nil })
	meet(t, join(t, connect(t, s), nil, in.receive), "e", &in)
	eventually(t, func() bool { return b.Stats().Published == uint64(accepted) })
}

// TestConnectedLater has a connection that is established only after the hub has joined.
func TestConnectedLater(t *testing.T) {
	s := natstest.Start(t, &server.Options{})
	p, address := port(s), s.ClientURL()
	natstest.Stop(s)
	nc := connectTo(t, address, nats.RetryOnFailedConnect(true))
	var in inbox
	m := join(t, nc, nil, in.receive)
	require.Error(t, m.Err())
	m.Subscribe("e")
	require.NoError(t, m.Publish("f", make([]byte, 1000), nil))

	s = natstest.Start(t, &server.Options{Port: p})
	defer natstest.Stop(s)
	eventually(t, func() bool { return m.Err() == nil })
	meet(t, join(t, connect(t, s), nil, in.receive), "e", &in)
	eventually(t, func() bool { return errors.Is(m.Publish("f", make([]byte, 2<<20), nil), mesh.ErrTooLarge) })
}

// TestStalledNATS has a NATS that reads nothing and sends nothing, while the connection remains open.
func TestStalledNATS(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	p := startProxy(t, s.Addr().String())
	nc := connectTo(t, p.url(), nats.FlusherTimeout(time.Minute), nats.PingInterval(time.Minute))
	var in, other inbox
	b := natsbackplane.New(nc, &natsbackplane.Options{QueueLimit: 4 << 20})
	m, err := b.Join(newID(), in.receive)
	require.NoError(t, err)
	neighbour := join(t, connect(t, s), nil, other.receive)
	neighbour.Subscribe("e")
	m.Subscribe("e")
	meet(t, m, "e", &other)

	p.set(true)
	watch := backplanetest.StartStopwatch(t)
	// The messages first fill the buffers of the system. Then the connection blocks in a write and holds its lock. Then
	// the queue is full.
	full := false
	for !full {
		before := watch.Now()
		err := m.Publish("e", make([]byte, 100_000), func() {})
		m.Subscribe("a", "b::**")
		_ = m.Err()
		m.Unsubscribe("a", "b::**")
		_ = b.Stats()
		require.Less(t, watch.Now()-before, 500*time.Millisecond, "a method waits for NATS")
		if full = errors.Is(err, mesh.ErrBackplaneFull); !full {
			require.NoError(t, err)
			time.Sleep(time.Millisecond)
		}
	}
	eventually(t, func() bool { return m.Err() != nil })
	silent := watch.Now()
	require.EqualError(t, m.Err(), "natsbackplane: NATS does not answer")
	require.Less(t, silent, 6*time.Second)

	// Close does not wait for NATS, either.
	before := watch.Now()
	require.NoError(t, m.Close())
	took := watch.Now() - before
	require.Less(t, took, 2*time.Second)
	require.EqualError(t, m.Err(), "natsbackplane: this hub has left")
	t.Logf("silence noticed after %v, closed in %v", silent, took)

	// When the connection continues, the member releases everything, and another hub can join. goleak checks the
	// goroutines.
	p.set(false)
	eventually(t, func() bool {
		m, err := b.Join(newID(), in.receive)
		return err == nil && m.Close() == nil
	})
}

// TestStalledNATSComesBack stalls for a few seconds only, and checks that no accepted message is lost.
func TestStalledNATSComesBack(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	p := startProxy(t, s.Addr().String())
	var other inbox
	// The long timeouts keep the connection even on a slow machine.
	nc := connectTo(t, p.url(), nats.PingInterval(time.Minute), nats.FlusherTimeout(time.Minute))
	m := join(t, nc, &natsbackplane.Options{QueueLimit: 2 << 20}, func(string, []byte) {})
	listener := join(t, connect(t, s), nil, other.receive)
	listener.Subscribe("e")
	meet(t, m, "e", &other)
	p.set(true)
	accepted := 0
	for {
		err := m.Publish("e", []byte(strconv.Itoa(accepted)+string(make([]byte, 50_000))), nil)
		if errors.Is(err, mesh.ErrBackplaneFull) {
			break
		}
		require.NoError(t, err)
		accepted++
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Second)
	p.set(false)
	var got []string
	eventually(t, func() bool { got = append(got, other.take()...); return len(got) >= accepted })
	require.Len(t, got, accepted)
	for i, text := range got {
		require.Equal(t, strconv.Itoa(i)+string(make([]byte, 50_000)), text)
	}
	eventually(t, func() bool { return m.Err() == nil })
}

func TestCloseWithoutNATS(t *testing.T) {
	s := natstest.Start(t, &server.Options{})
	nc := connect(t, s)
	m := join(t, nc, nil, func(string, []byte) {})
	m.Subscribe("e", "**")
	natstest.Stop(s)
	eventually(t, func() bool { return m.Err() != nil })
	require.NoError(t, m.Publish("e", []byte("e"), nil))
	watch := backplanetest.StartStopwatch(t)
	require.NoError(t, m.Close())
	require.Less(t, watch.Now(), 2*time.Second)
	require.NoError(t, m.Close())
}

// TestServerOfThreeIsLost has hubs at three servers. One server ends, and its hub connects to another one.
func TestServerOfThreeIsLost(t *testing.T) {
	servers := runCluster(t)
	addresses := ""
	for _, s := range servers {
		addresses += "," + s.ClientURL()
	}
	var ins [3]inbox
	var backplanes [3]*natsbackplane.Backplane
	var members [3]mesh.BackplaneMember
	for i := range members {
		nc := connectTo(t, servers[i].ClientURL()+addresses, nats.DontRandomize())
		backplanes[i] = natsbackplane.New(nc, nil)
		m, err := backplanes[i].Join(newID(), ins[i].receive)
		require.NoError(t, err)
		defer m.Close()
		members[i] = m
		members[i].Subscribe("e::*", "e::**", fmt.Sprintf("own::%d", i))
	}
	meet(t, members[0], "e::x", &ins[1], &ins[2])
	meet(t, members[1], "e::x", &ins[0], &ins[2])

	stop := make(chan struct{})
	var wg sync.WaitGroup
	for i := range members {
		wg.Go(func() { // publish numbers while the server is lost
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				case <-time.After(time.Millisecond):
					if err := members[i].Publish("e::n", fmt.Appendf(nil, "%d:%d", i, n), nil); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	natstest.Stop(servers[0])
	eventually(t, func() bool { return backplanes[0].Stats().Reconnects == 1 && members[0].Err() == nil })
	meet(t, members[0], "own::1", &ins[1])
	meet(t, members[1], "own::0", &ins[0])
	close(stop)
	wg.Wait()
	for i := range ins {
		last := map[int]int{}
		for _, text := range ins[i].take() {
			var from, n int
			if _, err := fmt.Sscanf(text, "%d:%d", &from, &n); err == nil {
				require.NotEqual(t, i, from)
				if before, ok := last[from]; ok {
					require.Greater(t, n, before)
				}
				last[from] = n
			}
		}
		require.Len(t, last, 2)
	}
}

func TestConnectionClosedByItsOwner(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc := connect(t, s)
	m := join(t, nc, nil, func(string, []byte) {})
	m.Subscribe("e")
	nc.Close()
	eventually(t, func() bool { return m.Err() != nil })
	require.ErrorIs(t, m.Err(), nats.ErrConnectionClosed)
	require.ErrorIs(t, m.Err(), mesh.ErrBackplaneClosed)
	require.ErrorIs(t, m.Publish("e", nil, nil), nats.ErrConnectionClosed)
	m.Subscribe("f")
	require.NoError(t, m.Close())
	_, err := natsbackplane.New(nc, nil).Join(newID(), nil)
	require.ErrorIs(t, err, nats.ErrConnectionClosed)

	nc = connect(t, s)
	m = join(t, nc, nil, func(string, []byte) {})
	require.NoError(t, nc.Drain())
	eventually(t, func() bool { return m.Err() != nil })
	require.NoError(t, m.Close())
}

// TestHandlersOfTheOwnerRemain checks that the owner's handlers still get the errors and changes of the connection.
func TestHandlersOfTheOwnerRemain(t *testing.T) {
	s := natstest.Start(t, &server.Options{})
	defer func() { natstest.Stop(s) }()
	said := make(chan string, 10)
	nc := connect(t, s,
		nats.DisconnectErrHandler(func(*nats.Conn, error) { said <- "disconnected" }),
		nats.ReconnectHandler(func(*nats.Conn) { said <- "reconnected" }),
		nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) { said <- "error" }),
		nats.ClosedHandler(func(*nats.Conn) { said <- "closed" }))
	m := join(t, nc, nil, func(string, []byte) {})
	m.Subscribe("e")
	p := port(s)
	natstest.Stop(s)
	require.Equal(t, "disconnected", <-said)
	s = natstest.Start(t, &server.Options{Port: p})
	require.Equal(t, "reconnected", <-said)
	require.NoError(t, m.Close())
	require.True(t, nc.IsConnected(), "the connection is its owner's")
	nc.Close()
	require.Equal(t, "disconnected", <-said)
	require.Equal(t, "closed", <-said)
}

// TestSettingsCanBeOverridden checks that options after Settings override it.
func TestSettingsCanBeOverridden(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc := connect(t, s, nats.MaxReconnects(3))
	require.True(t, nc.Opts.NoEcho)
	require.Equal(t, 3, nc.Opts.MaxReconnect)
	nc = connect(t, s)
	require.Equal(t, -1, nc.Opts.MaxReconnect)
}

// TestHubsWhoseNATSIsAwayAtTheStart checks that hubs queue their events while NATS is missing at the start, as they do
// later.
func TestHubsWhoseNATSIsAwayAtTheStart(t *testing.T) {
	s := natstest.Start(t, &server.Options{})
	p, address := port(s), s.ClientURL()
	natstest.Stop(s)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	open := func() bool { return true }
	var first atomic.Int64 // when the first hub, which emits, was connected
	var hubs []*mesh.Node
	for _, mayDial := range []func() bool{open, func() bool { return first.Load() > 0 && time.Now().UnixMilli() > first.Load()+200 }} {
		nc := connectTo(t, address, nats.RetryOnFailedConnect(true), nats.ReconnectWait(50*time.Millisecond), nats.ReconnectJitter(0, 0),
			nats.SetCustomDialer(hesitant{mayDial}),
			nats.ConnectHandler(func(*nats.Conn) { first.CompareAndSwap(0, time.Now().UnixMilli()) }))
		hub, err := mesh.Listen(ctx, &mesh.Options{Addr: "localhost:0", Backplane: natsbackplane.New(nc, nil)})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, hub.Close()) })
		hubs = append(hubs, hub)
	}
	heard := make(chan mesh.Event, 1)
	hubs[1].On("e", func(e mesh.Event) { heard <- e })
	hubs[1].Reply("q", func(mesh.Event) (any, error) { return 1, nil })
	require.Error(t, hubs[0].Ready())
	require.NoError(t, hubs[0].Emit("e", 1))
	require.EqualValues(t, 1, hubs[0].Stats().HubsOut)
	answer := make(chan error, 1)
	go func() {
		_, err := hubs[0].Request(ctx, "q", nil)
		answer <- err
	}()
	eventually(t, func() bool { return hubs[0].Stats().HubsOut == 2 })

	s = natstest.Start(t, &server.Options{Port: p})
	defer natstest.Stop(s)
	eventually(t, func() bool { return hubs[0].Stats().Hubs == 1 && hubs[1].Stats().Hubs == 1 })
	select {
	case <-heard:
	case <-ctx.Done():
		require.Fail(t, "the event was lost")
	}
	require.NoError(t, <-answer)
}

// hesitant is a dialer that fails until may returns true.
type hesitant struct{ may func() bool }

func (h hesitant) Dial(network, address string) (net.Conn, error) {
	if !h.may() {
		return nil, errors.New("not yet")
	}
	return net.DialTimeout(network, address, time.Second)
}

// TestALogMayAskForWhatItIsTold checks that a log handler may call methods of the member.
func TestALogMayAskForWhatItIsTold(t *testing.T) {
	s := natstest.Start(t, &server.Options{})
	p := port(s)
	var ask atomic.Pointer[mesh.BackplaneMember]
	var log interoptest.Buffer
	b := natsbackplane.New(connect(t, s), &natsbackplane.Options{Logger: slog.New(asking{slog.NewTextHandler(&log, nil), func() {
		if m := ask.Load(); m != nil {
			_ = (*m).Err()
		}
	}})})
	m, err := b.Join(newID(), func(string, []byte) {})
	require.NoError(t, err)
	defer m.Close()
	ask.Store(&m)
	natstest.Stop(s)
	eventually(t, func() bool { return strings.Contains(log.String(), "no connection to NATS") })
	s = natstest.Start(t, &server.Options{Port: p})
	defer natstest.Stop(s)
	eventually(t, func() bool { return strings.Count(log.String(), "mesh: connected to NATS") == 2 && m.Err() == nil })
}

// asking is a log handler that calls ask for each record.
type asking struct {
	slog.Handler
	ask func()
}

func (a asking) Handle(ctx context.Context, r slog.Record) error {
	a.ask()
	return a.Handler.Handle(ctx, r)
}
