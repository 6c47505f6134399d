package mesh_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// flood writes n events of size bytes as fast as the hub reads them.
func flood(t testing.TB, conn net.Conn, event string, n, size int) (wrote chan error) {
	t.Helper()
	wrote = make(chan error, 1)
	pad := strings.Repeat("x", size)
	go func() {
		w := bufio.NewWriterSize(conn, 64<<10)
		for i := range n {
			if err := meshtest.WriteFrame(w, fmt.Sprintf(`4{"event":%q,"payload":{"n":%d,"pad":"%s"}}`, event, i, pad)); err != nil {
				wrote <- err
				return
			}
		}
		wrote <- w.Flush()
	}()
	return wrote
}

// slowReader reads at a limited rate until slow is closed, and then as fast as it can.
type slowReader struct {
	conn net.Conn
	rate int // bytes a second
	slow chan struct{}
}

func (r *slowReader) Read(b []byte) (int, error) {
	select {
	case <-r.slow:
	default:
		b = b[:min(len(b), r.rate/50)]
		time.Sleep(time.Second * time.Duration(len(b)) / time.Duration(r.rate))
	}
	return r.conn.Read(b)
}

// afterPause returns a channel that is closed when the hub has slowed down a peer.
func afterPause(t testing.TB, hub *mesh.Node) chan struct{} {
	paused := make(chan struct{})
	go func() {
		defer close(paused)
		for hub.Stats().Pauses == 0 && t.Context().Err() == nil {
			time.Sleep(time.Millisecond)
		}
	}()
	return paused
}

func (r *slowReader) requireEvents(t testing.TB, n int) {
	t.Helper()
	in := bufio.NewReaderSize(r, 16<<10)
	for i := range n {
		text := meshtest.ReadFrame(t, in)
		require.True(t, strings.HasPrefix(text, "4"), text)
		var p struct{ Payload struct{ N int } }
		require.NoError(t, json.Unmarshal([]byte(text[1:]), &p))
		require.Equal(t, i, p.Payload.N, "the order stays, and no event is lost")
	}
}

// A peer that emits faster than a subscriber reads waits for the subscriber.
func TestFloodSlowsTheFloodingPeer(t *testing.T) {
	for name, size := range map[string]int{"small events": 100, "large events": 500_000} {
		t.Run(name, func(t *testing.T) {
			const total = 8 << 20 // more than the kernel's buffers and the queue hold
			n := total / (size + 100)
			var logs meshtest.Log
			hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Logger: logs.Logger()})
			listener := meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e"))
			require.NoError(t, listener.(*net.TCPConn).SetReadBuffer(64<<10))
			emitter := meshtest.DialRaw(t, hub.Addr())
			wrote := flood(t, emitter, "e", n, size)
			(&slowReader{conn: listener, rate: 512 << 10, slow: afterPause(t, hub)}).requireEvents(t, n)
			require.NoError(t, <-wrote)
			stats := hub.Stats()
			require.Zero(t, stats.SlowPeers)
			require.NotZero(t, stats.Pauses)
			require.EqualValues(t, n, stats.Sent)
			require.Contains(t, logs.String(), "reads from it more slowly")
		})
	}
}

// The hub disconnects a subscriber that reads nothing for a second. The emitter is not disconnected, and the other
// subscribers lose no event.
func TestListenerThatReadsNothingDelaysNoOtherPeer(t *testing.T) {
	const size, n = 1000, 8 << 10
	var logs meshtest.Log
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Logger: logs.Logger()})
	for range 3 {
		meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e"))
	}
	neverPolls(t, hub, meshtest.Table("mesh::e"))
	listener := meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e"))
	wrote := flood(t, meshtest.DialRaw(t, hub.Addr()), "e", n, size)
	(&slowReader{conn: listener, rate: 100 << 20, slow: afterPause(t, hub)}).requireEvents(t, n)
	require.NoError(t, <-wrote)
	eventually(t, "they are gone", func() bool { return hub.Stats().SlowPeers == 4 })
	require.Contains(t, logs.String(), "read nothing for a second", "the message names the cause")
}

// A subscriber has a second to read from the moment at which its queue holds up another peer. The time for which a small
// rest of an earlier, large queue has waited does not count.
func TestTheRestOfAnEarlierQueueDoesNotCostPatience(t *testing.T) {
	const early, large = 10_050, 3 // a poll takes at most 10,000 packets
	synctest.Test(t, func(t *testing.T) {
		hub, network := serveInMemory(t, mesh.Options{QueueLimit: 4 << 20})
		poll := meshtest.DialPolling(t, network.Client, "http://mesh/engine.io/", meshtest.Table("mesh::e"))
		emitter := inTheBubble(t, network)
		synctest.Wait()
		for i := range early {
			require.NoError(t, hub.Emit("e", i))
		}
		heard := strings.Count(poll(), `"event":"e"`) // as many as one response carries
		require.Less(t, heard, early)
		time.Sleep(2 * time.Second) // longer than the hub's patience
		for range large {           // together they are more than half of the queue, and the emitter may fill only half
			require.NoError(t, hub.Emit("e", strings.Repeat("x", 900_000)))
		}
		require.NoError(t, emitter.Emit("e", strings.Repeat("x", 200_000))) // above its share
		synctest.Wait()
		require.EqualValues(t, early+large, hub.Stats().Sent, "the last event waits")
		for heard < early+large+1 {
			heard += strings.Count(poll(), `"event":"e"`)
		}
		require.Zero(t, hub.Stats().SlowPeers)
	})
}

