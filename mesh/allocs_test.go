package mesh_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// routing returns the hub's allocations for each event of a bare client that sends batches to this number of peers.
func routing(t *testing.T, peers int) float64 {
	const row = 64
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	a := gather(t, hub, peers, "mesh::bench::event")
	sender := meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::other"))
	packets := make([]string, row)
	for i := range packets {
		packets[i] = routed
	}
	wire := meshtest.Frames(packets...)
	n := 0
	route := func() {
		_, err := sender.Write(wire)
		require.NoError(t, err)
		n += row
		settled(t, sender)
		a.await(n, routedFrame)
	}
	route() // this fills the pools
	allocs := testing.AllocsPerRun(50, route) / row
	require.EqualValues(t, n*peers, hub.Stats().Sent)
	require.EqualValues(t, n*peers*routedFrame, a.received.Load())
	return allocs
}

func TestRoutingAllocates(t *testing.T) {
	for _, tt := range []struct {
		peers int
		most  float64 // allocations for each event
		what  string
	}{
		{0, 1.5, "the message, the hub's state for it, and the test itself"},
		{10, 8, "the packet that is shared, too"},
		{100, 15, "and a goroutine now and then, but nothing for each peer"},
	} {
		t.Run(fmt.Sprintf("peers=%d", tt.peers), func(t *testing.T) {
			got := routing(t, tt.peers)
			t.Logf("%.2f allocations an event", got)
			if !raceDetector { // the race detector drops pooled objects at random
				require.LessOrEqual(t, got, tt.most, tt.what)
			}
		})
	}
}
