package mesh_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// heardNumbers returns the payloads that have arrived so far.
func heardNumbers(e *ears) (all []string) {
	synctest.Wait()
	for len(e.in) > 0 {
		all = append(all, string((<-e.in).Payload))
	}
	return all
}

func emits(t *testing.T, n *mesh.Node, numbers ...int) {
	t.Helper()
	for _, i := range numbers {
		require.NoError(t, n.Emit("own", i))
	}
}

func ownEvent(i int) string { return fmt.Sprintf(`{"event":"own","payload":%d,"n":%d}`, i, i) }

// A complete move, step by step.
func TestClientMovesAndHearsEverythingOnce(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		heard := listenTo(t, n, "e")
		require.Contains(t, old.next(), `"mesh::e"`)
		changes := states(n)
		emits(t, n, 1, 2)
		require.Equal(t, ownEvent(1), old.next())
		require.Equal(t, ownEvent(2), old.next())

		old.tell(1)
		old.say(move)
		to := s.hubs["b"].arrival()
		require.Contains(t, to.hello, `"mesh::e"`)
		synctest.Wait()
		emits(t, n, 3)
		require.Equal(t, ownEvent(3), old.next(), "it is still the old hub's")
		to.tell(1, 2) // the old hub sends them as well
		old.tell(2, 3, 4)
		to.sync()
		to.tell(3, 4, 5, 6)
		require.Equal(t, []string{"1", "2", "3", "4"}, heardNumbers(heard), "from the old hub alone")

		require.Equal(t, leaving, old.next())
		emits(t, n, 4, 5)
		n.On("more", func(mesh.Event) {})
		old.tell(5, 7)
		synctest.Wait()
		require.Empty(t, old.in, "it has gone")
		require.Empty(t, to.in, "the old hub has not dealt with the others")
		info, _ := n.Hub()
		require.Equal(t, "a", info.ID)
		flushed := make(chan error, 1)
		go func() { flushed <- n.Flush(testContext(t)) }()
		synctest.Wait()
		require.Empty(t, flushed)

		old.say(left)
		require.Equal(t, []string{"5", "7", "6"}, heardNumbers(heard))
		require.True(t, old.ended())
		require.Contains(t, to.next(), `"mesh::more"`)
		require.Equal(t, ownEvent(4), to.next())
		require.Equal(t, ownEvent(5), to.next())
		require.NoError(t, <-flushed)
		to.tell(7, 8) // the first event is late
		require.Equal(t, []string{"8"}, heardNumbers(heard))
		info, _ = n.Hub()
		require.Equal(t, "b", info.ID)
		require.Equal(t, "b:80", n.Addr())
		require.Len(t, n.Sessions(), 1)
		require.Len(t, changes, 1)
		require.Equal(t, mesh.State{Status: mesh.Connected, Role: mesh.RoleClient, Hub: mesh.HubInfo{ID: "b"}}, <-changes)
		require.EqualValues(t, 8, n.Stats().Received)
		require.NoError(t, n.Close())
	})
}

