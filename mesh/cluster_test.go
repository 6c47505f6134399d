package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// cluster starts n hubs of one mesh.
func cluster(t *testing.T, n int, opts mesh.Options) []*mesh.Node {
	t.Helper()
	opts.Backplane = new(mesh.LocalBackplane)
	hubs := make([]*mesh.Node, n)
	for i := range hubs {
		hubs[i] = listen(t, opts)
	}
	return hubs
}

func TestEventsReachEveryHubOfAClusterOnce(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{})
	var clients []*mesh.Node
	var heard []ears
	for _, h := range hubs {
		for range 2 {
			c := connect(t, h, mesh.Options{})
			clients = append(clients, c)
			heard = append(heard, listenTo(t, c, "n::*", "n::**", "**")) // each event arrives three times, once for each listener
		}
	}
	nodes := append(slices.Clone(hubs), clients...)
	for _, h := range hubs {
		heard = append(heard, listenTo(t, h, "n::*", "n::**", "**"))
	}
	const events = 500
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for i := range events {
				assert.NoError(t, n.Emit(fmt.Sprintf("n::%d", i%7), i))
			}
		})
	}
	wg.Wait()
	for _, e := range heard {
		next := make(map[string]int)
		for range 3 * events * len(nodes) {
			ev := e.Next()
			var i int
			require.NoError(t, ev.Decode(&i))
			require.Equal(t, next[ev.From]/3, i, "from %s", ev.From)
			next[ev.From]++
		}
		require.Len(t, next, len(nodes))
		require.Empty(t, e.C)
	}
	for _, h := range hubs {
		s := h.Stats()
		require.Equal(t, 2, s.Hubs)
		require.EqualValues(t, 3*events, s.HubsOut)
		require.EqualValues(t, 6*events, s.HubsIn)
		require.Zero(t, s.HubsDropped)
		require.Positive(t, s.HubsBytesIn)
		require.NoError(t, h.Ready())
	}
}

// An event crosses only to a hub that has a subscriber.
func TestEventsCrossOnlyToHubsThatWantThem(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	a, b := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	there := listenTo(t, b, "wanted", "p::*")
	listenTo(t, a, "local")
	off := b.On("later", func(mesh.Event) {})
	flush(t, b)
	off()
	flush(t, b)
	for _, name := range []string{"local", "unwanted", "later", "p", "p::q::r", "p::q", "wanted"} {
		require.NoError(t, a.Emit(name, nil))
	}
	require.Equal(t, "p::q", there.Next().Name)
	require.Equal(t, "wanted", there.Next().Name)
	// A hub counts the events of another hub after it has routed them.
	require.Eventually(t, func() bool { return hubs[1].Stats().HubsIn > 1 }, meshtest.Patience, time.Millisecond)
	require.EqualValues(t, 2, hubs[1].Stats().HubsIn)
}

// When a client's Flush has returned, all hubs know the client's listener. When a hub's Flush has returned, all hubs
// have routed the hub's events.
func TestFlushCoversTheOtherHubs(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{})
	listener, emitter := connect(t, hubs[1], mesh.Options{}), connect(t, hubs[2], mesh.Options{})
	for i := range 200 {
		name := fmt.Sprint("x", i)
		heard := make(chan mesh.Event, 1)
		off := listener.On(name, func(e mesh.Event) { heard <- e })
		flush(t, listener)
		require.NoError(t, emitter.Emit(name, i))
		select {
		case <-heard:
		case <-time.After(meshtest.Patience):
			require.FailNow(t, "lost", "%d", i)
		}
		off()
	}
	require.NoError(t, hubs[0].Emit("y", 1))
	flush(t, hubs[0])
}

