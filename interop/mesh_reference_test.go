package interop

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// startHub runs a Node.js hub on a port, or on a free one if port is 0, and returns the process too.
func startHub(t *testing.T, port int, accept ...[2]string) (hub *Endpoint, peer *Peer, bound int) {
	t.Helper()
	peer = startNode(t, MeshNode)
	hub = peer.Node()
	ev := hub.Must(t, Command{Do: "listen", Host: "127.0.0.1", Port: port, Accept: accept}, "listening")
	return hub, peer, ev.Port
}

// join connects a Node.js client and waits until the hub has received a first event of it, so that the hub knows its
// subscriptions. The hub must subscribe to "joined".
func join(t *testing.T, hub *Endpoint, c Command, listens ...string) *Endpoint {
	t.Helper()
	node := startNode(t, MeshNode).Node()
	for _, name := range listens {
		node.Must(t, Command{Do: "on", Name: name}, "listens")
	}
	c.Do, c.Host = "connect", "127.0.0.1"
	node.Must(t, c, "connected")
	joined(t, hub, node)
	return node
}

func joined(t *testing.T, hub, node *Endpoint) {
	t.Helper()
	node.Must(t, Command{Do: "emit", Name: "joined"}, "emitted")
	require.Equal(t, "joined", hub.MustAwait(t, "heard").Name)
}

func emit(t *testing.T, node *Endpoint, name, payload string) {
	t.Helper()
	c := Command{Do: "emit", Name: name}
	if payload != "" {
		c.Payload = json.RawMessage(payload)
	}
	node.Must(t, c, "emitted")
}

func requireHeard(t *testing.T, node *Endpoint, name string) Event {
	t.Helper()
	ev := node.MustAwait(t, "heard")
	require.Equal(t, name, ev.Name, "with payload %s", ev.Payload)
	return ev
}

func TestNodeMeshCarriesEventsBothWays(t *testing.T) {
	t.Parallel()
	hub, _, port := startHub(t, 0)
	hub.Must(t, Command{Do: "on", Name: "joined"}, "listens")
	hub.Must(t, Command{Do: "on", Name: "ping"}, "listens")
	one := join(t, hub, Command{Port: port}, "pong")
	other := join(t, hub, Command{Port: port}, "ping")

	emit(t, one, "ping", `{"n":1,"text":"é€😀"}`)
	for _, node := range []*Endpoint{hub, other} {
		var got struct {
			N    int
			Text string
			ID   string
		}
		require.NoError(t, json.Unmarshal(requireHeard(t, node, "ping").Payload, &got))
		require.Equal(t, 1, got.N)
		require.Equal(t, "é€😀", got.Text)
		require.NotEmpty(t, got.ID, "the hub writes the sender's id into the payload")
	}

	emit(t, one, "ping", "")
	var absent map[string]any
	require.NoError(t, json.Unmarshal(requireHeard(t, hub, "ping").Payload, &absent))
	require.Contains(t, absent, "id", "an absent payload arrives as an object")

	emit(t, hub, "pong", `[1,2]`)
	require.JSONEq(t, `[1,2]`, string(requireHeard(t, one, "pong").Payload))
	emit(t, hub, "pong", "")
	require.Nil(t, requireHeard(t, one, "pong").Payload, "an absent payload stays absent on its way to a client")
}

func TestNodeHubIgnoresEventsOfARefusedClient(t *testing.T) {
	t.Parallel()
	hub, _, port := startHub(t, 0, [2]string{"user", "secret"})
	hub.Must(t, Command{Do: "on", Name: "joined"}, "listens")
	hub.Must(t, Command{Do: "on", Name: "ping"}, "listens")
	admitted := join(t, hub, Command{Port: port, User: "user", Password: "secret"})

	refused := startNode(t, MeshNode).Node()
	refused.Must(t, Command{Do: "on", Name: "pong"}, "listens")
	refused.Must(t, Command{Do: "connect", Host: "127.0.0.1", Port: port, User: "user", Password: "wrong"}, "connected")
	emit(t, refused, "ping", `{"from":"refused"}`)
	// A hub handles packets in order: when the refused client receives an event, the hub has handled the client's
	// event. A refused client receives events, because the hub uses its table. The hub may not have the table at the
	// first try.
	ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
	defer cancel()
	for heard := false; !heard; {
		emit(t, hub, "pong", `{}`)
		try, end := context.WithTimeout(ctx, 100*time.Millisecond)
		_, err := refused.Await(try, "heard")
		end()
		heard = err == nil
		require.NoError(t, ctx.Err(), "the refused client never heard")
	}

	emit(t, admitted, "ping", `{"from":"admitted"}`)
	require.Contains(t, string(requireHeard(t, hub, "ping").Payload), `"admitted"`)
}

// silence is the time for which a test waits for an event that must not come.
const silence = 2 * time.Second

func TestBareNodeClientGoesSilentWhenItsHubRestarts(t *testing.T) {
	t.Parallel()
	hub, process, port := startHub(t, 0)
	hub.Must(t, Command{Do: "on", Name: "joined"}, "listens")
	bare := join(t, hub, Command{Port: port}, "news")
	bare.MustAwait(t, "attempt")

	process.Kill()
	bare.MustAwait(t, "attempt") // its only attempt, at the moment of the close
	bare.MustAwait(t, "refused")

	hub, _, _ = startHub(t, port)
	hub.Must(t, Command{Do: "on", Name: "joined"}, "listens")
	witness := join(t, hub, Command{Port: port}, "news")
	emit(t, hub, "news", `{}`)
	requireHeard(t, witness, "news")

	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	ev, err := bare.Await(ctx, "attempt", "connected", "heard")
	require.ErrorIs(t, err, context.DeadlineExceeded, "the bare client came back: %+v", ev)
}

func TestNodeClientWithReconnectReturnsAndSendsEachEventOnce(t *testing.T) {
	t.Parallel()
	hub, process, port := startHub(t, 0)
	hub.Must(t, Command{Do: "on", Name: "joined"}, "listens")
	node := join(t, hub, Command{Port: port, Retry: 50}, "news", "over")

	for range 2 { // without reconnect.js the original sends one more copy after each return
		process.Kill()
		node.MustAwait(t, "refused")
		hub, process, _ = startHub(t, port)
		for _, name := range []string{"joined", "ping", "end"} {
			hub.Must(t, Command{Do: "on", Name: name}, "listens")
		}
		node.MustAwait(t, "connected")
		joined(t, hub, node)

		emit(t, node, "ping", `{}`)
		emit(t, node, "end", `{}`)
		requireHeard(t, hub, "ping")
		requireHeard(t, hub, "end")

		emit(t, hub, "news", `{}`)
		emit(t, hub, "over", `{}`)
		requireHeard(t, node, "news")
		requireHeard(t, node, "over")
	}
}
