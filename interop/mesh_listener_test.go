package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// requireRound makes a member emit an event, and compares with want how many times each member received it, the hub
// first.
func (s *star) requireRound(t *testing.T, from member, name string, want ...int) {
	t.Helper()
	var got []int
	for i, events := range s.round(t, from, name, `{}`) {
		for _, ev := range events {
			require.Equal(t, name, ev.Name, "at member %d", i)
		}
		got = append(got, len(events))
	}
	require.Equal(t, want, got, "of %s", name)
}

// audience returns the number of clients to which the hub sends an event that it emits itself.
func (s *star) audience(t *testing.T, name string) int {
	t.Helper()
	if hub, ok := s.hub.(goMember); ok {
		before := hub.Stats().Sent
		hub.emit(t, name, `{}`)
		sent := int(hub.Stats().Sent - before)
		s.settle(t, s.hub)
		return sent
	}
	n := 0
	for _, table := range tablesOf(t, s.hub.(nodeMember)).Clients {
		if _, ok := table["mesh::"+name]; ok {
			n++
		}
	}
	return n
}

// tables holds the event tables of a process of the original mesh: its own table, and the tables that its clients
// announced.
type tables struct {
	Own     map[string]any
	Clients map[string]map[string]any
}

func tablesOf(t *testing.T, m nodeMember) tables {
	t.Helper()
	var all tables
	require.NoError(t, json.Unmarshal(m.Must(t, Command{Do: "tables"}, "tables").Result, &all))
	return all
}

func TestListenersAreKeptLive(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{nodeKind, goKind})
			original, ours := s.clients[0].(nodeMember), s.clients[1].(goMember)
			s.requireRound(t, s.hub, "late", 0, 0, 0)

			original.on(t, "late")
			s.sync(t)
			s.requireRound(t, s.hub, "late", 0, 1, 0)
			require.Equal(t, 1, s.audience(t, "late"))

			off := ours.listen("late")
			s.sync(t)
			s.requireRound(t, s.hub, "late", 0, 1, 1)
			s.requireRound(t, original, "late", 0, 1, 1)
			require.Equal(t, 2, s.audience(t, "late"))

			off()
			s.sync(t)
			s.requireRound(t, s.hub, "late", 0, 1, 0)
			require.Equal(t, 1, s.audience(t, "late"), "the hub has heard of it")

			ours.Once("late", ours.hear)
			s.sync(t)
			s.requireRound(t, s.hub, "late", 0, 1, 1)
			s.requireRound(t, s.hub, "late", 0, 1, 0)
			s.sync(t)
			require.Equal(t, 1, s.audience(t, "late"))

			original.Must(t, Command{Do: "on", Name: "soon", Once: true}, "listens")
			s.sync(t)
			s.requireRound(t, s.hub, "soon", 0, 1, 0)
			s.requireRound(t, s.hub, "soon", 0, 0, 0)
			s.sync(t)
			require.Equal(t, 1, s.audience(t, "soon"), "a client of the original's does not tell that it no longer listens")
		})
	}
}

// TestTwoPartNamesReachEveryone checks that such an event reaches all members except the original's clients at the
// original's hub. That hub looks for such a name in a place where its clients do not announce it.
func TestTwoPartNamesReachEveryone(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{nodeKind, nodeKind, goKind, goKind}, "ns::pong")
			for at, from := range append([]member{s.hub}, s.clients...) {
				want := []int{1, 1, 1, 1, 1} // the emitter receives its own event
				if hub == nodeKind {
					want = []int{1, 0, 0, 1, 1}
					want[at] = 1
				}
				s.requireRound(t, from, "ns::pong", want...)
			}
		})
	}
}

// TestAHubsEchoReachesTheEmitterOnAGoHub makes a hub emit a payload that it has received. A Node.js hub recognises an
// emitter by the ID in the payload, so it does not send the echo to the emitter. A Go hub does.
func TestAHubsEchoReachesTheEmitterOnAGoHub(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{nodeKind, goKind})
			s.hub.on(t, "ping")
			for _, c := range s.clients {
				c.on(t, "pong")
			}
			s.sync(t)
			for at, c := range s.clients {
				ping := s.round(t, c, "ping", `{}`)[0]
				require.Len(t, ping, 1)
				want := []int{0, 1, 1}
				if hub == nodeKind {
					want[1+at] = 0
				}
				var got []int
				for _, events := range s.round(t, s.hub, "pong", string(ping[0].Payload)) {
					got = append(got, len(events))
				}
				require.Equal(t, want, got)
			}
		})
	}
}

// TestPatternsOfAllClientsHoldOnAGoHub checks that each member receives an event exactly once if its pattern matches,
// whatever member emits.
func TestPatternsOfAllClientsHoldOnAGoHub(t *testing.T) {
	t.Parallel()
	s := startStar(t, goKind, nil, "wild::*")
	s.join(t, nodeKind, "wild::*", "done")
	s.join(t, nodeKind, "**")
	s.join(t, goKind, "*::one", "done")
	s.join(t, goKind, "**")
	s.sync(t)
	members := append([]member{s.hub}, s.clients...)
	patterns := []string{"wild::*", "wild::*", "**", "*::one", "**"}
	for _, from := range members {
		for _, name := range []string{"wild", "wild::one", "wild::two", "wild::one::two", "tame::one", "one"} {
			want := make([]int, len(members))
			got := make([]int, len(members))
			for i, events := range s.round(t, from, name, `{}`) {
				if protocol.Match(patterns[i], name) {
					want[i] = 1
				}
				for _, ev := range events {
					if ev.Name == name {
						got[i]++
					}
				}
			}
			require.Empty(t, cmp.Diff(want, got), "of %s", name)
		}
	}
}

// TestPatternsOnANodeHubWarn checks that a client logs a warning for a pattern. A Node.js hub treats patterns as names,
// so its clients receive no events of others through a pattern.
func TestPatternsOnANodeHubWarn(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer // written in the calls of On below
	s := startStar(t, nodeKind, []kind{nodeKind})
	c := startGoClient(t, s.port, mesh.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	c.on(t, "done")
	require.NotContains(t, log.String(), "pattern")
	for _, pattern := range []string{"wild::*", "**"} {
		c.on(t, pattern)
		require.Contains(t, log.String(), "pattern="+pattern)
	}
	require.Equal(t, 2, strings.Count(log.String(), "level=WARN"))
	s.clients[0].on(t, "wild::*")
	s.hub.on(t, "wild::*")
	s.clients = append(s.clients, c)
	s.sync(t)
	until(t, c, "mark") // its own event, which it receives
	s.requireRound(t, s.hub, "wild::one", 1, 0, 0)
	s.requireRound(t, s.clients[0], "wild::one", 1, 1, 0)
}
