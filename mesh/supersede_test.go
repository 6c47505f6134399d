package mesh_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// arrive connects a node to a hub, and waits for the hub's response.
func arrive(t testing.TB, url, name, more string, keys ...string) *meshtest.Session {
	t.Helper()
	w := meshtest.Dial(t, url, nil)
	w.Send(meshtest.Offer(name, more, keys...))
	require.Contains(t, w.Next(), "$mesh.hello")
	w.Barrier()
	return w
}

// late waits until the hubs have dropped n late events.
func late(t testing.TB, n int, hubs ...*mesh.Node) {
	t.Helper()
	eventually(t, "late events are counted", func() bool {
		var sum uint64
		for _, h := range hubs {
			sum += h.Stats().Late
		}
		return sum == uint64(n)
	})
}

// The hub reads a node's events after its queries, which wait for the rate limit. Meanwhile the node reconnects.
func TestEventsAfterQueriesAreNotDeliveredAfterNewerOnes(t *testing.T) {
	for name, reset := range map[string]bool{"the old connection is open": false, "the old connection is reset": true} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, mesh.Options{})
			p := meshtest.StartProxy(t, hub.Addr())
			heard := listenTo(t, connect(t, hub, mesh.Options{}), "e", "last")
			old := arrive(t, "http://"+p.Addr(), "node", meshtest.Conn(1))
			for rid := range 150 {
				old.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":%d}}`, rid))
			}
			old.SendEvents(1, 2, 3)
			require.NoError(t, old.Socket.Flush(meshtest.Context(t)))
			require.Contains(t, old.Next(), "$mesh.nodes", "the hub has begun to answer")
			if reset {
				p.Cut()
			}
			back := arrive(t, hub.URL(), "node", meshtest.Conn(2))
			back.SendEvents(4, 5, 6)
			back.Barrier()
			if reset { // the reset may lose the events
				eventually(t, "the old session ends", func() bool { return len(hub.Sessions()) == 2 })
			} else {
				late(t, 3, hub)
			}
			back.Send(`{"event":"last"}`)
			require.Equal(t, []string{"4", "5", "6"}, heard.payloads("last"))
		})
	}
}

// A proxy delivers bytes of an old connection after the client has reconnected. For the client, the old connection has
// ended.
func TestBytesOfAnOlderConnectionAreDropped(t *testing.T) {
	for name, transports := range map[string][]engineio.Transport{"WebSocket": {engineio.WebSocket}, "polling": {engineio.Polling}} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, mesh.Options{})
			own, other := listenTo(t, hub, "e", "last"), listenTo(t, connect(t, hub, mesh.Options{}), "e", "last")
			old := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: transports})
			old.Send(meshtest.Offer("node", meshtest.Conn(1), "mesh::e"))
			old.SendEvents(1, 2)
			old.Barrier()
			back := arrive(t, hub.URL(), "node", meshtest.Conn(2), "mesh::e")
			back.SendEvents(5, 6)
			back.Barrier()
			old.SendEvents(3, 4)
			old.Barrier()
			back.Send(`{"event":"last"}`)
			for _, e := range []ears{own, other} {
				require.Equal(t, []string{"1", "2", "5", "6"}, e.payloads("last"))
			}
			require.Empty(t, back.Received(), "no event returns to its emitter")
			require.EqualValues(t, 2, hub.Stats().Late)
			require.EqualValues(t, 5, hub.Stats().Received)
			require.Equal(t, 2, hub.Stats().Peers)
		})
	}
}

// The hub reads a superseded session for a while to count the dropped events, and then closes it.
func TestASupersededSessionEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, network := serveInMemory(t, mesh.Options{})
		dial := func(offer string) *meshtest.Session {
			s := dialInMemory(t, network)
			s.Send(offer)
			synctest.Wait()
			return s
		}
		old := dial(meshtest.Offer("node", meshtest.Conn(1)))
		began := time.Now()
		back := dial(meshtest.Offer("node", meshtest.Conn(2)))
		old.AwaitEnd()
		require.Equal(t, 5*time.Second, time.Since(began))
		require.False(t, back.Ended())
	})
}

// A client that does not number its connections may have several, and the hub serves all of them. The client's events
// return to none of them, because they all have its ID.
func TestANodeThatDoesNotNumberItsConnectionsHasSeveral(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e", "last")
	first := arrive(t, hub.URL(), "node", "", "mesh::e")
	second := arrive(t, hub.URL(), "node", "", "mesh::e")
	second.SendEvents(2)
	second.Barrier()
	first.SendEvents(1)
	first.Barrier()
	first.Send(`{"event":"last"}`)
	require.Equal(t, []string{"2", "1"}, heard.payloads("last"))
	require.Empty(t, first.Received())
	require.Empty(t, second.Received())
	require.Zero(t, hub.Stats().Superseded)
}

