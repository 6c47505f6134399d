package mesh_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestStatsCountEventsAndBytesAtBothEnds(t *testing.T) {
	hub := listen(t, mesh.Options{})
	from := connect(t, hub, mesh.Options{})
	to := connect(t, hub, mesh.Options{})
	heard := listenTo(t, to, "e")
	flush(t, from)
	before := [3]mesh.Stats{hub.Stats(), from.Stats(), to.Stats()}

	const events = 10
	payload := json.RawMessage(`"twenty-one bytes long"`)
	for range events {
		require.NoError(t, from.Emit("e", payload))
		heard.Next()
	}
	flush(t, from)
	in := uint64(events*len(`{"event":"e","payload":"twenty-one bytes long","n":1}`) + len("0")) // the last number is 10
	out := in + uint64(events*len(`,"from":"`+from.ID()+`"`))
	after := [3]mesh.Stats{hub.Stats(), from.Stats(), to.Stats()}
	for i, want := range [3]mesh.Stats{
		{Received: events, Sent: events, BytesIn: in, BytesOut: out},
		{Sent: events, BytesOut: in},
		{Received: events, BytesIn: out},
	} {
		got := mesh.Stats{
			Received: after[i].Received - before[i].Received, Sent: after[i].Sent - before[i].Sent,
			BytesIn: after[i].BytesIn - before[i].BytesIn, BytesOut: after[i].BytesOut - before[i].BytesOut,
		}
		require.Equal(t, want, got, "hub, sender, receiver: %d", i)
	}
}

func TestRequestsToOtherHubsAreCountedOnce(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	from := connect(t, hubs[0], mesh.Options{})
	hubs[1].Reply("ask", func(mesh.Event) (any, error) { return "yes", nil })
	flush(t, hubs[1])
	ask := func() {
		t.Helper()
		_, err := from.Request(meshtest.Context(t), "ask", "twenty-one bytes long")
		require.NoError(t, err)
		flush(t, from)
	}
	ask() // with its first request the node announces its inbox
	before, sent := hubs[0].Stats(), from.Stats().BytesOut
	ask()
	after := hubs[0].Stats()
	require.EqualValues(t, 1, after.Received-before.Received)
	require.Equal(t, from.Stats().BytesOut-sent, after.BytesIn-before.BytesIn)
}

func TestStatsMeasureFanOut(t *testing.T) {
	hub := listen(t, mesh.Options{})
	require.Zero(t, hub.Stats().FanOut.Count)
	c := connect(t, hub, mesh.Options{})
	listenTo(t, hub, "other")
	// Each event is a batch. The hub measures one batch in 64 for each gathering, of which there are a few.
	const events, most = 200, 64 * 20
	emitted := uint64(0)
	for ; emitted < events || hub.Stats().FanOut.Count < events/64; emitted++ {
		require.Less(t, emitted, uint64(most), "too few are measured")
		require.NoError(t, c.Emit("e", nil))
		flush(t, c)
	}
	got := hub.Stats().FanOut
	if !raceDetector { // the race detector makes pools drop items at random
		require.Less(t, got.Count, emitted/2)
	}
	require.Positive(t, got.Sum)
	last, narrowest := mesh.LatencyBucket{}, 0*time.Second
	for _, b := range got.Buckets {
		require.Greater(t, b.Most, narrowest)
		require.GreaterOrEqual(t, b.Count, last.Count)
		narrowest, last = b.Most, b
	}
	require.LessOrEqual(t, last.Count, got.Count)
	require.Positive(t, last.Count, "a second is enough")
}

func TestOverflowedEventsAreCounted(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e"))
	payload := make(json.RawMessage, 100_000)
	for i := range payload {
		payload[i] = '1'
	}
	emitted := uint64(0)
	for ; hub.Stats().SlowPeers == 0; emitted++ {
		require.NoError(t, hub.Emit("e", payload))
		require.Less(t, emitted, uint64(1000))
	}
	require.EqualValues(t, 1, hub.Stats().Overflowed)
	require.Equal(t, emitted-1, hub.Stats().Sent)
}

// kinds returns a node's sessions without their queued bytes.
func kinds(n *mesh.Node) []mesh.Session {
	all := n.Sessions()
	for i := range all {
		all[i].Queued = 0
	}
	return all
}

func TestSessionsShowTransportRevisionAndQueue(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	require.Empty(t, hub.Sessions())
	polling := connect(t, hub, mesh.Options{Transports: []engineio.Transport{engineio.Polling}})
	require.Equal(t, []mesh.Session{{Transport: engineio.Polling, Revision: 3}}, kinds(polling))
	meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: 4, Transports: overWebSocket})
	require.ElementsMatch(t, []mesh.Session{
		{Transport: engineio.Polling, Revision: 3},
		{Transport: engineio.WebSocket, Revision: 4},
	}, kinds(hub))

	require.NoError(t, polling.Close())
	meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::e"))
	payload := make(json.RawMessage, 500_000)
	for i := range payload {
		payload[i] = '1'
	}
	queued := 0
	for range 100 { // until the kernel's buffers are full
		require.NoError(t, hub.Emit("e", payload))
		for _, s := range hub.Sessions() {
			queued = max(queued, s.Queued)
		}
		if queued >= 2*len(payload) || hub.Stats().SlowPeers > 0 {
			break
		}
	}
	require.GreaterOrEqual(t, queued, len(payload))
}

func TestStatsShowTheQueueForCallbacks(t *testing.T) {
	hub := listen(t, mesh.Options{})
	release := make(chan struct{})
	running := make(chan struct{})
	hub.Once("e", func(mesh.Event) { close(running); <-release })
	require.NoError(t, hub.Emit("e", "text"))
	<-running
	require.Greater(t, hub.Stats().CallbackQueue, len("text"))
	close(release)
	eventually(t, "the queue is empty", func() bool { return hub.Stats().CallbackQueue == 0 })
}