// Until the client sends $mesh.leaving, no failure costs an event: the client stays at the old hub, and tries again.
func TestClientStaysUntilItCanMove(t *testing.T) {
	undo := func(h *puppet) { h.down.Store(false); h.refuse.Store(false); h.deaf.Store(false); h.poses.Store(false) }
	for name, fault := range map[string]func(b *puppet) (then func(*puppetPeer)){
		"no hub is there":            func(b *puppet) func(*puppetPeer) { b.down.Store(true); return nil },
		"the new hub refuses it":     func(b *puppet) func(*puppetPeer) { b.refuse.Store(true); return nil },
		"it is the same hub":         func(b *puppet) func(*puppetPeer) { b.poses.Store(true); return nil },
		"the new hub is silent":      func(b *puppet) func(*puppetPeer) { b.deaf.Store(true); return func(*puppetPeer) {} },
		"the question is unanswered": func(*puppet) func(*puppetPeer) { return func(*puppetPeer) {} },
		"the new hub dies":           func(*puppet) func(*puppetPeer) { return func(p *puppetPeer) { p.sock.Abort(nil) } },
		"not all hubs answer": func(*puppet) func(*puppetPeer) {
			return func(p *puppetPeer) { p.say(strings.Replace(p.next(), `}}`, `,"error":"unanswered"}}`, 1)) }
		},
		"the new hub dies when it is asked": func(*puppet) func(*puppetPeer) { return func(p *puppetPeer) { p.next(); p.sock.Abort(nil) } },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, "ab", func(t *testing.T, s *stage) {
				n, old := s.connect(mesh.Options{})
				heard := listenTo(t, n, "e")
				old.next()
				changes := states(n)
				b := s.hubs["b"]
				then := fault(b)
				old.say(move, move) // the second packet has no effect
				old.tell(1)
				if then != nil {
					p := b.arrival()
					p.tell(1, 2, 3)
					then(p)
				}
				time.Sleep(20 * time.Second)
				emits(t, n, 1, 2)
				require.Equal(t, ownEvent(1), old.next())
				require.Equal(t, ownEvent(2), old.next())
				flush(t, n)
				old.tell(2)
				require.Equal(t, []string{"1", "2"}, heardNumbers(heard))
				require.Empty(t, changes)

				undo(b)
				for len(b.peers) > 0 {
					<-b.peers // of failed attempts
				}
				to := b.arrival()
				for to.ended() { // until the last of the failed attempts
					to = b.arrival()
				}
				to.sync()
				to.tell(3)
				require.Equal(t, leaving, old.next())
				old.say(left)
				require.Equal(t, []string{"3"}, heardNumbers(heard))
				flush(t, n)
				require.Equal(t, "b", (<-changes).Hub.ID)
				require.NoError(t, n.Close())
			})
		})
	}
}

// A client with one address connects to that address again, which a load balancer may route to another hub. Here it
// leads to the same hub, and the client stays there until the hub closes.
func TestClientWithNowhereToGoStays(t *testing.T) {
	onStage(t, "a", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		changes := states(n)
		old.say(move)
		time.Sleep(time.Minute)
		attempts := len(s.hubs["a"].peers)
		require.Greater(t, attempts, 5)
		require.Less(t, attempts, 40, "the pauses grow")
		require.Empty(t, changes)
		emits(t, n, 1)
		require.Equal(t, ownEvent(1), old.next())
		old.sock.Abort(nil)
		awaitStatus(t, changes, mesh.Disconnected)
		awaitStatus(t, changes, mesh.Connected)
		emits(t, n, 2)
		require.ErrorIs(t, n.Flush(testContext(t)), mesh.ErrUnconfirmed)
		require.NoError(t, n.Close())
	})
}

func TestOldHubDiesBeforeTheNewOneIsReady(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		heard := listenTo(t, n, "e")
		changes := states(n)
		old.say(move)
		to := s.hubs["b"].arrival()
		to.tell(1)
		s.hubs["a"].down.Store(true)
		old.sock.Abort(nil)
		require.Error(t, awaitStatus(t, changes, mesh.Disconnected).Err)
		require.Equal(t, "b", awaitStatus(t, changes, mesh.Connected).Hub.ID)
		require.True(t, to.ended(), "it was another connection")
		s.hubs["b"].arrival().tell(2)
		require.Equal(t, []string{"2"}, heardNumbers(heard))
		flush(t, n)
		require.NoError(t, n.Close())
	})
}

// After the client has sent $mesh.leaving, it continues at the new hub, whatever the old hub does.
func TestOldHubDiesBeforeItsLastWord(t *testing.T) {
	for name, end := range map[string]func(*puppetPeer){
		"it dies":      func(p *puppetPeer) { p.sock.Abort(nil) },
		"it closes":    func(p *puppetPeer) { go p.sock.Close() },
		"it is silent": func(*puppetPeer) { time.Sleep(10 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			onStage(t, "ab", func(t *testing.T, s *stage) {
				n, old := s.connect(mesh.Options{})
				heard := listenTo(t, n, "e")
				old.next()
				changes := states(n)
				emits(t, n, 1)
				require.Equal(t, ownEvent(1), old.next())
				old.say(move)
				to := s.hubs["b"].arrival()
				to.sync()
				require.Equal(t, leaving, old.next())
				emits(t, n, 2)
				old.tell(1, 2)
				to.tell(2, 3)
				require.Equal(t, []string{"1", "2"}, heardNumbers(heard))
				end(old)
				require.Equal(t, []string{"3"}, heardNumbers(heard))
				require.Equal(t, ownEvent(2), to.next())
				require.ErrorIs(t, n.Flush(testContext(t)), mesh.ErrUnconfirmed, "the old hub has not said that it dealt with the first")
				flush(t, n)
				require.Equal(t, mesh.State{Status: mesh.Connected, Role: mesh.RoleClient, Hub: mesh.HubInfo{ID: "b"}}, <-changes)
				require.Empty(t, changes)
				require.NoError(t, n.Close())
			})
		})
	}
}