// A handshake may be late: the number shows which connection is newer.
func TestALateHandshakeSupersedesNothing(t *testing.T) {
	for name, opts := range map[string]mesh.Options{"all are admitted": {}, "with Authorize": {Authorize: func(context.Context, mesh.Credentials) error { return nil }}} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, opts)
			heard := listenTo(t, hub, "e", "last")
			back := arrive(t, hub.URL(), "node", meshtest.Conn(2))
			lateOne := meshtest.Dial(t, hub.URL(), nil)
			require.NoError(t, lateOne.Socket.TryWrite( // together: the hub disconnects the node after the first packet
				engineio.Text(meshtest.Offer("node", meshtest.Conn(1), "mesh::e")), engineio.Text(`{"event":"e","payload":1,"n":1}`)))
			lateOne.AwaitEnd()
			require.Empty(t, lateOne.C)
			back.SendEvents(2)
			back.Send(`{"event":"last"}`)
			require.Equal(t, []string{"2"}, heard.payloads("last"))
			nodes, err := hub.Nodes(meshtest.Context(t))
			require.NoError(t, err)
			require.Len(t, nodes, 2)
			require.Equal(t, 1, hub.Stats().Peers)
			require.Zero(t, hub.Stats().Muted)
		})
	}
}

// A connection that was opened beside an older one supersedes it with its first event.
func TestAConnectionBesideAnotherSupersedesItWithItsFirstEvent(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e", "last")
	old := arrive(t, hub.URL(), "node", meshtest.Conn(1))
	next := arrive(t, hub.URL(), "node", meshtest.Conn(2)+`,"beside":true`, "mesh::x")
	next.Send(`{"event":"$mesh.sync","payload":{"rid":1}}`)
	require.Contains(t, next.Next(), "$mesh.sync")
	old.SendEvents(1, 2)
	old.Barrier()
	next.SendEvents(4)
	next.Barrier()
	old.SendEvents(3)
	old.Barrier()
	next.Send(`{"event":"last"}`)
	require.Equal(t, []string{"1", "2", "4"}, heard.payloads("last"))
	late(t, 1, hub)
}

// If the new connection ends before its first event, the old connection does not change.
func TestAConnectionBesideAnotherEndsWithoutIt(t *testing.T) {
	hub := listen(t, mesh.Options{})
	came := make(chan mesh.Presence, 10)
	hub.OnPresence(func(p mesh.Presence) { came <- p })
	heard := listenTo(t, hub, "e", "last")
	old := arrive(t, hub.URL(), "node", meshtest.Conn(1))
	require.True(t, (<-came).Joined)
	next := arrive(t, hub.URL(), "node", meshtest.Conn(2)+`,"beside":true`)
	require.True(t, (<-came).Joined)
	require.NoError(t, next.Socket.Close())
	eventually(t, "the hub has one peer", func() bool { return hub.Stats().Peers == 1 })
	old.SendEvents(1)
	old.Send(`{"event":"last"}`)
	require.Equal(t, []string{"1"}, heard.payloads("last"))
	nodes, err := hub.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, nodes, 2, "the node is there")
	require.NoError(t, old.Socket.Close())
	require.False(t, (<-came).Joined)
	require.Empty(t, came, "it left once")
}

// A node that reconnects to another hub leaves its old hub at once, even if it polls: no hub sees the end of polling.
func TestANodeThatWentToAnotherHubLeavesTheOldOne(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{})
	var heard []ears
	came := make(chan mesh.Presence, 10)
	for _, h := range hubs {
		heard = append(heard, listenTo(t, connect(t, h, mesh.Options{Name: "listener"}), "e", "last"))
	}
	flush(t, hubs[2])
	hubs[2].OnPresence(func(p mesh.Presence) { came <- p })
	old := meshtest.Dial(t, hubs[0].URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.Polling}})
	old.Send(meshtest.Offer("node", meshtest.Conn(1), "mesh::e"))
	old.SendEvents(1, 2)
	old.Barrier()
	back := arrive(t, hubs[1].URL(), "node", meshtest.Conn(2), "mesh::e")
	back.SendEvents(5, 6)
	back.Barrier()
	old.SendEvents(3, 4)
	old.Barrier()
	nodes, err := hubs[2].Nodes(meshtest.Context(t))
	require.NoError(t, err)
	id, where := protocol.ID(meshtest.Key("node")), ""
	for _, n := range nodes {
		if n.ID == id {
			where += n.Hub
		}
	}
	require.Equal(t, hubs[1].ID(), where, "it is listed once")
	back.Send(`{"event":"last"}`)
	for _, e := range heard {
		require.Equal(t, []string{"1", "2", "5", "6"}, e.payloads("last"))
	}
	require.Empty(t, back.Received())
	late(t, 2, hubs...)
	var story []string
	for len(story) < 3 {
		p := <-came
		story = append(story, fmt.Sprint(p.Joined, p.Node.Hub == hubs[0].ID()))
	}
	require.ElementsMatch(t, []string{"true true", "false true", "true false"}, story)
}

