package mesh_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

var atHubB = mesh.State{Status: mesh.Connected, Role: mesh.RoleClient, Hub: mesh.HubInfo{ID: "b"}}

// A complete move, step by step.
func TestMovingClientReceivesEachEventOnce(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		c.play([]step{
			{emits: []int{1, 2}}, {hub: "a", gets: own(1)}, {hub: "a", gets: own(2)},
			{hub: "a", events: []int{1}}, {hub: "a", sends: meshtest.Move},
			{hub: "b", arrives: true},
			{emits: []int{3}}, {hub: "a", gets: own(3)}, // it is still the old hub's
			{hub: "b", events: []int{1, 2}}, {hub: "a", events: []int{2, 3, 4}}, // both hubs send the event 2
			{hub: "b", syncs: true}, {hub: "b", events: []int{3, 4, 5, 6}},
			{hears: "1 2 3 4"}, // from the old hub alone
			{hub: "a", gets: meshtest.Leaving},
			{emits: []int{4, 5}},
		}...)
		require.Contains(t, c.at["b"].Hello, `"mesh::e"`)
		c.node.On("more", func(mesh.Event) {})
		flushed := make(chan error, 1)
		go func() { flushed <- c.node.Flush(meshtest.Context(t)) }()
		c.play([]step{
			{hub: "a", events: []int{5, 7}},
			{hub: "a", quiet: true}, // the client has left it
			{hub: "b", quiet: true}, // the old hub has not sent its last packet
		}...)
		info, _ := c.node.Hub()
		require.Equal(t, "a", info.ID)
		require.Empty(t, flushed)
		c.play([]step{
			{hub: "a", sends: meshtest.Left},
			{hears: "5 7 6"},
			{hub: "a", left: true},
			{hub: "b", gets: `"mesh::more"`}, {hub: "b", gets: own(4)}, {hub: "b", gets: own(5)},
		}...)
		require.NoError(t, <-flushed)
		c.play([]step{{hub: "b", events: []int{7, 8}}, {hears: "8"}}...) // the event 7 is late
		info, _ = c.node.Hub()
		require.Equal(t, "b", info.ID)
		require.Equal(t, "b:80", c.node.Addr())
		require.Len(t, c.node.Sessions(), 1)
		require.Len(t, c.changes, 1)
		require.Equal(t, atHubB, <-c.changes)
		require.EqualValues(t, 8, c.node.Stats().Received)
	})
}

// Until the client sends $mesh.leaving, no failure costs an event: the client stays at the old hub, and tries again.
func TestClientStaysUntilItCanMove(t *testing.T) {
	for name, tc := range map[string]struct {
		fault func(s *stage) // of hub b
		steps []step         // after the client has arrived there
	}{
		"no hub is there": {fault: func(s *stage) { s.network.SetDown("b", true) }},
		"the new hub rejects it": {fault: func(s *stage) {
			s.hubs["b"].Greet(func(string) []string { return []string{`{"event":"$mesh.unauthorized","payload":{"message":"no"}}`} })
		}},
		"it is the same hub": {fault: func(s *stage) {
			s.hubs["b"].Greet(func(node string) []string {
				return []string{meshtest.HelloPacket("a", node), foreign(1), foreign(2), foreign(3)}
			})
		}},
		"the new hub is silent":             {fault: func(s *stage) { s.hubs["b"].Deaf.Store(true) }, steps: []step{}},
		"the query has no reply":            {steps: []step{}},
		"the new hub dies":                  {steps: []step{{hub: "b", dies: true}}},
		"the new hub dies after the query":  {steps: []step{{hub: "b", gets: "$mesh.sync"}, {hub: "b", dies: true}}},
		"another hub does not reply to b":   {steps: []step{{hub: "b", gets: "$mesh.sync"}, {hub: "b", sends: strings.Replace(meshtest.Sync, `{}`, `{"rid":1,"error":"unanswered"}`, 1)}}},
		"the reply is to an unknown query":  {steps: []step{{hub: "b", gets: "$mesh.sync"}, {hub: "b", sends: strings.Replace(meshtest.Sync, `{}`, `{"rid":99}`, 1)}}},
		"the reply has no query ID, either": {steps: []step{{hub: "b", gets: "$mesh.sync"}, {hub: "b", sends: meshtest.Sync}}},
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, "ab", func(t *testing.T, s *stage) {
				c := s.act(mesh.Options{})
				if tc.fault != nil {
					tc.fault(s)
				}
				c.play([]step{{hub: "a", sends: meshtest.Move}, {hub: "a", sends: meshtest.Move}, {hub: "a", events: []int{1}}}...) // the second $mesh.move has no effect
				if tc.steps != nil {
					c.play(append([]step{{hub: "b", arrives: true}, {hub: "b", events: []int{1, 2, 3}}}, tc.steps...)...)
				}
				time.Sleep(20 * time.Second)
				c.play([]step{{emits: []int{1, 2}}, {hub: "a", gets: own(1)}, {hub: "a", gets: own(2)}}...)
				flush(t, c.node)
				c.play([]step{{hub: "a", events: []int{2}}, {hears: "1 2"}}...)
				require.Empty(t, c.changes)

				s.network.SetDown("b", false)
				s.hubs["b"].Greet(nil)
				s.hubs["b"].Deaf.Store(false)
				s.hubs["b"].Peers.All() // of failed attempts
				c.play(step{hub: "b", arrives: true})
				for synctest.Wait(); c.at["b"].Ended(); synctest.Wait() { // until the last of the failed attempts
					c.play(step{hub: "b", arrives: true})
				}
				c.play([]step{
					{hub: "b", syncs: true}, {hub: "b", events: []int{3}},
					{hub: "a", gets: meshtest.Leaving}, {hub: "a", sends: meshtest.Left},
					{hears: "3"},
				}...)
				flush(t, c.node)
				require.Equal(t, atHubB, <-c.changes)
			})
		})
	}
}