func TestNewHubDiesBeforeTheLastWordOfTheOldOne(t *testing.T) {
	onStage(t, "abc", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		heard := listenTo(t, n, "e")
		old.next()
		changes := states(n)
		emits(t, n, 1)
		require.Equal(t, ownEvent(1), old.next())
		for name := range s.hubs {
			s.hubs[name].down.Store(name != "b")
		}
		old.say(move)
		to := s.hubs["b"].arrival()
		to.sync()
		require.Equal(t, leaving, old.next())
		emits(t, n, 2)
		to.tell(1, 2)
		synctest.Wait()
		to.sock.Abort(nil)
		s.hubs["b"].down.Store(true)
		s.hubs["c"].down.Store(false)
		old.tell(1)
		require.Equal(t, []string{"1"}, heardNumbers(heard))
		old.say(left)
		require.Equal(t, []string{"2"}, heardNumbers(heard), "no event that arrived is lost")
		require.Equal(t, "b", awaitStatus(t, changes, mesh.Connected).Hub.ID)
		awaitStatus(t, changes, mesh.Disconnected)
		require.Equal(t, "c", awaitStatus(t, changes, mesh.Connected).Hub.ID)
		require.Equal(t, ownEvent(2), s.hubs["c"].arrival().next())
		flush(t, n) // no event was written to the hub that died, and the old hub has processed the first event
		require.NoError(t, n.Close())
	})
}

// A hub that must close while clients move to it makes them move on.
func TestClientMovesOnAtOnce(t *testing.T) {
	onStage(t, "abc", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		heard := listenTo(t, n, "e")
		old.next()
		changes := states(n)
		s.hubs["c"].down.Store(true)
		old.say(move)
		b := s.hubs["b"].arrival()
		b.say(move)
		b.sync()
		require.Equal(t, leaving, old.next())
		s.hubs["c"].down.Store(false)
		emits(t, n, 1)
		old.tell(1, 2)
		b.tell(2, 3)
		require.Empty(t, s.hubs["c"].peers, "one after the other")
		old.say(left)
		require.Equal(t, ownEvent(1), b.next())
		c := s.hubs["c"].arrival()
		c.sync()
		require.Equal(t, leaving, b.next())
		b.tell(4, 5)
		c.tell(5, 6)
		b.say(left)
		require.Equal(t, []string{"1", "2", "3", "4", "5", "6"}, heardNumbers(heard))
		emits(t, n, 2)
		require.Equal(t, ownEvent(2), c.next())
		require.Equal(t, "b", (<-changes).Hub.ID)
		require.Equal(t, "c", (<-changes).Hub.ID)
		require.NoError(t, n.Close())
	})
}

// The new hub has the node's event table, and knows whether the node watches presence, before the old hub forgets them.
func TestNewHubKnowsWhatTheOldOneKnew(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		seen := make(chan mesh.Presence, 10)
		n.OnPresence(func(p mesh.Presence) { seen <- p })
		old.watched()
		old.say(move)
		to := s.hubs["b"].arrival()
		to.watched()
		question := to.next()
		require.Contains(t, question, "$mesh.sync")
		heard := listenTo(t, n, "e") // subscribed late, and confirmed by Flush
		require.Contains(t, old.next(), `"mesh::e"`)
		to.say(question)
		require.Contains(t, to.next(), `"mesh::e"`)
		require.Empty(t, old.in, "it is not left yet")
		to.sync()
		require.Equal(t, leaving, old.next())

		join := func(id, since string) string {
			return fmt.Sprintf(`{"event":"$mesh.join","payload":{"id":"%s","since":"%s"}}`, id, since)
		}
		const first, second = "2026-01-02T15:04:05.678Z", "2026-01-02T15:04:06.678Z"
		old.say(join("x", first), join("y", first))
		to.say(join("y", first), join("y", second), join("z", first))
		old.say(left)
		synctest.Wait()
		var ids []string
		for len(seen) > 0 {
			ids = append(ids, (<-seen).Node.ID)
		}
		require.Equal(t, []string{"x", "y", "y", "z"}, ids)
		require.Empty(t, to.in, "it was asked already")
		to.tell(1)
		require.Equal(t, []string{"1"}, heardNumbers(heard))
		require.NoError(t, n.Close())
	})
}