// Peers that write without reading delay each other for a second, and do not delay the hub.
func TestPeersThatFloodEachOther(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	a, b := meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e")), meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e"))
	for _, end := range []chan error{flood(t, a, "e", 40_000, 1000), flood(t, b, "e", 40_000, 1000)} {
		select {
		case <-end:
		case <-time.After(meshtest.Patience):
			t.Fatal("a peer waits for ever")
		}
	}
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "after")
	require.NoError(t, connect(t, hub, mesh.Options{}).Emit("after", 1))
	heard.Next()
}

// A peer that emits little does not wait for a flood, and neither do its events to other peers.
func TestModestPeerDoesNotWaitBehindAFlood(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	listener := meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e", "mesh::modest"))
	flooder := meshtest.DialRaw(t, hub.Addr())
	wrote := flood(t, flooder, "e", 1<<20, 1000) // until the end of the test
	read := make(chan struct{})
	go func() { // the reader needs a quarter of a second for the events that a flooding peer sends together
		defer close(read)
		_, _ = io.Copy(io.Discard, &slowReader{conn: listener, rate: 256 << 10})
	}()
	c := connect(t, hub, mesh.Options{Transports: overWebSocket})
	heard := listenTo(t, connect(t, hub, mesh.Options{Transports: overWebSocket}), "modest")
	<-afterPause(t, hub)
	var took time.Duration
	const emitted = 30
	for i := range emitted {
		time.Sleep(50 * time.Millisecond) // between two events
		start := time.Now()
		require.NoError(t, c.Emit("modest", i))
		heard.Next()
		took += time.Since(start)
	}
	interoptest.RequireTakes(t, emitted*125*time.Millisecond, took, "half of the time if each event waited for the listener")
	require.Zero(t, hub.Stats().SlowPeers)
	require.Empty(t, wrote, "the flood goes on")
	require.NoError(t, flooder.Close())
	require.Error(t, <-wrote)
	require.NoError(t, listener.Close())
	<-read
}

// The hub routes only one batch at a time of events that take many steps. Other events do not wait for them.
func TestDearEventsWaitForEachOtherOnly(t *testing.T) {
	const dearSteps = 2048 // an event with more steps is dear
	event, held := strings.Repeat("a::", 31)+"b", strings.Repeat("a::", 31)+"c"
	routing, blocked := make(chan struct{}, 1000), make(chan struct{})
	release := sync.OnceFunc(func() { close(blocked) })
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Permit: func(_ mesh.PeerInfo, a mesh.Action, name string) bool {
		if name == held && a == mesh.ActionListen {
			routing <- struct{}{}
			<-blocked
		}
		return true
	}})
	defer release()
	parts := make([]string, 16)
	for i := range 100 {
		var keys []string
		for k := range 8 { // more patterns would exceed the steps that a hub accepts in a table
			parts[0] = "**"
			for j := 1; j < len(parts); j++ {
				parts[j] = []string{"a", "*"}[(i*8+k)>>(j%12)&1]
			}
			keys = append(keys, strings.Join(parts, "::"))
		}
		meshtest.DialRaw(t, hub.Addr(), meshtest.Table(keys...))
	}
	emitter := func() *mesh.Node { return connect(t, hub, mesh.Options{Transports: overWebSocket}) }
	first, second, cheap := emitter(), emitter(), emitter()
	heard := listenTo(t, emitter(), "cheap", "last")
	for _, dear := range []*mesh.Node{first, second} {
		eventually(t, "the hub has read all tables, and the emitter's events are dear", func() bool {
			before := hub.Stats().SearchSteps
			require.NoError(t, dear.Emit(event, nil))
			flush(t, dear)
			return hub.Stats().SearchSteps-before > dearSteps
		})
	}

	require.NoError(t, cheap.Emit("cheap", nil))
	heard.silentUntil("cheap")
	require.NoError(t, first.Emit(held, nil))
	<-routing
	require.NoError(t, second.Emit(event, nil))
	require.NoError(t, second.Emit("last", nil))
	require.NoError(t, cheap.Emit("cheap", nil))
	heard.silentUntil("cheap")
	release()
	heard.silentUntil("last")
	assert.Zero(t, hub.Stats().SlowPeers)
}
