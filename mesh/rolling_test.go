package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// rolling are hubs of one mesh at fixed addresses, each of which can be replaced by a new one.
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
	for range n {
		r.addrs = append(r.addrs, stableAddr(t))
	}
	for i := range n {
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

// restart shuts a hub down, and starts another one at its address.
func (r *rolling) restart(i int) {
	r.t.Helper()
	require.NoError(r.t, r.hubs[i].Shutdown(testContext(r.t)))
	r.hubs[i] = r.start(i)
}

// from returns the addresses of all hubs, that of one of them first.
func (r *rolling) from(i int) string {
	return strings.Join(append(append([]string{}, r.addrs[i:]...), r.addrs[:i]...), ",")
}

func TestRollingRestartLosesAndDoublesNothing(t *testing.T) {
	r := startRolling(t, 3, mesh.Options{})
	const clients = 6
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var nodes []*mesh.Node
	var heard []*ears
	var changes []<-chan mesh.State
	for i := range clients {
		// At first there are as many of them at each hub; where they go then is left to chance.
		n := connectTo(t, mesh.Options{Addr: r.addrs[i%3]})
		require.NoError(t, n.Close())
		n = connectTo(t, mesh.Options{Addr: r.from(i % 3), OfflineLimit: 8 << 20, CallbackLimit: 16 << 20})
		nodes = append(nodes, n)
		heard = append(heard, listenTo(t, n, "n::*"))
		changes = append(changes, states(n))
	}
	emitted := make([]int, clients)
	var wg sync.WaitGroup
	for i, n := range nodes {
		wg.Go(func() {
			for ; ctx.Err() == nil; emitted[i]++ {
				if err := n.Emit(fmt.Sprintf("n::%d", emitted[i]%5), emitted[i]); err != nil {
					t.Error(err)
				}
				if emitted[i]%4 == 0 {
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
	at := make(map[string]int)
	for i, e := range heard {
		next, want := make(map[string]int), 0
		for j := range clients {
			want += emitted[j]
		}
		for range want {
			ev := e.next()
			var k int
			require.NoError(t, ev.Decode(&k))
			require.Equal(t, next[ev.From], k, "client %d, from %s", i, ev.From)
			next[ev.From]++
		}
		require.Empty(t, e.in)
		hub, ok := nodes[i].Hub()
		require.True(t, ok)
		at[hub.ID]++
	}
	moved := 0
	for _, ch := range changes {
		for len(ch) > 0 {
			s := <-ch
			require.Equal(t, mesh.Connected, s.Status, "%v", s.Err)
			moved++
		}
	}
	require.GreaterOrEqual(t, moved, clients)
	t.Log(emitted, moved, at)
}
