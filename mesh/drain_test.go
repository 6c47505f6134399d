package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// offerOf returns the first packet of a client that introduces itself. Its key begins with a name.
func offerOf(name, more string, keys ...string) string {
	offer := fmt.Sprintf(`"headers":{"mesh":{"v":1,"key":"%s"%s},`, keyOf(name), more)
	return strings.Replace(table(keys...), `"headers":{`, offer, 1)
}

func keyOf(name string) string { return name + strings.Repeat("-", 32-len(name)) }

const moves = `,"moves":true`

// shutDown starts the Shutdown of a node. It returns the channel for the error.
func shutDown(ctx context.Context, n *mesh.Node) <-chan error {
	done := make(chan error, 1)
	go func() { done <- n.Shutdown(ctx) }()
	return done
}

func TestShutdownLetsClientsMove(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	hub, other := hubs[0], hubs[1]
	mover, stayer, original := dialWire(t, hub.URL(), nil), dialWire(t, hub.URL(), nil), dialWire(t, hub.URL(), nil)
	mover.send(offerOf("mover", moves, "mesh::e"))
	stayer.send(offerOf("stayer", "", "mesh::e"))
	original.send(table("mesh::e"))
	silent := dialWire(t, hub.URL(), nil)
	for _, w := range []*wire{mover, stayer, original} {
		w.barrier()
	}
	require.Contains(t, mover.next(), "$mesh.hello")
	require.Contains(t, stayer.next(), "$mesh.hello")
	require.NoError(t, hub.Ready())

	done := shutDown(testContext(t), hub)
	require.Equal(t, move, mover.next())
	require.ErrorContains(t, hub.Ready(), "move to others")
	for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
		_, err := engineio.Dial(testContext(t), hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{transport}})
		var refused *engineio.HandshakeError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusServiceUnavailable, refused.Status)
	}
	_, err := mesh.Connect(testContext(t), &mesh.Options{Addr: hub.URL()})
	require.ErrorContains(t, err, "shutting down")

	// The hub serves existing peers, and asks peers that introduce themselves now to move.
	silent.send(offerOf("silent", moves, "mesh::e"))
	require.Contains(t, silent.next(), "$mesh.hello")
	require.Equal(t, move, silent.next())
	silent.barrier() // the hub sends its hello before it adds the subscriptions
	require.NoError(t, other.Emit("e", 1))
	for _, w := range []*wire{mover, stayer, original, silent} {
		require.Contains(t, w.next(), `"payload":1`)
	}
	require.Empty(t, done)

	mover.send(leaving)
	require.Equal(t, left, mover.next())
	require.NoError(t, other.Emit("e", 2))
	require.Contains(t, stayer.next(), `"payload":2`)
	require.Empty(t, mover.heard(), "it listens to nothing any more")
	mover.send(table("mesh::e")) // the peer subscribes again
	mover.barrier()
	require.NoError(t, other.Emit("e", 3))
	require.Contains(t, mover.next(), `"payload":3`)
	require.NoError(t, mover.sock.Close())
	require.Contains(t, silent.next(), `"payload":2`)
	require.Empty(t, done)
	silent.sock.Abort(nil) // this ends the last session
	require.NoError(t, <-done)
	stayer.ended()
	original.ended()
	require.ErrorIs(t, hub.Err(), mesh.ErrClosed)
	require.NoError(t, hub.Shutdown(testContext(t)), "again")
	require.ErrorIs(t, hub.Ready(), mesh.ErrClosed)
}

func TestShutdownWaitsNoLongerThanItsContext(t *testing.T) {
	hub := cluster(t, 2, mesh.Options{})[0]
	mover := dialWire(t, hub.URL(), nil)
	mover.send(offerOf("k", moves))
	mover.barrier()
	ctx, cancel := context.WithCancelCause(t.Context())
	done := shutDown(ctx, hub)
	require.Contains(t, mover.next(), "$mesh.hello")
	require.Equal(t, move, mover.next())
	why := errors.New("enough")
	cancel(why)
	require.ErrorIs(t, <-done, why)
	mover.ended()
	require.ErrorIs(t, hub.Err(), mesh.ErrClosed)
}

// Close during Shutdown ends both.
func TestShutdownEndsWhenTheHubIsClosed(t *testing.T) {
	hub := cluster(t, 2, mesh.Options{})[0]
	mover := dialWire(t, hub.URL(), nil)
	mover.send(offerOf("k", moves))
	mover.barrier()
	require.Contains(t, mover.next(), "$mesh.hello")
	done := shutDown(testContext(t), hub)
	require.Equal(t, move, mover.next())
	require.NoError(t, hub.Close())
	require.NoError(t, <-done)
}

