package mesh_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestSlowPeerIsClosedAlone(t *testing.T) {
	for name, first := range map[string]string{"original": meshtest.Table("mesh::e"), "ours": offer(testKey, `,"eventTable":{"mesh::e":{}}`)} {
		t.Run(name, func(t *testing.T) {
			var logs meshtest.Log
			hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Logger: logs.Logger()})
			c := connect(t, hub, mesh.Options{Transports: overWebSocket})
			heard := listenTo(t, c, "e", "other")
			meshtest.DialRaw(t, hub.Addr(), first)
			payload := json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)
			emitted := 0
			for ; hub.Stats().SlowPeers == 0; emitted++ {
				require.NoError(t, hub.Emit("e", payload))
				require.Len(t, heard.Next().Payload, len(payload))
				require.Less(t, emitted, 1000)
			}
			require.Greater(t, emitted, 10, "the queue holds 1 MiB")
			eventually(t, "the slow peer is gone", func() bool { return hub.Stats().Peers == 1 })
			require.NoError(t, hub.Emit("other", nil))
			heard.silentUntil("other")
			require.EqualValues(t, 1, hub.Stats().SlowPeers)
			require.Contains(t, logs.String(), "too slow")
			require.Contains(t, logs.String(), mesh.ErrSlowPeer.Error(), "the reason is typed")
		})
	}
}

// When BufferLimit is reached, the hub disconnects only peers that do not read.
func TestSlowPeersTogetherAreBounded(t *testing.T) {
	const limit = 4 << 20
	var logs meshtest.Log
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", QueueLimit: 64 << 20, BufferLimit: limit, Logger: logs.Logger()})
	c := connect(t, hub, mesh.Options{Transports: overWebSocket})
	heard := listenTo(t, c, "e")
	for range 5 {
		meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e"))
	}
	payload := json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)
	for n := 0; hub.Stats().SlowPeers < 5; n++ {
		require.NoError(t, hub.Emit("e", payload))
		heard.Next()
		require.Less(t, n, 10_000)
	}
	eventually(t, "the slow peers are gone", func() bool { return hub.Stats().Peers == 1 })
	require.NoError(t, hub.Emit("e", payload))
	heard.Next()
	require.Contains(t, logs.String(), engineio.ErrBufferLimit.Error(), "the log names the cause")
	require.NotContains(t, logs.String(), "too slow")
}

// TestManySilentPollersCloseNoOtherPeer has polling sessions that never poll. BufferLimit could not hold their events if
// each event counted once for each session.
func TestManySilentPollersCloseNoOtherPeer(t *testing.T) {
	const pollers, events, size = 60, 20, 10_000
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", BufferLimit: pollers * events * size / 10})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "e")
	for range pollers {
		neverPolls(t, hub, meshtest.Table("mesh::e"))
	}
	eventually(t, "all listen", func() bool { return hub.Stats().Peers == 1+pollers })
	payload := json.RawMessage(`"` + strings.Repeat("x", size) + `"`)
	for range events {
		require.NoError(t, hub.Emit("e", payload))
		heard.Next()
	}
	require.Zero(t, hub.Stats().SlowPeers)
	require.Equal(t, 1+pollers, hub.Stats().Peers)
}

// TestBroadcastIsEncodedOnce measures the memory that the hub allocates for one event to 500 peers that read nothing:
// it must hold two encodings, one for each kind of peer, and not 500.
func TestBroadcastIsEncodedOnce(t *testing.T) {
	const peers, size = 500, 32 << 10
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	for i := range peers {
		first := meshtest.Table("mesh::e")
		if i%2 == 0 {
			first = offer(fmt.Sprintf("%032d", i), `,"eventTable":{"**":{}}`)
		}
		meshtest.DialRaw(t, hub.Addr(), first)
	}
	require.Equal(t, peers, hub.Stats().Peers)
	payload := json.RawMessage(`{"x":"` + strings.Repeat("x", size) + `"}`)
	require.NoError(t, hub.Emit("e", payload)) // fills the pools
	// Emit's copy, the encoder's buffers, two shared packets, and the goroutines and buffers of the writers that run at
	// the same time.
	interoptest.RequireAllocates(t, peers*size/4, func() { require.NoError(t, hub.Emit("e", payload)) })
	require.EqualValues(t, 2*peers, hub.Stats().Sent)
}

func TestEventWithoutListenersIsNotEncoded(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	listenTo(t, c, "other", "a::*")
	payload := json.RawMessage(`1`)
	allocs := testing.AllocsPerRun(1000, func() { _ = hub.Emit("e", payload) })
	require.LessOrEqual(t, allocs, 3.0, "the payload's copy, and its interface")
	require.Zero(t, hub.Stats().Sent)
}
