package mesh_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestOldHubDiesBeforeTheNewOneIsReady(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		c.play([]step{{hub: "a", sends: meshtest.Move}, {hub: "b", arrives: true}, {hub: "b", events: []int{1}}}...)
		s.network.SetDown("a", true)
		c.play(step{hub: "a", dies: true})
		require.Error(t, awaitStatus(t, c.changes, mesh.Disconnected).Err)
		require.Equal(t, "b", awaitStatus(t, c.changes, mesh.Connected).Hub.ID)
		c.play([]step{
			{hub: "b", left: true}, {hub: "b", arrives: true}, // the client connects again
			{hub: "b", events: []int{2}}, {hears: "2"},
		}...)
		flush(t, c.node)
	})
}

// After the client has sent $mesh.leaving, it continues at the new hub, whatever the old hub does.
func TestOldHubDiesBeforeItsLastPacket(t *testing.T) {
	for name, end := range map[string]func(old *meshtest.Peer){
		"it dies":      func(old *meshtest.Peer) { old.Socket.Abort(nil) },
		"it closes":    func(old *meshtest.Peer) { go old.Socket.Close() },
		"it is silent": func(*meshtest.Peer) { time.Sleep(10 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, "ab", func(t *testing.T, s *stage) {
				c := s.act(mesh.Options{})
				c.play([]step{{emits: []int{1}}, {hub: "a", gets: own(1)}}...)
				c.play(movesTo("a", "b")...)
				c.play([]step{{emits: []int{2}}, {hub: "a", events: []int{1, 2}}, {hub: "b", events: []int{2, 3}}, {hears: "1 2"}}...)
				end(c.at["a"])
				c.play([]step{{hears: "3"}, {hub: "b", gets: own(2)}}...)
				require.ErrorIs(t, c.node.Flush(meshtest.Context(t)), mesh.ErrUnconfirmed, "the old hub has not confirmed the first event")
				flush(t, c.node)
				require.Equal(t, atHubB, <-c.changes)
				require.Empty(t, c.changes)
			})
		})
	}
}

func TestNewHubDiesBeforeTheLastPacketOfTheOldOne(t *testing.T) {
	onStage(t, "abc", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		c.play([]step{{emits: []int{1}}, {hub: "a", gets: own(1)}}...)
		s.onlyUp("b")
		c.play(movesTo("a", "b")...)
		c.play([]step{{emits: []int{2}}, {hub: "b", events: []int{1, 2}}, {hub: "b", dies: true}}...)
		s.onlyUp("c")
		c.play([]step{
			{hub: "a", events: []int{1}}, {hears: "1"},
			{hub: "a", sends: meshtest.Left}, {hears: "2"}, // no event that arrived is lost
		}...)
		require.Equal(t, "b", awaitStatus(t, c.changes, mesh.Connected).Hub.ID)
		awaitStatus(t, c.changes, mesh.Disconnected)
		require.Equal(t, "c", awaitStatus(t, c.changes, mesh.Connected).Hub.ID)
		c.play([]step{{hub: "c", arrives: true}, {hub: "c", gets: own(2)}}...)
		flush(t, c.node) // no event was written to the hub that died, and the old hub has processed the first event
	})
}

func TestPacketsOfNoMoveAreIgnored(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		c.play([]step{
			{hub: "a", sends: meshtest.Left}, {hub: "a", sends: `{"event":"$mesh.sync","payload":{"rid":7}}`}, {hub: "a", sends: `{"event":"$mesh.sync"}`},
			{hub: "a", sends: meshtest.Leaving},
			{hub: "a", events: []int{1}}, {hears: "1"},
		}...)
		flush(t, c.node)
		require.EqualValues(t, 2, c.node.Stats().Reserved)
	})
}

// Hubs that at once send their clients to each other do not keep the clients busy.
func TestClientMovesInCirclesSlowly(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		began := time.Now()
		const moves = 20
		at, next := "a", "b"
		for range moves {
			c.play(movesTo(at, next)...)
			c.play([]step{{hub: at, sends: meshtest.Left}, {hub: at, left: true}}...)
			at, next = next, at
		}
		require.Greater(t, time.Since(began), 30*time.Second, "for %d moves", moves)

		time.Sleep(time.Second) // that connection has lasted
		began = time.Now()
		c.play([]step{{hub: at, sends: meshtest.Move}, {hub: next, arrives: true}}...)
		require.Zero(t, time.Since(began))
	})
}

// A hub that repeats all its packets, but never sends its last packet in time, causes one move, which ends. Its
// responses to queries to another hub have no effect.
func TestHubThatRepeatsItselfMovesAClientOnce(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		const sync, times = `{"event":"$mesh.sync","payload":{"rid":1}}`, 10_000
		for range times / 10 {
			for range 10 {
				c.at["a"].Send(meshtest.Move, meshtest.Left, sync)
			}
			synctest.Wait() // its queue is limited
		}
		c.play([]step{{hub: "b", arrives: true}, {hub: "b", syncs: true}, {hub: "a", gets: meshtest.Leaving}}...)
		for range times / 10 {
			c.at["a"].Send(meshtest.Move, sync)
			synctest.Wait()
		}
		c.play([]step{{emits: []int{1}}, {hub: "b", quiet: true}}...)
		time.Sleep(10 * time.Second) // the time that the old hub has
		c.play([]step{{hub: "b", gets: own(1)}, {hub: "a", left: true}}...)
		time.Sleep(time.Minute)
		require.Empty(t, s.hubs["b"].Peers.C)
		require.Empty(t, s.hubs["a"].Peers.C)
		require.EqualValues(t, times, c.node.Stats().Reserved)
	})
}