// Shutdown does not wait for peers that are not admitted, and does not ask them to move.
func TestShutdownDoesNotWaitForTheMuted(t *testing.T) {
	hub := cluster(t, 2, mesh.Options{Authorize: func(_ context.Context, c mesh.Credentials) error {
		if c.User != "u" {
			return errors.New("no")
		}
		return nil
	}})[0]
	muted := dialWire(t, hub.URL(), nil)
	muted.send(table())
	muted.barrier()
	require.NoError(t, hub.Shutdown(testContext(t)))
	muted.ended()
	require.Empty(t, muted.in)
}

func TestShutdownOfAHubThatIsAloneClosesIt(t *testing.T) {
	for _, hub := range []*mesh.Node{listen(t, mesh.Options{}), cluster(t, 1, mesh.Options{})[0]} {
		c := connect(t, hub, mesh.Options{})
		changes := states(c)
		require.NoError(t, hub.Shutdown(testContext(t)))
		awaitStatus(t, changes, mesh.Disconnected)
	}
}

func TestShutdownOfAClientFlushes(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	p := startProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.addr(), Transports: overWebSocket})
	changes := states(c)
	p.cut(true)
	awaitStatus(t, changes, mesh.Disconnected)
	require.NoError(t, c.Emit("e", 1))
	done := shutDown(testContext(t), c)
	awaitStatus(t, changes, mesh.Disconnected)
	require.Empty(t, done)
	p.open()
	require.NoError(t, <-done)
	require.Equal(t, "1", string(heard.next().Payload))
	require.ErrorIs(t, c.Err(), mesh.ErrClosed)

	lost := connectTo(t, mesh.Options{Addr: p.addr(), Transports: overWebSocket})
	p.cut(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, lost.Emit("e", 2))
	require.ErrorIs(t, lost.Shutdown(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, lost.Err(), mesh.ErrClosed)
}

// laggingBackplane sometimes delays the messages for a hub, so that hubs receive the same message at different times.
type laggingBackplane struct {
	mesh.LocalBackplane
	// one message in so many is delayed, on average
	every int
	most  time.Duration
}

func (b *laggingBackplane) Join(hub string, receive func(from string, data []byte)) (mesh.BackplaneMember, error) {
	return b.LocalBackplane.Join(hub, func(from string, data []byte) {
		if rand.N(b.every) == 0 {
			time.Sleep(rand.N(b.most))
		}
		receive(from, data)
	})
}

// The reply to $mesh.sync comes after everything that any hub had published before.
func TestSyncIsABarrierThroughAllHubs(t *testing.T) {
	var hubs []*mesh.Node
	for b := (&laggingBackplane{every: 10, most: 2 * time.Millisecond}); len(hubs) < 3; {
		hubs = append(hubs, listen(t, mesh.Options{Backplane: b}))
	}
	w := dialWire(t, hubs[0].URL(), nil)
	w.send(offerOf("k", "", "mesh::e"))
	w.barrier()
	require.Contains(t, w.next(), "$mesh.hello")
	for round := range 50 {
		for i := range 20 {
			require.NoError(t, hubs[1+i%2].Emit("e", i))
		}
		question := fmt.Sprintf(`{"event":"$mesh.sync","payload":{"rid":%d}}`, round)
		w.send(question)
		for range 20 {
			require.Contains(t, w.next(), `"event":"e"`)
		}
		require.Equal(t, question, w.next())
	}
	w.send(`{"event":"$mesh.sync"}`)
	require.Contains(t, w.next(), `"bad-question"`)
	w.send(`{"event":"$mesh.sync","payload":{"rid":"` + fmt.Sprintf("%065d", 1) + `"}}`)
	require.Contains(t, w.next(), `"bad-question"`)
	require.EqualValues(t, 2, hubs[0].Stats().Malformed)

	stranger := dialWire(t, hubs[0].URL(), nil)
	stranger.send(table("mesh::e"), `{"event":"$mesh.sync","payload":{}}`, leaving)
	require.Empty(t, stranger.heard())
	require.EqualValues(t, 2, hubs[0].Stats().Reserved)
	require.NoError(t, hubs[0].Emit("e", 1))
	require.Contains(t, stranger.next(), `"event":"e"`, "the subscription remains")
}

