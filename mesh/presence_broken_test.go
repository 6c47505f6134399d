package mesh_test

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// holding is a proxy that can break its clients' connections and keep the connections to the hub, like a network that
// loses packets: the hub sees no end.
type holding struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu     sync.Mutex
	broken bool
	in     []net.Conn
	out    []net.Conn
}

func startHolding(t *testing.T, target string) *holding {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &holding{l: l, target: target}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.breakAll()
		p.mu.Lock()
		for _, c := range p.out {
			_ = c.Close()
		}
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *holding) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		p.mu.Lock()
		if err != nil || p.broken {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			p.mu.Unlock()
			continue
		}
		p.in, p.out = append(p.in, in), append(p.out, out)
		p.mu.Unlock()
		p.wg.Go(func() { _, _ = io.Copy(out, in) })
		p.wg.Go(func() { _, _ = io.Copy(in, out); _, _ = io.Copy(io.Discard, out) })
	}
}

// breakAll resets the clients' connections, and accepts no further ones.
func (p *holding) breakAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = true
	for _, c := range p.in {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	p.in = nil
}

func (p *holding) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken = false
}

// TestPresenceConvergesAfterBrokenConnections breaks nodes' connections while the hub notices nothing. The nodes
// connect to another hub. A third hub must list each of them once, within 5 s.
func TestPresenceConvergesAfterBrokenConnections(t *testing.T) {
	const count = 20
	hubs := cluster(t, 3, mesh.Options{})
	p, next := startHolding(t, hubs[0].Addr()), startHolding(t, hubs[1].Addr())
	next.breakAll()
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
		n := connectTo(t, mesh.Options{Addr: p.l.Addr().String() + "," + next.l.Addr().String(), Name: fmt.Sprint("node-", i), Transports: transports})
		ids[n.ID()] = true
	}
	// where returns the first reason why not all nodes are listed once, at a hub.
	where := func(hub *mesh.Node) string {
		nodes, err := hubs[2].Nodes(testContext(t))
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
		for ; time.Since(start) < patience; time.Sleep(10 * time.Millisecond) {
			if why = where(hub); why == "" {
				break
			}
		}
		require.Empty(t, why)
		return time.Since(start)
	}
	converge(hubs[0])
	next.open()
	p.breakAll()
	interoptest.RequireTakes(t, 5*time.Second, converge(hubs[1]), "after the connections broke")
}