func TestQuestionsAreAskedAgainAtTheNewHub(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		nodes := make(chan []mesh.NodeInfo, 1)
		go func() {
			all, err := n.Nodes(testContext(t))
			if err != nil {
				t.Error(err)
			}
			nodes <- all
		}()
		require.Contains(t, old.next(), "$mesh.nodes")
		old.say(move)
		to := s.hubs["b"].arrival()
		to.sync()
		require.Equal(t, leaving, old.next())
		old.say(left)
		question := to.next()
		require.Contains(t, question, "$mesh.nodes")
		to.say(strings.Replace(question, `"watch":false`, `"nodes":[{"id":"x"}]`, 1))
		require.Equal(t, "x", (<-nodes)[0].ID)
		require.NoError(t, n.Close())
	})
}

func TestEchoesAreForgotten(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		heard := listenTo(t, n, "e")
		old.next()
		old.say(move)
		to := s.hubs["b"].arrival()
		to.sync()
		require.Equal(t, leaving, old.next())
		const unnumbered = `{"event":"e","payload":0,"from":"other"}`
		old.tell(1, 2)
		old.say(unnumbered, left)
		require.Equal(t, []string{"1", "2", "0"}, heardNumbers(heard))
		time.Sleep(29 * time.Second)
		to.tell(1)
		to.say(unnumbered) // it has no number, so the client cannot recognize it
		require.Equal(t, []string{"0"}, heardNumbers(heard))
		time.Sleep(2 * time.Second)
		to.tell(2)
		require.Equal(t, []string{"2"}, heardNumbers(heard))
		require.NoError(t, n.Close())
	})
}

// The client holds the new hub's events up to a limit. Further events wait on the connection.
func TestWhatIsKeptIsBounded(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{CallbackLimit: 10_000})
		heard := listenTo(t, n, "e")
		old.next()
		old.say(move)
		to := s.hubs["b"].arrival()
		to.sync()
		require.Equal(t, leaving, old.next())
		before := n.Stats().BytesIn
		var all []string
		for i := range 1000 {
			to.tell(i + 1)
			all = append(all, fmt.Sprint(i+1))
		}
		synctest.Wait()
		require.Less(t, n.Stats().BytesIn-before, uint64(20_000), "of 50,000")
		old.say(left)
		require.Equal(t, all, heardNumbers(heard))
		require.NoError(t, n.Close())
	})
}

func TestWordsOfAMoveThatIsNoneAreIgnored(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		heard := listenTo(t, n, "e")
		old.say(left, `{"event":"$mesh.sync","payload":{"rid":7}}`, `{"event":"$mesh.sync"}`, leaving)
		old.tell(1)
		require.Equal(t, []string{"1"}, heardNumbers(heard))
		flush(t, n)
		require.EqualValues(t, 2, n.Stats().Reserved)
		require.NoError(t, n.Close())
	})
}

// Close ends a move at each of its steps, within its time, and writes the events that can be written.
func TestCloseEndsAMove(t *testing.T) {
	steps := []func(s *stage, n *mesh.Node, old *puppetPeer, to **puppetPeer){
		func(_ *stage, _ *mesh.Node, old *puppetPeer, _ **puppetPeer) { old.say(move) },
		func(s *stage, _ *mesh.Node, _ *puppetPeer, to **puppetPeer) { *to = s.hubs["b"].arrival() },
		func(_ *stage, n *mesh.Node, old *puppetPeer, to **puppetPeer) {
			(*to).sync()
			require.Equal(old.t, leaving, old.next())
			emits(old.t, n, 1)
		},
		func(_ *stage, _ *mesh.Node, old *puppetPeer, _ **puppetPeer) { old.say(left) },
	}
	for last := range steps {
		t.Run(fmt.Sprint(last), func(t *testing.T) {
			onStage(t, "ab", func(t *testing.T, s *stage) {
				n, old := s.connect(mesh.Options{})
				var to *puppetPeer
				for _, step := range steps[:last+1] {
					step(s, n, old, &to)
				}
				start := time.Now()
				require.NoError(t, n.Close())
				require.LessOrEqual(t, time.Since(start), 3*time.Second)
				require.True(t, old.ended())
				if to != nil {
					require.True(t, to.ended())
				}
				if last == 3 {
					require.Equal(t, ownEvent(1), to.next())
				}
			})
		})
	}
	t.Run("the last word comes meanwhile", func(t *testing.T) {
		onStage(t, "ab", func(t *testing.T, s *stage) {
			n, old := s.connect(mesh.Options{})
			var to *puppetPeer
			for _, step := range steps[:3] {
				step(s, n, old, &to)
			}
			time.AfterFunc(time.Second, func() { old.say(left) })
			require.NoError(t, n.Close())
			require.Equal(t, ownEvent(1), to.next())
		})
	})
}