// The hub numbers the events of clients that have the same ID at every hub and do not number their events. No number
// occurs twice.
func TestNumbersOfThoseWhoDoNotCount(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	listener := dialWire(t, hubs[0].URL(), nil)
	listener.send(offerOf("listener", "", "mesh::e"))
	listener.barrier()
	require.Contains(t, listener.next(), "$mesh.hello")
	last := 0
	for _, hub := range []*mesh.Node{hubs[1], hubs[0], hubs[1]} {
		w := dialWire(t, hub.URL(), nil)
		w.send(offerOf("emitter", ""), `{"event":"e"}`, `{"event":"e"}`)
		for range 2 {
			var n int
			_, err := fmt.Sscanf(listener.next(), `{"event":"e","from":"`+protocol.ID(keyOf("emitter"))+`","n":%d}`, &n)
			require.NoError(t, err)
			require.Greater(t, n, last)
			last = n
		}
		w.send(`{"event":"e","n":7}`)
		require.Contains(t, listener.next(), `"n":7}`)
	}
}

// A peer that floods the hub with sync or leaving packets delays only itself, also while the hub is about to close.
func TestAFloodOfGoodbyesHoldsUpNobodyElse(t *testing.T) {
	for name, packet := range map[string]string{"sync": `{"event":"$mesh.sync","payload":{"rid":1}}`, "leaving": leaving} {
		t.Run(name, func(t *testing.T) {
			hub := cluster(t, 2, mesh.Options{})[0]
			flood := dialWire(t, hub.URL(), nil)
			flood.send(offerOf("k", moves))
			flood.barrier()
			require.Contains(t, flood.next(), "$mesh.hello")
			c := connect(t, hub, mesh.Options{})
			heard := listenTo(t, c, "e")
			began := time.Now()
			const packets = 10_000
			for range packets {
				flood.send(packet)
			}
			for i := range 50 {
				require.NoError(t, hub.Emit("e", i))
				require.Equal(t, fmt.Sprint(i), string(heard.next().Payload))
				flush(t, c)
			}
			done := shutDown(testContext(t), hub)
			for flood.next() != move {
			}
			require.NoError(t, hub.Emit("e", "last"))
			require.Equal(t, `"last"`, string(heard.next().Payload))
			require.NoError(t, hub.Close())
			require.NoError(t, <-done)
			flood.ended()
			took := time.Since(began)
			require.Less(t, len(flood.in), packets, "the hub has not waited for the flood")
			require.LessOrEqual(t, len(flood.in), 20+int(50*took.Seconds())+1)
		})
	}
}

// A peer that stays after it has sent leaving gets new subscriptions, and may send leaving again.
func TestPeersMayStayAfterAGoodbye(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	w := dialWire(t, hubs[0].URL(), nil)
	w.send(offerOf("k", moves, "mesh::e"), leaving, leaving)
	require.Contains(t, w.next(), "$mesh.hello")
	require.Equal(t, left, w.next())
	require.Equal(t, left, w.next())
	require.NoError(t, hubs[1].Emit("e", 1))
	require.NoError(t, hubs[1].Flush(testContext(t)))
	require.Empty(t, w.heard())
	w.send(table("mesh::e"), `{"event":"$mesh.sync","payload":{"rid":1}}`)
	require.Contains(t, w.next(), "$mesh.sync")
	require.NoError(t, hubs[1].Emit("e", 2))
	require.Contains(t, w.next(), `"payload":2`)
}

// A node that has become the hub lets its clients move even if its own events may have been lost with the previous hub.
func TestShutdownOfANodeThatTookOverAndHasLostEvents(t *testing.T) {
	backplane := new(mesh.LocalBackplane)
	listen(t, mesh.Options{Backplane: backplane})
	opts := mesh.Options{Addr: stableAddr(t), Backplane: backplane}
	first, n := start(t, opts), start(t, opts)
	changes := states(n)
	require.NoError(t, n.Emit("e", 1)) // without Flush, the loss of the event is unknown
	require.NoError(t, first.Close())
	require.Equal(t, mesh.RoleHub, awaitStatus(t, changes, mesh.Connected).Role)
	mover := dialWire(t, n.URL(), nil)
	mover.send(offerOf("k", moves))
	require.Contains(t, mover.next(), "$mesh.hello")
	done := shutDown(testContext(t), n)
	require.Equal(t, move, mover.next())
	require.NoError(t, mover.sock.Close())
	require.ErrorIs(t, <-done, mesh.ErrUnconfirmed)
}