// A hub that was stopped, or cut off from the others, reads old bytes of a node that is now at another hub. The other
// hubs drop the old events that it publishes. It receives the newer events afterwards.
func TestAHubThatDoesNotKnowWhereANodeIsBringsNoEventsOutOfOrder(t *testing.T) {
	t.Parallel() // it waits for a timer
	b := new(hookedBackplane)
	hubs := make([]*mesh.Node, 3)
	for i := range hubs {
		hubs[i] = listen(t, mesh.Options{Backplane: b})
	}
	var heard []ears
	for _, h := range hubs {
		heard = append(heard, listenTo(t, connect(t, h, mesh.Options{}), "e", "last"))
	}
	old := arrive(t, hubs[0].URL(), "node", meshtest.Conn(1), "mesh::e")
	old.SendEvents(1, 2)
	old.Barrier()
	rejoin := b.cutOff(hubs[0].ID())
	defer rejoin()
	back := meshtest.Dial(t, hubs[1].URL(), nil)
	back.Send(meshtest.Offer("node", meshtest.Conn(2), "mesh::e")) // its events wait for a response of the stopped hub
	back.SendEvents(5, 6)
	back.Barrier()
	require.Contains(t, back.Next(), "$mesh.hello")
	old.SendEvents(3, 4)
	old.Barrier()
	rejoin()
	eventually(t, "the stopped hub hears the newer events", func() bool { return len(heard[0].C) == 6 })
	back.Send(`{"event":"last"}`)
	back.Barrier()
	for i, e := range heard {
		expected := "1 2 5 6"
		if i == 0 {
			expected = "1 2 3 4 5 6"
		}
		require.Equal(t, expected, strings.Join(e.payloads("last"), " "), "at hub %d", i)
	}
	require.Empty(t, back.Received(), "no event returns to its emitter")
}

// Events that a Flush has confirmed survive the node's return at another hub, however slow the hubs are. They arrive
// before the node's later events.
func TestAReturnAtAnotherHubLosesNothingThatWasConfirmed(t *testing.T) {
	b := laggingBackplane(3, 20*time.Millisecond)
	hubs := make([]*mesh.Node, 3)
	var heard []ears
	for i := range hubs {
		hubs[i] = listen(t, mesh.Options{Backplane: b})
		heard = append(heard, listenTo(t, connect(t, hubs[i], mesh.Options{}), "e", "last"))
	}
	var expected []string
	for n := range 20 {
		w := arrive(t, hubs[n%3].URL(), "node", meshtest.Conn(n+1))
		for i := range 10 {
			w.SendEvents(10*n + 1 + i)
			expected = append(expected, fmt.Sprint(10*n+1+i))
		}
		w.Barrier()
	}
	arrive(t, hubs[0].URL(), "node", meshtest.Conn(21)).Send(`{"event":"last"}`)
	for i, e := range heard {
		require.Equal(t, expected, e.payloads("last"), "at hub %d", i)
	}
	late(t, 0, hubs...)
}

// Events that a hub emits on several goroutines arrive in the order of their numbers.
func TestAHubsOwnEventsComeInTheOrderOfTheirNumbers(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	var ears []*meshtest.Session
	for _, h := range hubs {
		ears = append(ears, arrive(t, h.URL(), "ears", "", "mesh::e"))
	}
	const emitters, each = 8, 500
	var wg sync.WaitGroup
	for range emitters {
		wg.Go(func() {
			for range each {
				require.NoError(t, hubs[0].Emit("e", nil))
			}
		})
	}
	wg.Wait()
	flush(t, hubs[0])
	for i, w := range ears {
		all := w.Received()
		require.Len(t, all, emitters*each)
		last := uint64(0)
		for _, raw := range all {
			p, err := protocol.Parse([]byte(raw))
			require.NoError(t, err)
			require.Equal(t, last+1, p.N, "at hub %d", i)
			last = p.N
		}
	}
}

// A client counts its connections over all hubs, and marks a connection that it opens beside another one.
func TestAClientNumbersItsConnections(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		require.Contains(t, c.at["a"].Hello, `"conn":1}`)
		c.play(movesTo("a", "b")...)
		require.Contains(t, c.at["b"].Hello, `"conn":2,"beside":true}`)
		c.play([]step{{hub: "a", sends: meshtest.Left}, {hub: "a", left: true}}...)
		s.network.SetDown("b", true)
		c.play([]step{{hub: "b", dies: true}, {hub: "a", arrives: true}}...)
		require.Contains(t, c.at["a"].Hello, `"conn":3}`)
	})
}
