package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// Limits for every fault of hubs and of their connections.
const (
	// maxHubMemory bounds the resident memory of a hub, in bytes. A hub has about 25 MiB at rest. Its queue for NATS is
	// bounded by 16 MiB and may count several times, because the garbage collector frees memory late.
	maxHubMemory = 100 << 20
	// promptly bounds the time of an event that no fault delays, even on a busy machine.
	promptly = 3 * time.Second
	// wellWithin bounds the time from the end of a fault until all nodes receive each other's events again.
	wellWithin = 10 * time.Second
)

// startWalking starts a crowd that emits: two clients at each hub of a fleet, and the nodes in more.
func startWalking(t *testing.T, f *fleet, more ...*mesh.Node) *crowd {
	t.Helper()
	c := newCrowd(t)
	for i, h := range f.hubs {
		for range 2 {
			c.connect(h.addr, i)
		}
	}
	for _, n := range more {
		c.add(n, clusterHubs)
	}
	c.walk()
	return c
}

// startRoaming starts a crowd that emits: six clients that know the addresses of all hubs.
func startRoaming(t *testing.T, f *fleet) *crowd {
	t.Helper()
	c := newCrowd(t)
	for i := range 2 * clusterHubs {
		c.connect(f.addrs(i%clusterHubs), -1)
	}
	c.walk()
	return c
}

// suffer is like crowd.suffer. It also checks the memory of the hubs and the time of the recovery.
func (f *fleet) suffer(c *crowd, name string, fault func()) report {
	f.t.Helper()
	r := c.suffer(name, fault)
	var memory uint64
	for _, h := range f.hubs {
		memory = max(memory, h.peak.Load())
	}
	f.t.Logf("%s: a hub had up to %d MiB resident", name, memory>>20)
	require.Less(f.t, memory, uint64(maxHubMemory))
	require.Less(f.t, r.well, wellWithin)
	return r
}

// TestHubOfAClusterKilled kills a hub. The hub's clients connect to the other hubs before the hub starts again.
func TestHubOfAClusterKilled(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	c := startRoaming(t, f)
	r := f.suffer(c, "a hub killed and started again", func() {
		at := make(map[string]int)
		for _, w := range c.members {
			at[w.Addr()]++
		}
		most := 0
		for i, h := range f.hubs {
			if at[h.addr] > at[f.hubs[most].addr] {
				most = i
			}
		}
		f.hubs[most].Kill()
		c.awaitEach(time.Now())
		f.start(most)
		f.hubs[most].awaitReady(t)
	})
	require.GreaterOrEqual(t, r.lost, 2)
}

// startAtNATS starts hubs with --nats. addr returns the address of NATS for each hub.
func startAtNATS(t *testing.T, addr func(hub int) string) *fleet {
	t.Helper()
	return startFleetWith(t, func(hub int) []string { return []string{"--nats", addr(hub)} })
}

// startHubHere starts a hub in this process.
func startHubHere(t *testing.T, url string) *mesh.Node {
	t.Helper()
	return startGoHub(t, mesh.Options{Backplane: natsbackplane.New(connectNATS(t, url, "here"), nil)}).Node
}

// TestNATSOfAClusterKilled kills NATS. Each hub continues to serve its own clients.
func TestNATSOfAClusterKilled(t *testing.T) {
	t.Parallel()
	server := startNATS(t)
	f := startAtNATS(t, func(int) string { return server.url })
	c := startWalking(t, f, startHubHere(t, server.url))
	r := f.suffer(c, "NATS killed, and started again after 4 s", func() {
		server.Kill()
		time.Sleep(4 * time.Second)
		for _, h := range f.hubs {
			require.Error(t, get(t.Context(), h.ready, new(strings.Builder)), "a hub that cannot reach the others is not ready")
		}
		server.start()
	})
	require.Zero(t, r.near.lost)
	interoptest.RequireTakes(t, promptly, r.near.longest, "an event at one hub")
	require.Zero(t, r.lost, "connections of clients")
	require.Positive(t, r.far.lost+int(r.far.longest/promptly), "NATS was not away")
}

