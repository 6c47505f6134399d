package mesh_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// TestPresenceConvergesAfterBrokenConnections breaks nodes' connections while the hub notices nothing. The nodes
// connect to another hub. A third hub must list each of them once, within 5 s.
func TestPresenceConvergesAfterBrokenConnections(t *testing.T) {
	const count = 20
	hubs := cluster(t, 3, mesh.Options{})
	p, next := meshtest.StartProxy(t, hubs[0].Addr()), meshtest.StartProxy(t, hubs[1].Addr())
	next.Close()
	var mu sync.Mutex
	listed := map[string]map[string]bool{} // the hubs of each node, as reported by the third hub
	hubs[2].OnPresence(func(c mesh.Presence) {
		mu.Lock()
		defer mu.Unlock()
		if listed[c.Node.ID] == nil {
			listed[c.Node.ID] = map[string]bool{}
		}
		if c.Joined {
			listed[c.Node.ID][c.Node.Hub] = true
		} else {
			delete(listed[c.Node.ID], c.Node.Hub)
		}
	})
	flush(t, hubs[2])
	ids := map[string]bool{}
	for i := range count {
		transports := []engineio.Transport{engineio.Polling}
		if i%2 == 0 {
			transports = overWebSocket
		}
		n := connectTo(t, mesh.Options{Addr: p.Addr() + "," + next.Addr(), Name: fmt.Sprint("node-", i), Transports: transports})
		ids[n.ID()] = true
	}
	// where returns the first reason why not all nodes are listed once, at a hub.
	where := func(hub *mesh.Node) string {
		nodes, err := hubs[2].Nodes(meshtest.Context(t))
		require.NoError(t, err)
		seen := map[string]string{}
		for _, n := range nodes {
			if ids[n.ID] {
				seen[n.ID] += n.Hub
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for id := range ids {
			if seen[id] != hub.ID() || len(listed[id]) != 1 || !listed[id][hub.ID()] {
				return fmt.Sprintf("%s: listed at %q, told %v", id, seen[id], listed[id])
			}
		}
		return ""
	}
	converge := func(hub *mesh.Node) time.Duration {
		start := time.Now()
		why := ""
		for ; time.Since(start) < meshtest.Patience; time.Sleep(10 * time.Millisecond) {
			if why = where(hub); why == "" {
				break
			}
		}
		require.Empty(t, why)
		return time.Since(start)
	}
	converge(hubs[0])
	next.Open()
	p.CloseClients()
	interoptest.RequireTakes(t, 5*time.Second, converge(hubs[1]), "after the connections broke")
}
