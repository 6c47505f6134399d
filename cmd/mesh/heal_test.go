package main

import (
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// stableAddr returns a free address of localhost for a hub that starts later: see interoptest.StablePort.
func stableAddr(t *testing.T) string {
	t.Helper()
	return fmt.Sprintf("localhost:%d", interoptest.StablePort(t))
}

// heals waits until the process has a hub again, and reports whether it became the hub itself.
func (p *process) heals() (hub bool) {
	p.t.Helper()
	for {
		text, ok := p.Next(p.Stderr)
		require.True(p.t, ok, "%v ended", p.Cmd.Args[1:])
		switch {
		case strings.Contains(text, "this node is the hub now"):
			return true
		case strings.Contains(text, "the hub is back"):
			return false
		}
	}
}

// TestTwentyNodesWhoseHubIsKilled checks that exactly one of the other nodes takes over, and that all find it. It
// prints how long that took. A full run kills six hubs.
func TestTwentyNodesWhoseHubIsKilled(t *testing.T) {
	const nodes = 20
	rounds := 1
	if interoptest.Full() {
		rounds = 6
	}
	addr := stableAddr(t)
	hub := spawn(t, nil, "start", "--addr", addr)
	require.Equal(t, "the hub", hub.is().role)
	var clients []*process
	join := func() {
		p := spawn(t, nil, "start", "--addr", addr)
		clients = append(clients, p)
		require.Equal(t, "a client of the hub", p.is().role)
	}
	for range nodes - 1 {
		join()
	}
	var without, healed []time.Duration
	for range rounds {
		time.Sleep(time.Second) // otherwise the clients would treat it as a hub that admits them and then closes
		killed := time.Now()
		require.NoError(t, hub.Cmd.Process.Kill())
		hub.Wait() // until its end it may still accept connections
		for {
			conn, err := net.Dial("tcp", addr)
			if err == nil {
				require.NoError(t, conn.Close())
				break
			}
			require.Less(t, time.Since(killed), patience)
			time.Sleep(200 * time.Microsecond)
		}
		without = append(without, time.Since(killed))
		hub = nil
		for _, p := range clients {
			if p.heals() {
				require.Nil(t, hub, "a second hub")
				hub = p
			}
		}
		healed = append(healed, time.Since(killed))
		require.NotNil(t, hub)
		clients = slices.DeleteFunc(clients, func(p *process) bool { return p == hub })

		stdout, stderr, code := execute(t, nil, "nodes", "--json", "--addr", addr)
		require.Zero(t, code, stderr)
		roles := map[mesh.Role]int{}
		for text := range strings.Lines(stdout) {
			var info mesh.NodeInfo
			require.NoError(t, json.Unmarshal([]byte(text), &info))
			roles[info.Role]++
		}
		require.Equal(t, map[mesh.Role]int{mesh.RoleHub: 1, mesh.RoleClient: nodes - 2}, roles)
		join()
	}
	slices.Sort(without)
	slices.Sort(healed)
	t.Logf("%d nodes, the hub killed %d times: without a hub %v (median), %v (most); until all were back %v (median), %v (most)",
		nodes, rounds, without[rounds/2].Round(100*time.Microsecond), without[rounds-1].Round(100*time.Microsecond),
		healed[rounds/2].Round(time.Millisecond), healed[rounds-1].Round(time.Millisecond))
}

func TestAClientMovesToAnotherHub(t *testing.T) {
	hubs := map[string]*process{}
	var addrs []string
	for range 2 {
		p := spawn(t, nil, "listen", "--addr", anyPort)
		url := p.is().url
		hubs[url] = p
		addrs = append(addrs, url)
	}
	on := spawn(t, nil, "on", "--addr", strings.Join(addrs, ","), "--count", "1", "x")
	first := on.is().url
	require.Contains(t, hubs, first)
	require.NoError(t, hubs[first].Cmd.Process.Kill())
	on.says("lost the hub at " + first)
	delete(hubs, first)
	for url := range hubs {
		on.says("connected to the hub at " + url)
		_, stderr, code := execute(t, nil, "emit", "x", "--addr", strings.Join(addrs, ","))
		require.Zero(t, code, stderr)
	}
	_, _, code := on.Wait()
	require.Zero(t, code)

	_, stderr, code := execute(t, nil, "emit", "x", "--addr", "localhost:1,localhost:2")
	require.Equal(t, 1, code)
	require.Equal(t, "mesh: no hub at localhost:1 (no program listens there), nor at localhost:2 (no program listens there)\n", stderr)
}