// Each hub numbers its pages of nodes separately.
func TestPagesOfNodesAreThoseOfOneHub(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		nodes := make(chan []mesh.NodeInfo, 1)
		go func() {
			all, err := n.Nodes(testContext(t))
			if err != nil {
				t.Error(err)
			}
			nodes <- all
		}()
		answer := func(p *puppetPeer, id string, after string) {
			question := p.next()
			require.Contains(t, question, "$mesh.nodes")
			require.Equal(t, after == "", !strings.Contains(question, `"after"`), question)
			reply := fmt.Sprintf(`"nodes":[{"id":"%s"}]`, id)
			if after != "last" {
				reply += `,"next":5`
			}
			p.say(strings.Replace(question, `"watch":false`, reply, 1))
		}
		answer(old, "old", "")
		require.Contains(t, old.next(), `"after":5`)
		old.say(move)
		to := s.hubs["b"].arrival()
		to.sync()
		require.Equal(t, leaving, old.next())
		old.say(left)
		answer(to, "middle", "last")
		answer(to, "first", "")
		answer(to, "second", "last")
		all := <-nodes
		require.Equal(t, []string{"first", "second"}, []string{all[0].ID, all[1].ID})
		require.Len(t, all, 2)
		require.NoError(t, n.Close())
	})
}

// Hubs that at once send their clients to each other do not keep the clients busy.
func TestClientIsNotSentRoundAndRound(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, at := s.connect(mesh.Options{})
		began := time.Now()
		const moves = 20
		for i := range moves {
			at.say(move)
			to := s.hubs["ba"[i%2:i%2+1]].arrival()
			to.sync()
			require.Equal(t, leaving, at.next())
			at.say(left)
			synctest.Wait()
			require.True(t, at.ended())
			at = to
		}
		require.Greater(t, time.Since(began), 30*time.Second, "for %d moves", moves)

		time.Sleep(time.Second) // that connection has lasted
		began = time.Now()
		at.say(move)
		s.hubs["b"].arrival()
		require.Zero(t, time.Since(began))
		require.NoError(t, n.Close())
	})
}

// A hub that repeats all its packets, but never sends its last packet in time, causes one move, which ends. Its
// responses to queries to another hub have no effect.
func TestHubThatRepeatsItselfMovesAClientOnce(t *testing.T) {
	onStage(t, "ab", func(t *testing.T, s *stage) {
		n, old := s.connect(mesh.Options{})
		sync := `{"event":"$mesh.sync","payload":{"rid":1}}`
		const times = 10_000
		for range times / 10 {
			for range 10 {
				old.say(move, left, sync)
			}
			synctest.Wait() // its queue is limited
		}
		to := s.hubs["b"].arrival()
		to.sync()
		require.Equal(t, leaving, old.next())
		for range times / 10 {
			old.say(move, sync)
			synctest.Wait()
		}
		emits(t, n, 1)
		require.Empty(t, to.in)
		time.Sleep(10 * time.Second) // the time that the old hub has
		require.Equal(t, ownEvent(1), to.next())
		require.True(t, old.ended())
		time.Sleep(time.Minute)
		require.Empty(t, s.hubs["b"].peers)
		require.Empty(t, s.hubs["a"].peers)
		require.EqualValues(t, times, n.Stats().Reserved)
		require.NoError(t, n.Close())
	})
}
