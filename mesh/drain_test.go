package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

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
	mover, stayer, original := meshtest.Dial(t, hub.URL(), nil), meshtest.Dial(t, hub.URL(), nil), meshtest.Dial(t, hub.URL(), nil)
	mover.Send(meshtest.Offer("mover", moves, "mesh::e"))
	stayer.Send(meshtest.Offer("stayer", "", "mesh::e"))
	original.Send(meshtest.Table("mesh::e"))
	silent := meshtest.Dial(t, hub.URL(), nil)
	for _, w := range []*meshtest.Session{mover, stayer, original} {
		w.Barrier()
	}
	require.Contains(t, mover.Next(), "$mesh.hello")
	require.Contains(t, stayer.Next(), "$mesh.hello")
	require.NoError(t, hub.Ready())

	done := shutDown(meshtest.Context(t), hub)
	require.Equal(t, meshtest.Move, mover.Next())
	require.ErrorContains(t, hub.Ready(), "move to others")
	for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
		_, err := engineio.Dial(meshtest.Context(t), hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{transport}})
		var refused *engineio.HandshakeError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusServiceUnavailable, refused.Status)
	}
	_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.URL()})
	require.ErrorContains(t, err, "shutting down")

	// The hub serves existing peers, and asks peers that introduce themselves now to move.
	silent.Send(meshtest.Offer("silent", moves, "mesh::e"))
	require.Contains(t, silent.Next(), "$mesh.hello")
	require.Equal(t, meshtest.Move, silent.Next())
	silent.Barrier() // the hub sends its hello before it adds the subscriptions
	require.NoError(t, other.Emit("e", 1))
	for _, w := range []*meshtest.Session{mover, stayer, original, silent} {
		require.Contains(t, w.Next(), `"payload":1`)
	}
	require.Empty(t, done)

	mover.Send(meshtest.Leaving)
	require.Equal(t, meshtest.Left, mover.Next())
	require.NoError(t, other.Emit("e", 2))
	require.Contains(t, stayer.Next(), `"payload":2`)
	require.Empty(t, mover.Received(), "it listens to nothing any more")
	mover.Send(meshtest.Table("mesh::e")) // the peer subscribes again
	mover.Barrier()
	require.NoError(t, other.Emit("e", 3))
	require.Contains(t, mover.Next(), `"payload":3`)
	require.NoError(t, mover.Socket.Close())
	require.Contains(t, silent.Next(), `"payload":2`)
	require.Empty(t, done)
	silent.Socket.Abort(nil) // this ends the last session
	require.NoError(t, <-done)
	stayer.AwaitEnd()
	original.AwaitEnd()
	require.ErrorIs(t, hub.Err(), mesh.ErrClosed)
	require.NoError(t, hub.Shutdown(meshtest.Context(t)), "again")
	require.ErrorIs(t, hub.Ready(), mesh.ErrClosed)
}

func TestShutdownWaitsNoLongerThanItsContext(t *testing.T) {
	hub := cluster(t, 2, mesh.Options{})[0]
	mover := meshtest.Dial(t, hub.URL(), nil)
	mover.Send(meshtest.Offer("k", moves))
	mover.Barrier()
	ctx, cancel := context.WithCancelCause(t.Context())
	done := shutDown(ctx, hub)
	require.Contains(t, mover.Next(), "$mesh.hello")
	require.Equal(t, meshtest.Move, mover.Next())
	why := errors.New("enough")
	cancel(why)
	require.ErrorIs(t, <-done, why)
	mover.AwaitEnd()
	require.ErrorIs(t, hub.Err(), mesh.ErrClosed)
}