// A client with one address connects to that address again, which a load balancer may route to another hub. Here it
// leads to the same hub, and the client stays there until the hub closes.
func TestClientWithNowhereToGoStays(t *testing.T) {
	onStage(t, "a", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		c.play(step{hub: "a", sends: meshtest.Move})
		time.Sleep(time.Minute)
		attempts := len(s.hubs["a"].Peers.C)
		require.Greater(t, attempts, 5)
		require.Less(t, attempts, 40, "the pauses grow")
		require.Empty(t, c.changes)
		c.play([]step{{emits: []int{1}}, {hub: "a", gets: own(1)}, {hub: "a", dies: true}}...)
		awaitStatus(t, c.changes, mesh.Disconnected)
		awaitStatus(t, c.changes, mesh.Connected)
		c.play(step{emits: []int{2}})
		require.ErrorIs(t, c.node.Flush(meshtest.Context(t)), mesh.ErrUnconfirmed)
	})
}

// A hub that must close while clients move to it makes them move on.
func TestClientMovesOnAtOnce(t *testing.T) {
	onStage(t, "abc", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		s.network.SetDown("c", true)
		c.play([]step{
			{hub: "a", sends: meshtest.Move}, {hub: "b", arrives: true}, {hub: "b", sends: meshtest.Move},
			{hub: "b", syncs: true}, {hub: "a", gets: meshtest.Leaving},
		}...)
		s.network.SetDown("c", false)
		c.play([]step{{emits: []int{1}}, {hub: "a", events: []int{1, 2}}, {hub: "b", events: []int{2, 3}}}...)
		require.Empty(t, s.hubs["c"].Peers.C, "one after the other")
		c.play([]step{
			{hub: "a", sends: meshtest.Left}, {hub: "b", gets: own(1)},
			{hub: "c", arrives: true}, {hub: "c", syncs: true}, {hub: "b", gets: meshtest.Leaving},
			{hub: "b", events: []int{4, 5}}, {hub: "c", events: []int{5, 6}}, {hub: "b", sends: meshtest.Left},
			{hears: "1 2 3 4 5 6"},
			{emits: []int{2}}, {hub: "c", gets: own(2)},
		}...)
		require.Equal(t, "b", (<-c.changes).Hub.ID)
		require.Equal(t, "c", (<-c.changes).Hub.ID)
	})
}

// The client forgets the events of the old hub after 30 s. Until then, it drops them if the new hub sends them again.
func TestEventsOfTheOldHubAreForgotten(t *testing.T) {
	const unnumbered = `{"event":"e","payload":0,"from":"other"}`
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{})
		c.play(movesTo("a", "b")...)
		c.play([]step{{hub: "a", events: []int{1, 2}}, {hub: "a", sends: unnumbered}, {hub: "a", sends: meshtest.Left}, {hears: "1 2 0"}}...)
		time.Sleep(29 * time.Second)
		c.play([]step{{hub: "b", events: []int{1}}, {hub: "b", sends: unnumbered}, {hears: "0"}}...) // without a number, the client cannot recognize it
		time.Sleep(2 * time.Second)
		c.play([]step{{hub: "b", events: []int{2}}, {hears: "2"}}...)
	})
}

// The client holds the new hub's events up to a limit. Further events wait on the connection.
func TestHeldEventsAreBounded(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		c := s.act(mesh.Options{CallbackLimit: 10_000})
		c.play(movesTo("a", "b")...)
		before := c.node.Stats().BytesIn
		var all []string
		for i := range 1000 {
			c.play(step{hub: "b", events: []int{i + 1}})
			all = append(all, fmt.Sprint(i+1))
		}
		synctest.Wait()
		require.Less(t, c.node.Stats().BytesIn-before, uint64(20_000), "of 50,000")
		c.play([]step{{hub: "a", sends: meshtest.Left}, {hears: strings.Join(all, " ")}}...)
	})
}

// Close ends a move at each of its steps, within its time, and writes the events that can be written.
func TestCloseEndsAMove(t *testing.T) {
	script := []step{
		{hub: "a", sends: meshtest.Move}, {hub: "b", arrives: true}, {hub: "b", syncs: true}, {hub: "a", gets: meshtest.Leaving},
		{emits: []int{1}}, {hub: "a", sends: meshtest.Left},
	}
	for steps := 1; steps <= len(script); steps++ {
		t.Run(fmt.Sprintf("%d steps", steps), func(t *testing.T) {
			onStage(t, "ab", func(t *testing.T, s *stage) {
				c := s.act(mesh.Options{})
				c.play(script[:steps]...)
				start := time.Now()
				require.NoError(t, c.node.Close())
				require.LessOrEqual(t, time.Since(start), 3*time.Second)
				c.play(step{hub: "a", left: true})
				if c.at["b"] != nil {
					c.play(step{hub: "b", left: true})
				}
				if steps == len(script) {
					c.play(step{hub: "b", gets: own(1)})
				}
			})
		})
	}
	t.Run("the last packet comes meanwhile", func(t *testing.T) {
		onStage(t, "ab", func(t *testing.T, s *stage) {
			c := s.act(mesh.Options{})
			c.play(script[:len(script)-1]...)
			time.AfterFunc(time.Second, func() { c.play(script[len(script)-1]) })
			require.NoError(t, c.node.Close())
			c.play(step{hub: "b", gets: own(1)})
		})
	})
}
