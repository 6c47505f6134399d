package interop

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// runs makes a node of the original mesh run a program.
func (m nodeMember) runs(t testing.TB, program string) {
	t.Helper()
	m.Must(t, Command{Do: "run", Text: &program}, "ran")
}

// define gives a member a resource with the method talk. A call of the method is queued as an event with the name
// "ran".
func define(t testing.TB, m member, name string, remote bool) {
	t.Helper()
	if ours, ok := m.(goMember); ok {
		r := ours.Resource(name)
		r.Method("talk", func(e mesh.Event) { ours.events.Push(Event{Kind: "heard", Name: "ran", Payload: e.Payload}) })
		r.SetRemote(remote)
		return
	}
	m.(nodeMember).runs(t, fmt.Sprintf(`
		const r = resource.define('%s')
		r.remote = %t
		r.method('talk', function (payload, done) {
			report({ event: 'heard', name: 'ran', payload })
			done(null, payload)
		})`, name, remote))
	m.on(t, "more") // only this makes a client announce the resource
}

// callLocally calls the method talk of a member's own resource.
func callLocally(t testing.TB, m member, name string) {
	t.Helper()
	if ours, ok := m.(goMember); ok {
		require.NoError(t, ours.Resource(name).Call("talk", 1))
	} else {
		m.(nodeMember).runs(t, fmt.Sprintf(`resource.%s.talk(1, function () {})`, name))
	}
}

// TestResourcesRunOnceOnBothSides gives three members a resource that is remote and a resource that is not remote.
// Members emit the events of the methods. The last member subscribes to all these events.
func TestResourcesRunOnceOnBothSides(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{nodeKind, goKind, nodeKind, goKind})
			members := append([]member{s.hub}, s.clients...)
			owners, listener := members[:3], members[4]
			for i, m := range owners {
				define(t, m, fmt.Sprintf("open%d", i), true)
				define(t, m, fmt.Sprintf("shut%d", i), false)
				listener.on(t, fmt.Sprintf("open%d::talk", i))
				listener.on(t, fmt.Sprintf("shut%d::talk", i))
			}
			s.sync(t)
			for i, owner := range owners {
				open, shut := fmt.Sprintf("open%d", i), fmt.Sprintf("shut%d", i)
				for from, m := range members[:4] {
					want := make([][]string, len(members))
					want[4] = []string{open + "::talk"}
					if from != i {
						want[i] = []string{"ran"}
						if hub == nodeKind && i == 0 {
							want[4] = nil // a Node.js hub does not forward an event that its own resource receives
						}
					}
					require.Empty(t, cmp.Diff(want, namesOf(s.round(t, m, open+"::talk", `{"n":1}`))), "of %s, from %d", open, from)
					want = make([][]string, len(members))
					want[4] = []string{shut + "::talk"}
					require.Empty(t, cmp.Diff(want, namesOf(s.round(t, m, shut+"::talk", `{"n":1}`))), "of %s, from %d", shut, from)
				}
				for _, name := range []string{open, shut} {
					callLocally(t, owner, name)
					want := make([][]string, len(members))
					want[i] = []string{"ran"}
					require.Empty(t, cmp.Diff(want, namesOf(s.settle(t, owner))), "a call of %s", name)
				}
			}
		})
	}
}

func namesOf(heard [][]Event) [][]string {
	all := make([][]string, len(heard))
	for i, events := range heard {
		for _, ev := range events {
			all[i] = append(all[i], ev.Name)
		}
	}
	return all
}

// TestRemoteIsAnnouncedToBothHubs changes Remote while a client is connected.
func TestRemoteIsAnnouncedToBothHubs(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{nodeKind, goKind})
			ours := s.clients[1].(goMember)
			define(t, ours, "creature", false)
			for _, remote := range []bool{false, true, false, true} {
				ours.Resource("creature").SetRemote(remote)
				s.sync(t)
				if n, ok := s.hub.(nodeMember); ok {
					var entries []any
					for _, table := range tablesOf(t, n).Clients {
						if entry, ok := table["creature::talk"]; ok {
							entries = append(entries, entry)
						}
					}
					require.Equal(t, []any{map[string]any{"remote": remote}}, entries)
				}
				want := make([][]string, 3)
				if remote {
					want[2] = []string{"ran"}
				}
				require.Empty(t, cmp.Diff(want, namesOf(s.round(t, s.clients[0], "creature::talk", `{}`))))
			}
		})
	}
}

// TestANodeClientsResourceIsAnnouncedWithItsNextListener checks that a connected client announces a new resource only
// when it adds a listener.
func TestANodeClientsResourceIsAnnouncedWithItsNextListener(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{nodeKind, goKind})
			original := s.clients[0].(nodeMember)
			original.runs(t, `
				const r = resource.define('creature')
				r.remote = true
				r.method('talk', (payload, done) => { report({ event: 'heard', name: 'ran', payload }); done(null) })
				r.on('talk', payload => report({ event: 'heard', name: 'listener', payload }))`)
			require.Empty(t, cmp.Diff(make([][]string, 3), namesOf(s.round(t, s.clients[1], "creature::talk", `{}`))))
			original.on(t, "more")
			s.sync(t)
			// The listener is called with the result of the method, and with the payload of the event.
			want := [][]string{nil, {"ran", "listener", "listener"}, nil}
			require.Empty(t, cmp.Diff(want, namesOf(s.round(t, s.clients[1], "creature::talk", `{}`))))
		})
	}
}
