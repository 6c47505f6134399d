package mesh_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// listen starts a hub on a free port of localhost.
func listen(t testing.TB, opts mesh.Options) *mesh.Node {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "localhost:0"
	}
	n, err := mesh.Listen(meshtest.Context(t), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { end(t, n) })
	return n
}

func connect(t testing.TB, hub *mesh.Node, opts mesh.Options) *mesh.Node {
	t.Helper()
	opts.Addr = hub.URL()
	return connectTo(t, opts)
}

func connectTo(t testing.TB, opts mesh.Options) *mesh.Node {
	t.Helper()
	n, err := mesh.Connect(meshtest.Context(t), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { end(t, n) })
	return n
}

// end closes a node and waits for its last callback.
func end(t testing.TB, n *mesh.Node) {
	require.NoError(t, n.Close())
	require.NoError(t, n.WaitCallback(meshtest.Context(t)))
}

// overWebSocket is for clients whose connection a test cuts: a polling client would repeat a poll without a report.
var overWebSocket = []engineio.Transport{engineio.WebSocket}

func flush(t testing.TB, n *mesh.Node) {
	t.Helper()
	require.NoError(t, n.Flush(meshtest.Context(t)))
}

// ears collects the events of listeners.
type ears struct {
	*meshtest.Recorder[mesh.Event]
	t testing.TB
}

// listenTo adds listeners to a node and waits until the node's hub knows them.
func listenTo(t testing.TB, n *mesh.Node, patterns ...string) ears {
	t.Helper()
	e := ears{meshtest.NewRecorder[mesh.Event](t), t}
	for _, p := range patterns {
		n.On(p, e.Add)
	}
	flush(t, n)
	return e
}

// silentUntil asserts that the next event is the one with this name, which the test emits last.
func (e ears) silentUntil(name string) {
	e.t.Helper()
	require.Equal(e.t, name, e.Next().Name)
}

// payloads returns the payloads of the events before the given one, which the test emits last.
func (e ears) payloads(last string) (all []string) {
	for {
		ev := e.Next()
		if ev.Name == last {
			return all
		}
		all = append(all, string(ev.Payload))
	}
}

// eventually waits until a condition holds that no event announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, meshtest.Patience, time.Millisecond, what)
}

// serveInMemory returns a hub on an in-memory network, for tests in a bubble of testing/synctest. Clients of the network
// reach the hub at http://mesh.
func serveInMemory(t testing.TB, opts mesh.Options) (*mesh.Node, *meshtest.Network) {
	t.Helper()
	hub, err := mesh.NewHub(&opts)
	require.NoError(t, err)
	network := meshtest.NewNetwork(t)
	network.Serve("mesh", hub)
	t.Cleanup(func() { require.NoError(t, hub.Close()) })
	return hub, network
}

// dialInMemory connects a client to the hub at http://mesh.
func dialInMemory(t testing.TB, network *meshtest.Network) *meshtest.Session {
	t.Helper()
	opts := meshtest.DialOptions()
	opts.HTTPClient = network.Client
	return meshtest.Dial(t, "http://mesh", opts)
}