// Peers that are not of this package get the same packets from several hubs as from one. The emitter's hub numbers
// their events.
func TestOtherPeersAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	here, there, native := meshtest.Dial(t, hubs[0].URL(), nil), meshtest.Dial(t, hubs[1].URL(), nil), meshtest.Dial(t, hubs[1].URL(), nil)
	there.Send(meshtest.Table("mesh::e"), `{"event":"barrier","payload":{}}`)
	native.Send(offer(testKey, `,"eventTable":{"mesh::e":{}}`))
	require.Contains(t, native.Next(), "$mesh.hello")
	require.NoError(t, there.Socket.Ping(meshtest.Context(t)))
	require.NoError(t, native.Socket.Ping(meshtest.Context(t)))

	here.Send(`{"event":"e","payload":{"a":"é","id":"forged"},"n":77,"from":"forged","headers":{"auth":{"user":"u"}}}`, `{"event":"e","payload":"s"}`)
	first := there.Next()
	nodes, err := hubs[0].Nodes(meshtest.Context(t))
	require.NoError(t, err)
	id := nodes[1].ID
	require.Equal(t, `{"event":"e","payload":{"a":"\u00e9","id":"`+id+`"}}`, first)
	require.Equal(t, `{"event":"e","payload":{"a":"é","id":"forged"},"from":"`+id+`","n":1}`, native.Next())
	require.Equal(t, `{"event":"e","payload":"s"}`, there.Next())
	require.Equal(t, `{"event":"e","payload":"s","from":"`+id+`","n":2}`, native.Next())

	// In a hub's own events the payload has no sender, at another hub as at the hub itself.
	require.NoError(t, hubs[0].Emit("e", map[string]int{"a": 1}))
	require.Equal(t, `{"event":"e","payload":{"a":1}}`, there.Next())
	require.Equal(t, `{"event":"e","payload":{"a":1},"from":"`+hubs[0].ID()+`","n":1}`, native.Next())
}

func TestRequestsAcrossHubs(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{})
	a, b := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	b.Reply("sum", func(e mesh.Event) (any, error) {
		var terms []int
		if err := e.Decode(&terms); err != nil {
			return nil, err
		}
		return terms[0] + terms[1], nil
	})
	flush(t, b)
	for _, asker := range []*mesh.Node{a, hubs[0], hubs[1], hubs[2]} {
		e, err := asker.Request(meshtest.Context(t), "sum", []int{1, 2})
		require.NoError(t, err)
		require.JSONEq(t, "3", string(e.Payload))
		require.Equal(t, b.ID(), e.From)
		_, err = asker.Request(meshtest.Context(t), "nobody", nil)
		require.ErrorIs(t, err, mesh.ErrNoListener)
	}
	_, err := a.Request(meshtest.Context(t), "sum", []string{"x"})
	require.ErrorAs(t, err, new(*mesh.RemoteError))
}

// The hub of a peer decides the peer's permissions.
func TestPermissionsAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		return event != "may::not::"+a.String()
	}})
	a, b := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	heard := listenTo(t, b, "**")
	for _, name := range []string{"may::not::emit", "may::not::listen", "may"} {
		require.NoError(t, a.Emit(name, nil))
	}
	heard.silentUntil("may")
	require.EqualValues(t, 1, hubs[0].Stats().NotPermitted)
	require.EqualValues(t, 1, hubs[1].Stats().Withheld)
}

// Hubs split batches of events, so that the backplane need not carry a message larger than the largest event.
func TestLargeEventsAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	a, b := connect(t, hubs[0], mesh.Options{Transports: []engineio.Transport{engineio.WebSocket}}), connect(t, hubs[1], mesh.Options{})
	heard := listenTo(t, b, "e")
	sizes := []int{1, 60_000, 10, 60_000, 900_000, 10, 999_000, 1}
	for _, n := range sizes {
		require.NoError(t, a.Emit("e", json.RawMessage(slices.Repeat([]byte("1"), n))))
		flush(t, a)
	}
	for _, n := range sizes {
		require.Len(t, heard.Next().Payload, n)
	}
}

func TestFlushAtAHubEndsWithItsContext(t *testing.T) {
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	f := joinFake(t, b, "fake")
	require.NoError(t, f.Publish("$hubs", []byte(`c{"kind":"here"}`), nil))
	require.Contains(t, <-f.got, "hello")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, hub.Flush(ctx), context.Canceled)
}