// Close during Shutdown ends both.
func TestShutdownEndsWhenTheHubIsClosed(t *testing.T) {
	hub := cluster(t, 2, mesh.Options{})[0]
	mover := meshtest.Dial(t, hub.URL(), nil)
	mover.Send(meshtest.Offer("k", moves))
	mover.Barrier()
	require.Contains(t, mover.Next(), "$mesh.hello")
	done := shutDown(meshtest.Context(t), hub)
	require.Equal(t, meshtest.Move, mover.Next())
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
	muted := meshtest.Dial(t, hub.URL(), nil)
	muted.Send(meshtest.Table())
	muted.Barrier()
	require.NoError(t, hub.Shutdown(meshtest.Context(t)))
	muted.AwaitEnd()
	require.Empty(t, muted.C)
}

func TestShutdownOfAHubThatIsAloneClosesIt(t *testing.T) {
	for _, hub := range []*mesh.Node{listen(t, mesh.Options{}), cluster(t, 1, mesh.Options{})[0]} {
		c := connect(t, hub, mesh.Options{})
		changes := states(c)
		require.NoError(t, hub.Shutdown(meshtest.Context(t)))
		awaitStatus(t, changes, mesh.Disconnected)
	}
}

func TestShutdownOfAClientFlushes(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	c, p, changes := offline(t, hub, mesh.Options{})
	require.NoError(t, c.Emit("e", 1))
	done := shutDown(meshtest.Context(t), c)
	awaitStatus(t, changes, mesh.Disconnected)
	require.Empty(t, done)
	p.Open()
	require.NoError(t, <-done)
	require.Equal(t, "1", string(heard.Next().Payload))
	require.ErrorIs(t, c.Err(), mesh.ErrClosed)

	lost := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	p.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.NoError(t, lost.Emit("e", 2))
	require.ErrorIs(t, lost.Shutdown(ctx), context.DeadlineExceeded)
	require.ErrorIs(t, lost.Err(), mesh.ErrClosed)
}

// The reply to $mesh.sync comes after everything that any hub had published before.
func TestSyncIsABarrierThroughAllHubs(t *testing.T) {
	var hubs []*mesh.Node
	for b := laggingBackplane(10, 2*time.Millisecond); len(hubs) < 3; {
		hubs = append(hubs, listen(t, mesh.Options{Backplane: b}))
	}
	w := meshtest.Dial(t, hubs[0].URL(), nil)
	w.Send(meshtest.Offer("k", "", "mesh::e"))
	w.Barrier()
	require.Contains(t, w.Next(), "$mesh.hello")
	for round := range 50 {
		for i := range 20 {
			require.NoError(t, hubs[1+i%2].Emit("e", i))
		}
		question := fmt.Sprintf(`{"event":"$mesh.sync","payload":{"rid":%d}}`, round)
		w.Send(question)
		for range 20 {
			require.Contains(t, w.Next(), `"event":"e"`)
		}
		require.Equal(t, question, w.Next())
	}
	w.Send(`{"event":"$mesh.sync"}`)
	require.Contains(t, w.Next(), `"bad-question"`)
	w.Send(`{"event":"$mesh.sync","payload":{"rid":"` + fmt.Sprintf("%065d", 1) + `"}}`)
	require.Contains(t, w.Next(), `"bad-question"`)
	require.EqualValues(t, 2, hubs[0].Stats().Malformed)

	stranger := meshtest.Dial(t, hubs[0].URL(), nil)
	stranger.Send(meshtest.Table("mesh::e"), `{"event":"$mesh.sync","payload":{}}`, meshtest.Leaving)
	require.Empty(t, stranger.Received())
	require.EqualValues(t, 2, hubs[0].Stats().Reserved)
	require.NoError(t, hubs[0].Emit("e", 1))
	require.Contains(t, stranger.Next(), `"event":"e"`, "the subscription remains")
}

