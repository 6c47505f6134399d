package mesh_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// audience is a set of peers that read frames and do not parse them. The benchmark results include the cost of reading.
type audience struct {
	t        testing.TB
	hub      *mesh.Node
	peers    int
	received atomic.Int64 // bytes
}

func gather(t testing.TB, hub *mesh.Node, peers int, interest string) *audience {
	a := &audience{t: t, hub: hub, peers: peers}
	for range peers {
		conn := meshtest.DialRaw(t, hub.Addr(), meshtest.Table(interest))
		go func() {
			buf := make([]byte, 64<<10)
			for {
				n, err := conn.Read(buf)
				a.received.Add(int64(n))
				if err != nil {
					return
				}
			}
		}()
	}
	return a
}

// await waits until each peer has received the given number of frames of this size.
func (a *audience) await(events, frame int) {
	want := int64(events * frame * a.peers)
	for deadline := time.Now().Add(meshtest.Patience); a.received.Load() < want; {
		if runtime.Gosched(); time.Now().After(deadline) {
			a.t.Fatalf("%d of %d bytes came, %d peers were too slow", a.received.Load(), want, a.hub.Stats().SlowPeers)
		}
	}
}

// routed is an event from one client of the original to others. routedFrame is the size of the frame that each of these
// receives.
const (
	routed      = `{"event":"bench::event","payload":{"x":"` + text64 + text64 + `"}}`
	routedFrame = 4 + len(`4{"event":"bench::event","payload":{"id":"","x":"`+text64+text64+`"}}`) + 32
	text64      = "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
)

// settled returns when the hub has processed everything that came on a connection. The connection must receive nothing
// but the reply.
func settled(t testing.TB, conn net.Conn) {
	var answer [3]byte
	require.NoError(t, meshtest.WriteFrame(conn, "2"))
	_, err := io.ReadFull(conn, answer[:])
	require.NoError(t, err)
	require.Equal(t, "3", string(answer[2:]))
}

// BenchmarkRoute sends packets of a bare client, 16 in a batch, through a hub to its subscribers. The time includes
// parsing, lookup, encoding, queueing, writing and reading.
func BenchmarkRoute(b *testing.B) {
	const row, window = 16, 1008
	for _, peers := range []int{0, 1, 50, 500} {
		b.Run(fmt.Sprintf("peers=%d", peers), func(b *testing.B) {
			hub := listen(b, mesh.Options{Addr: "127.0.0.1:0"})
			a := gather(b, hub, peers, "mesh::bench::event")
			sender := meshtest.DialRaw(b, hub.Addr(), meshtest.Table("mesh::other"))
			packets := make([]string, row)
			for i := range packets {
				packets[i] = routed
			}
			wire := meshtest.Frames(packets...)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if n%row == 0 {
					if _, err := sender.Write(wire); err != nil {
						b.Fatal(err)
					}
				}
				if n++; n%window == 0 {
					a.await(n, routedFrame)
					settled(b, sender)
				}
			}
			settled(b, sender)
			a.await(n, routedFrame)
			b.ReportMetric(float64(n*max(peers, 1))/b.Elapsed().Seconds(), map[bool]string{true: "deliveries/s", false: "events/s"}[peers > 0])
		})
	}
}

// BenchmarkRouteParallel has a client on each core. Their events have no subscribers.
func BenchmarkRouteParallel(b *testing.B) {
	const row = 64
	hub := listen(b, mesh.Options{Addr: "127.0.0.1:0"})
	gather(b, hub, 1, "mesh::other::*")
	packets := make([]string, row)
	for i := range packets {
		packets[i] = fmt.Sprintf(`{"event":"bench::%d","payload":1}`, i)
	}
	wire := meshtest.Frames(packets...)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		sender := meshtest.DialRaw(b, hub.Addr(), meshtest.Table("mesh::other"))
		for n := 0; pb.Next(); n++ {
			if n%row == 0 {
				if _, err := sender.Write(wire); err != nil {
					b.Error(err)
				}
			}
		}
		settled(b, sender)
	})
}

// BenchmarkFanOut emits a hub's own events to its peers. The hub is at most 1,000 events ahead of the slowest peer,
// whose queue could otherwise overflow.
func BenchmarkFanOut(b *testing.B) {
	const window = 1000
	payload := json.RawMessage(`{"x":"` + strings.Repeat("x", 100) + `"}`)
	frame := 4 + len(`4{"event":"bench::event","payload":}`) + len(payload)
	for _, peers := range []int{1, 50, 500} {
		for kind, interest := range map[string]string{"name": "mesh::bench::event", "pattern": "mesh::bench::*"} {
			b.Run(fmt.Sprintf("peers=%d/%s", peers, kind), func(b *testing.B) {
				hub := listen(b, mesh.Options{Addr: "127.0.0.1:0"})
				a := gather(b, hub, peers, interest)
				n := 0
				b.ReportAllocs()
				for b.Loop() {
					if err := hub.Emit("bench::event", payload); err != nil {
						b.Fatal(err)
					}
					if n++; n%window == 0 {
						a.await(n, frame)
					}
				}
				a.await(n, frame)
				b.ReportMetric(float64(n*peers)/b.Elapsed().Seconds(), "deliveries/s")
			})
		}
	}
}
