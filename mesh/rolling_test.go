package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// rolling has hubs of one mesh at fixed addresses. A test can replace each of them by a new one.
type rolling struct {
	t     *testing.T
	opts  mesh.Options
	addrs []string
	hubs  []*mesh.Node
}

func startRolling(t *testing.T, n int, opts mesh.Options) *rolling {
	t.Helper()
	r := &rolling{t: t, opts: opts}
	if r.opts.Backplane == nil {
		r.opts.Backplane = new(mesh.LocalBackplane)
	}
	for i := range n {
		r.addrs = append(r.addrs, stableAddr(t))
		r.hubs = append(r.hubs, r.start(i))
	}
	return r
}

func (r *rolling) start(i int) *mesh.Node {
	r.t.Helper()
	opts := r.opts
	opts.Addr = r.addrs[i]
	return listen(r.t, opts)
}

// restart shuts a hub down, and starts another hub at its address.
func (r *rolling) restart(i int) {
	r.t.Helper()
	require.NoError(r.t, r.hubs[i].Shutdown(meshtest.Context(r.t)))
	r.hubs[i] = r.start(i)
}

// all returns the addresses of all hubs.
func (r *rolling) all() string { return strings.Join(r.addrs, ",") }

func TestRollingRestartLosesAndDoublesNothing(t *testing.T) {
	r := startRolling(t, 3, mesh.Options{Backplane: laggingBackplane(1000, 40*time.Millisecond)})
	const clients = 6
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var nodes []*mesh.Node
	var heard []ears
	var changes []<-chan mesh.State
	transports := [][]engineio.Transport{nil, {engineio.WebSocket}, {engineio.Polling}}
	for i := range clients {
		n := connectTo(t, mesh.Options{Addr: r.all(), Transports: transports[i%3], OfflineLimit: 8 << 20, CallbackLimit: 16 << 20})
		nodes = append(nodes, n)
		heard = append(heard, listenTo(t, n, "n::*"))
		changes = append(changes, states(n))
	}
	emitted := make([]int, clients)
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			for ; ctx.Err() == nil && emitted[i] < 100_000/clients; emitted[i]++ { // ears has room for this many events
				if err := n.Emit(fmt.Sprintf("n::%d", emitted[i]%5), emitted[i]); err != nil {
					t.Error(err)
				}
				if emitted[i]%2 == 0 {
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	for i := range r.hubs {
		r.restart(i)
	}
	stop()
	wg.Wait()
	for _, n := range nodes {
		flush(t, n)
	}
	for i, e := range heard {
		next, want := make(map[string]int), 0
		for j := range clients {
			want += emitted[j]
		}
		for range want {
			ev := e.Next()
			var k int
			require.NoError(t, ev.Decode(&k))
			require.Equal(t, next[ev.From], k, "client %d, from %s", i, ev.From)
			next[ev.From]++
		}
		require.Empty(t, e.C)
	}
	for _, ch := range changes {
		eventually(t, "each has moved", func() bool { return len(ch) > 0 })
		for len(ch) > 0 {
			s := <-ch
			require.Equal(t, mesh.Connected, s.Status, "%v", s.Err)
		}
	}
}

// A node that was started with several addresses moves to another hub. It becomes the hub at its own address only when
// there is no other hub.
func TestStartedNodesMoveInsteadOfBinding(t *testing.T) {
	r := startRolling(t, 2, mesh.Options{})
	p := meshtest.StartProxy(t, r.addrs[0])
	n := start(t, mesh.Options{Addr: p.Addr() + "," + r.addrs[1], Backplane: r.opts.Backplane, Transports: overWebSocket})
	require.Equal(t, mesh.RoleClient, n.Role())
	info, _ := n.Hub()
	require.Equal(t, r.hubs[0].ID(), info.ID, "the one at its own address")
	changes := states(n)
	heard := listenTo(t, n, "e")

	p.Stop() // its own address is free
	awaitStatus(t, changes, mesh.Disconnected)
	require.Equal(t, r.hubs[1].ID(), awaitStatus(t, changes, mesh.Connected).Hub.ID)
	require.Equal(t, mesh.RoleClient, n.Role())
	require.NoError(t, r.hubs[0].Emit("e", 1))
	require.Equal(t, "1", string(heard.Next().Payload))

	require.NoError(t, r.hubs[1].Close())
	require.Equal(t, mesh.RoleHub, awaitStatus(t, changes, mesh.Connected).Role)
	require.Equal(t, p.Addr(), n.Addr())
	require.NoError(t, n.Ready())
	require.NoError(t, r.hubs[0].Close())
	r.hubs[1] = r.start(1)
	eventually(t, "it is one of the hubs", func() bool { return n.Stats().Hubs == 1 })
	require.NoError(t, r.hubs[1].Emit("e", 2))
	require.Equal(t, "2", string(heard.Next().Payload))
	c := connectTo(t, mesh.Options{Addr: n.Addr() + "," + r.addrs[1]})
	flush(t, c)
	require.NoError(t, n.Shutdown(meshtest.Context(t)), "as any hub")
	info, _ = c.Hub()
	require.Equal(t, r.hubs[1].ID(), info.ID)
}

func TestStartedNodesTakeTheirOwnAddressFirst(t *testing.T) {
	backplane := new(mesh.LocalBackplane)
	one, two := stableAddr(t), stableAddr(t)
	a := start(t, mesh.Options{Addr: one + "," + two, Backplane: backplane})
	b := start(t, mesh.Options{Addr: two + "," + one, Backplane: backplane})
	require.Equal(t, []mesh.Role{mesh.RoleHub, mesh.RoleHub}, []mesh.Role{a.Role(), b.Role()})
	require.Equal(t, 1, b.Stats().Hubs)
	p := meshtest.StartProxy(t, two)
	p.Close() // its own address is taken by a program that does not respond
	c := start(t, mesh.Options{Addr: p.Addr() + "," + one})
	require.Equal(t, one, c.Addr())
	_, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: one + "," + two})
	require.ErrorContains(t, err, "only Start and Connect accept several addresses")
	_, err = mesh.NewHub(&mesh.Options{Addr: one + "," + two})
	require.ErrorContains(t, err, "only Start and Connect accept several addresses")
}

