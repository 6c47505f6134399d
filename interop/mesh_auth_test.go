package interop

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// The credentials that the hubs of these tests admit.
const (
	user     = "usér"
	password = "pa€ß😀"
)

// has reports whether an endpoint has an event of the kind, without waiting for one.
func (e *Endpoint) has(kind string) bool {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := e.Await(ctx, kind)
	return err == nil
}

// TestGoHubMutesANodeClientThatItRefuses checks that a Go hub mutes a Node.js client that it rejects. It does not
// disconnect the client at once, because the client would reconnect at once, in a hot loop.
func TestGoHubMutesANodeClientThatItRefuses(t *testing.T) {
	t.Parallel()
	for _, refused := range []Command{{User: user, Password: "wrong"}, {}} {
		t.Run(fmt.Sprintf("password %q", refused.Password), func(t *testing.T) {
			t.Parallel()
			hub := startGoHub(t, mesh.Options{Authorize: mesh.BasicAuth(user, password)})
			s := &star{hub: hub, port: hub.port(t)}
			for _, name := range []string{"ping", "mark"} {
				hub.on(t, name)
			}
			admitted, stranger := startNodeMember(t), startNodeMember(t)
			for _, c := range []nodeMember{admitted, stranger} {
				c.on(t, "news")
				c.on(t, "done")
			}
			admitted.connect(t, Command{Port: s.port, User: user, Password: password})
			refused.Port = s.port
			stranger.connect(t, refused)
			s.clients = append(s.clients, admitted)
			s.sync(t)

			const activity = 3 * time.Second
			rounds := 0
			for end := time.Now().Add(activity); time.Now().Before(end); rounds++ {
				stranger.emit(t, "ping", `{"from":"stranger"}`)
				s.requireRound(t, hub, "news", 0, 1)
			}
			admitted.emit(t, "ping", `{"from":"admitted"}`)
			ping := hub.heard().MustAwait(t, "heard")
			require.JSONEq(t, `{"from":"admitted"}`, string(ping.Payload), "the first permitted event")

			// The stranger's last event may still be on its way, because the hub does not respond to it. The hub stops
			// reading after 64 KB.
			require.Eventually(t, func() bool {
				stats := hub.Stats()
				return stats.Unauthorized >= uint64(rounds) || stats.TooEarly > 0
			}, AwaitTimeout, time.Millisecond)
			stats := hub.Stats()
			require.EqualValues(t, 2, stats.Connections, "after %d rounds", rounds)
			require.Equal(t, 1, stats.Muted)
			require.Equal(t, 1, stats.Peers)
			require.EqualValues(t, 1, stats.AuthFailures, "it is asked once for the same credentials")
			require.False(t, stranger.has("heard"), "a client that is not admitted hears nothing")
		})
	}
}

// TestGoHubClosesARefusedNodeClientOncePerMuteTimeout checks that a rejected client reconnects each time, and is
// rejected each time.
func TestGoHubClosesARefusedNodeClientOncePerMuteTimeout(t *testing.T) {
	t.Parallel()
	const mute = 300 * time.Millisecond
	hub := startGoHub(t, mesh.Options{Authorize: mesh.BasicAuth(user, password), MuteTimeout: mute})
	c := startNodeMember(t)
	start := time.Now()
	c.connect(t, Command{Port: hub.port(t), User: user, Password: "wrong"})
	const attempts = 4
	for range attempts {
		c.MustAwait(t, "attempt")
	}
	connections := hub.Stats().Connections // read before the time, so that a delay of this process does no harm
	took := time.Since(start)
	require.GreaterOrEqual(t, connections, uint64(attempts-1), "the last attempt has just begun")
	require.GreaterOrEqual(t, took, (attempts-1)*mute)
	require.GreaterOrEqual(t, took, time.Duration(connections-1)*mute)
}

// TestNodeHubAdmitsAGoClient connects Go clients to a Node.js hub. The hub admits the client with the right password.
// It delivers no events of a client with a wrong password or without a password. Such a client still receives all
// events, which is a fault of the original, and it cannot know that it was rejected.
func TestNodeHubAdmitsAGoClient(t *testing.T) {
	t.Parallel()
	hub := startNodeMember(t)
	s := &star{hub: hub, port: hub.listen(t, Command{Accept: [][2]string{{user, password}}})}
	for _, name := range []string{"mark", "ping"} {
		hub.on(t, name)
	}
	original := startNodeMember(t)
	original.connect(t, Command{Port: s.port, User: user, Password: password})
	admitted := startGoClient(t, s.port, mesh.Options{User: user, Password: password})
	wrong := startGoClient(t, s.port, mesh.Options{User: user, Password: "wrong"})
	none := startGoClient(t, s.port, mesh.Options{})
	s.clients = []member{original, admitted, wrong, none}
	for _, c := range s.clients {
		c.on(t, "ping")
		c.on(t, "done")
	}
	wrong.flush(t)
	none.flush(t)
	for _, c := range s.clients[:2] {
		c.emit(t, "mark", "")
		require.Equal(t, "mark", hub.MustAwait(t, "heard").Name)
	}

	s.requireRound(t, hub, "ping", 1, 1, 1, 1, 1)
	s.requireRound(t, original, "ping", 1, 1, 1, 1, 1)
	s.requireRound(t, admitted, "ping", 1, 1, 1, 1, 1)
	for i, c := range []goMember{wrong, none} {
		c.emit(t, "ping", `{}`)
		c.flush(t)
		want := []int{0, 0, 0, 0, 0}
		want[3+i] = 1 // its own
		var got []int
		for _, events := range s.settle(t, hub) {
			got = append(got, len(events))
		}
		require.Equal(t, want, got)
	}
}

func TestGoHubTellsAGoClientThatItIsRefused(t *testing.T) {
	t.Parallel()
	hub := startGoHub(t, mesh.Options{Authorize: mesh.BasicAuth(user, password)})
	s := &star{hub: hub, port: hub.port(t)}
	hub.on(t, "mark")
	for _, wrong := range []string{"wrong", ""} {
		n, err := mesh.Connect(t.Context(), &mesh.Options{Addr: hub.Addr(), User: user, Password: wrong})
		var refused *mesh.AuthError
		require.ErrorAs(t, err, &refused)
		require.Nil(t, n)
		require.NotContains(t, err.Error(), user)
	}
	original := startNodeMember(t)
	original.connect(t, Command{Port: s.port, User: user, Password: password})
	s.clients = []member{original, startGoClient(t, s.port, mesh.Options{User: user, Password: password})}
	for _, c := range s.clients {
		c.on(t, "ping")
		c.on(t, "done")
	}
	s.sync(t)
	s.requireRound(t, s.clients[0], "ping", 0, 1, 1)
	s.requireRound(t, s.clients[1], "ping", 0, 1, 1)
	require.Equal(t, 2, hub.Stats().Peers)
}