// The hub numbers the events of clients that have the same ID at every hub and do not number their events. No number
// occurs twice.
func TestHubNumbersEventsOfClientsThatDoNot(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	listener := meshtest.Dial(t, hubs[0].URL(), nil)
	listener.Send(meshtest.Offer("listener", "", "mesh::e"))
	listener.Barrier()
	require.Contains(t, listener.Next(), "$mesh.hello")
	last := 0
	for _, hub := range []*mesh.Node{hubs[1], hubs[0], hubs[1]} {
		w := meshtest.Dial(t, hub.URL(), nil)
		w.Send(meshtest.Offer("emitter", ""), `{"event":"e"}`, `{"event":"e"}`)
		for range 2 {
			var n int
			_, err := fmt.Sscanf(listener.Next(), `{"event":"e","from":"`+protocol.ID(meshtest.Key("emitter"))+`","n":%d}`, &n)
			require.NoError(t, err)
			require.Greater(t, n, last)
			last = n
		}
		w.Send(`{"event":"e","n":7}`)
		require.Contains(t, listener.Next(), `"n":7}`)
	}
}

// A peer that floods the hub with sync or leaving packets delays only itself, also while the hub is about to close.
func TestFloodOfLeavingPacketsDelaysNoOtherPeer(t *testing.T) {
	for name, packet := range map[string]string{"sync": `{"event":"$mesh.sync","payload":{"rid":1}}`, "leaving": meshtest.Leaving} {
		t.Run(name, func(t *testing.T) {
			hub := cluster(t, 2, mesh.Options{})[0]
			flood := meshtest.Dial(t, hub.URL(), nil)
			flood.Send(meshtest.Offer("k", moves))
			flood.Barrier()
			require.Contains(t, flood.Next(), "$mesh.hello")
			c := connect(t, hub, mesh.Options{})
			heard := listenTo(t, c, "e")
			began := time.Now()
			const packets = 10_000
			for range packets {
				flood.Send(packet)
			}
			for i := range 50 {
				require.NoError(t, hub.Emit("e", i))
				require.Equal(t, fmt.Sprint(i), string(heard.Next().Payload))
				flush(t, c)
			}
			done := shutDown(meshtest.Context(t), hub)
			for flood.Next() != meshtest.Move {
			}
			require.NoError(t, hub.Emit("e", "last"))
			require.Equal(t, `"last"`, string(heard.Next().Payload))
			require.NoError(t, hub.Close())
			require.NoError(t, <-done)
			flood.AwaitEnd()
			took := time.Since(began)
			require.Less(t, len(flood.C), packets, "the hub has not waited for the flood")
			require.LessOrEqual(t, len(flood.C), 20+int(50*took.Seconds())+1)
		})
	}
}

// A peer that stays after it has sent leaving gets new subscriptions, and may send leaving again.
func TestPeersMayStayAfterLeaving(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	w := meshtest.Dial(t, hubs[0].URL(), nil)
	w.Send(meshtest.Offer("k", moves, "mesh::e"), meshtest.Leaving, meshtest.Leaving)
	require.Contains(t, w.Next(), "$mesh.hello")
	require.Equal(t, meshtest.Left, w.Next())
	require.Equal(t, meshtest.Left, w.Next())
	require.NoError(t, hubs[1].Emit("e", 1))
	require.NoError(t, hubs[1].Flush(meshtest.Context(t)))
	require.Empty(t, w.Received())
	w.Send(meshtest.Table("mesh::e"), `{"event":"$mesh.sync","payload":{"rid":1}}`)
	require.Contains(t, w.Next(), "$mesh.sync")
	require.NoError(t, hubs[1].Emit("e", 2))
	require.Contains(t, w.Next(), `"payload":2`)
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
	mover := meshtest.Dial(t, n.URL(), nil)
	mover.Send(meshtest.Offer("k", moves))
	require.Contains(t, mover.Next(), "$mesh.hello")
	done := shutDown(meshtest.Context(t), n)
	require.Equal(t, meshtest.Move, mover.Next())
	require.NoError(t, mover.Socket.Close())
	require.ErrorIs(t, <-done, mesh.ErrUnconfirmed)
}