// TestPartitionOfACluster cuts a hub off from the two other hubs.
func TestPartitionOfACluster(t *testing.T) {
	t.Parallel()
	var own [clusterHubs]string
	var ways [clusterHubs][clusterHubs]*link // from a hub to another one
	for i := range own {
		own[i] = localAddr(interoptest.StablePort(t))
	}
	f := startFleetWith(t, func(hub int) []string {
		list := []string{own[hub]}
		for i, addr := range own {
			if i != hub {
				ways[hub][i] = newLink(t, addr)
				list = append(list, ways[hub][i].addr())
			}
		}
		return []string{"--cluster", strings.Join(list, ",")}
	})
	c := startWalking(t, f)
	away := func(from, to *walker) bool { return (from.hub == 0) != (to.hub == 0) }
	var began, over time.Time
	r := f.suffer(c, "a hub cut off for 10 s", func() {
		began = time.Now()
		for i := 1; i < clusterHubs; i++ {
			ways[0][i].cut()
			ways[i][0].cut()
		}
		time.Sleep(10 * time.Second)
		for i := 1; i < clusterHubs; i++ {
			ways[0][i].mend()
			ways[i][0].mend()
		}
		over = time.Now()
	})
	c.requireOnly(t, began, over, away, 5, "between the two sides", "on a side")
	require.Zero(t, r.lost, "connections of clients")
}

// TestSlowHubOfACluster makes a hub's connection to NATS much too slow. The hub and NATS drop events when their queues
// are full. The other hubs are not affected.
func TestSlowHubOfACluster(t *testing.T) {
	t.Parallel()
	const (
		rate   = 256 << 10 // bytes a second
		size   = 96 << 10  // of an event of the flood
		every  = 5 * time.Millisecond
		slow   = 0
		during = 6 * time.Second
	)
	server := startNATS(t)
	way := newLink(t, strings.TrimPrefix(server.url, "nats://"))
	f := startAtNATS(t, func(hub int) string {
		if hub == slow {
			return "nats://" + way.addr()
		}
		return server.url
	})
	here := startHubHere(t, server.url)
	c := startWalking(t, f, here)
	away := func(from, to *walker) bool { return (from.hub == slow) != (to.hub == slow) }
	var began, over time.Time
	r := f.suffer(c, "a hub with a slow way to NATS", func() {
		began = time.Now()
		stop := flood(t, here, startGoClient(t, portOf(t, f.hubs[slow].addr), mesh.Options{}).Node, size, every)
		way.rate.Store(rate)
		time.Sleep(during)
		way.rate.Store(0)
		stop()
		over = time.Now()
	})
	c.requireOnly(t, began, over, away, 2, "with the slow hub", "with the others")
	require.Zero(t, r.lost, "connections of clients")
}

// requireOnly checks the events that were emitted during a fault. Where away returns true, the sum of lost deliveries
// and of the longest delay in seconds must be greater than least. Elsewhere no event may be lost or late.
func (c *crowd) requireOnly(t *testing.T, from, to time.Time, away func(from, to *walker) bool, least int, what, others string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	gone := c.count(from, to, away)
	rest := c.count(from, to, func(from, to *walker) bool { return !away(from, to) })
	t.Logf("%s: of %d deliveries %d lost, the others up to %v on their way; %s: %d lost, up to %v",
		what, gone.wanted, gone.lost, round(gone.longest), others, rest.lost, round(rest.longest))
	require.Greater(t, gone.lost+int(gone.longest/time.Second), least, "%s no fault occurred", what)
	require.Zero(t, rest.lost)
	interoptest.RequireTakes(t, promptly, rest.longest, others)
}

// flood makes two nodes emit large events to each other until stop is called.
func flood(t *testing.T, a, b *mesh.Node, size int, every time.Duration) (stop func()) {
	t.Helper()
	payload := json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
	done := make(chan struct{})
	var running sync.WaitGroup
	var offs []func()
	for i, n := range []*mesh.Node{a, b} {
		offs = append(offs, n.On(fmt.Sprintf("flood::%d", 1-i), func(mesh.Event) {}))
		require.NoError(t, n.Flush(t.Context()))
		running.Go(func() {
			tick := time.NewTicker(every)
			defer tick.Stop()
			for {
				select {
				case <-tick.C:
					_ = n.Emit(fmt.Sprintf("flood::%d", i), payload) // fails if the queue is full
				case <-done:
					return
				}
			}
		})
	}
	return func() {
		close(done)
		running.Wait()
		for _, off := range offs {
			off()
		}
	}
}

// TestRollingRestartOfACluster terminates each hub and starts it again, one after the other. The clients lose no event
// and receive no event twice.
func TestRollingRestartOfACluster(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	c := startRoaming(t, f)
	r := f.suffer(c, "a rolling restart of three hubs", func() {
		for i, h := range f.hubs {
			h.terminate(t)
			f.start(i)
			h.awaitReady(t)
		}
	})
	require.Zero(t, r.all.lost)
	require.Zero(t, r.lost, "a client that moves is connected all the time")
}