// Requests, queries, presence, listeners and Flush work while hubs are replaced.
func TestEverythingGoesOnWhileClientsMove(t *testing.T) {
	r := startRolling(t, 3, mesh.Options{})
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var wg sync.WaitGroup
	var nodes []*mesh.Node
	for range 3 {
		n := connectTo(t, mesh.Options{Addr: r.all()})
		n.Reply("double", func(e mesh.Event) (any, error) {
			var k int
			err := e.Decode(&k)
			return 2 * k, err
		})
		flush(t, n)
		nodes = append(nodes, n)
	}
	actions := []func(n *mesh.Node, i int) error{
		func(n *mesh.Node, i int) error {
			a, err := n.Request(meshtest.Context(t), "double", i)
			if err == nil && string(a.Payload) != fmt.Sprint(2*i) {
				err = fmt.Errorf("answered %s", a.Payload)
			}
			return err
		},
		func(n *mesh.Node, _ int) error {
			if err := n.Emit("e", nil); err != nil {
				return err
			}
			return n.Flush(meshtest.Context(t))
		},
		func(n *mesh.Node, i int) error { // after its Flush, a node receives the event
			name, heard := fmt.Sprintf("%s-%d", n.ID(), i), make(chan mesh.Event, 1)
			defer n.On(name, func(e mesh.Event) { heard <- e })()
			if err := n.Flush(meshtest.Context(t)); err != nil {
				return err
			}
			if err := nodes[i%3].Emit(name, nil); err != nil {
				return err
			}
			select {
			case <-heard:
				return nil
			case <-time.After(meshtest.Patience):
				return fmt.Errorf("%s was lost", name)
			}
		},
		func(n *mesh.Node, _ int) error {
			defer n.OnPresence(func(mesh.Presence) {})()
			_, err := n.Nodes(meshtest.Context(t))
			return err
		},
		func(n *mesh.Node, _ int) error {
			_, err := n.Explain(meshtest.Context(t), mesh.ExplainQuery{To: n.ID(), Event: "e"})
			if errors.Is(err, mesh.ErrUnknownNode) { // the node moved between the query and the response
				err = nil
			}
			return err
		},
	}
	for _, n := range nodes {
		for what, act := range actions {
			wg.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					if err := act(n, i); err != nil {
						t.Errorf("action %d: %v", what, err)
						return
					}
					time.Sleep(time.Millisecond)
				}
			})
		}
	}
	for i := range r.hubs {
		r.restart(i)
	}
	stop()
	wg.Wait()
}

// Nodes and hubs close during moves. The race detector checks them.
func TestMovesThatAreCutShort(t *testing.T) {
	t.Parallel() // it waits for a timer
	backplane := new(mesh.LocalBackplane)
	last := listen(t, mesh.Options{Backplane: backplane})
	for i := range 10 {
		hub := listen(t, mesh.Options{Backplane: backplane})
		var wg sync.WaitGroup
		for range 4 {
			n := connectTo(t, mesh.Options{Addr: hub.Addr() + "," + last.Addr(), Transports: [][]engineio.Transport{nil, overWebSocket}[i%2]})
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.N(10_000))*time.Microsecond)
				defer cancel()
				for ctx.Err() == nil {
					_ = n.Emit("e", nil)
					_ = n.Flush(ctx)
					n.On("x", func(mesh.Event) {})()
				}
				if rand.N(2) == 0 {
					_ = n.Close()
				}
			})
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Duration(rand.N(10_000))*time.Microsecond)
		err := hub.Shutdown(ctx)
		cancel()
		if err != nil {
			require.ErrorIs(t, err, context.DeadlineExceeded)
		}
		wg.Wait()
	}
}
