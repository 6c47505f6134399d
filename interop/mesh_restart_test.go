package interop

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// startHubAt starts a hub at a port, and returns what ends it: our hub is closed, the original's process is killed. Its
// listeners are there before its first client.
func startHubAt(t *testing.T, k kind, port int, names ...string) (hub member, end func()) {
	t.Helper()
	if k == goKind {
		return startGoHubAt(t, mesh.Options{Addr: localAddr(port)}, names...)
	}
	h := startNodeMember(t)
	for _, name := range names {
		h.on(t, name)
	}
	h.listen(t, Command{Port: port})
	return h, h.peer.Kill
}

func startGoHubAt(t *testing.T, o mesh.Options, names ...string) (hub member, end func()) {
	t.Helper()
	ready := make(chan struct{})
	o.Authorize = func(context.Context, mesh.Credentials) error {
		<-ready
		return nil
	}
	h := startGoHub(t, o)
	for _, name := range names {
		h.on(t, name)
	}
	close(ready)
	return h, func() { require.NoError(t, h.Close()) }
}

// TestClientsReturnToAHubThatRestarts: ours by themselves, the original's with reconnect.js. Twice, since the original
// emits one more copy of each event after each return.
func TestClientsReturnToAHubThatRestarts(t *testing.T) {
	t.Parallel()
	for _, k := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", k), func(t *testing.T) {
			t.Parallel()
			s := &star{port: stablePort(t)}
			listens := []string{"mark", "ping", "offline"}
			var end func()
			s.hub, end = startHubAt(t, k, s.port, listens...)
			original, ours := startNodeMember(t), startGoClient(t, s.port, mesh.Options{})
			original.connect(t, Command{Port: s.port, Retry: 50})
			s.clients = []member{original, ours}
			for _, c := range s.clients {
				c.on(t, "ping")
				c.on(t, "done")
			}
			s.sync(t)

			for range 2 {
				end()
				ours.events.MustAwait(t, "disconnected")
				original.MustAwait(t, "refused")
				ours.emit(t, "offline", `{}`)
				s.hub, end = startHubAt(t, k, s.port, listens...)
				ours.events.MustAwait(t, "connected")
				original.MustAwait(t, "connected")
				require.Equal(t, "offline", s.hub.heard().MustAwait(t, "heard").Name, "what waited for the hub")
				s.sync(t)
				for _, from := range []member{s.hub, original, ours} {
					s.requireRound(t, from, "ping", 1, 1, 1)
				}
			}
		})
	}
}

// TestBareNodeClientGoesSilentWhenAGoHubRestarts as it does with a Node hub: it connects again at the instant of the
// close, and never after that.
func TestBareNodeClientGoesSilentWhenAGoHubRestarts(t *testing.T) {
	t.Parallel()
	s := &star{port: stablePort(t)}
	var end func()
	s.hub, end = startHubAt(t, goKind, s.port, "mark")
	bare := startNodeMember(t)
	bare.on(t, "news")
	bare.connect(t, Command{Port: s.port})
	bare.MustAwait(t, "attempt")

	end()
	bare.MustAwait(t, "attempt")
	bare.MustAwait(t, "refused")
	s.hub, _ = startHubAt(t, goKind, s.port, "mark")
	s.join(t, nodeKind, "news", "done")
	s.join(t, goKind, "news", "done")
	s.sync(t)
	s.requireRound(t, s.hub, "news", 0, 1, 1)

	ctx, cancel := context.WithTimeout(t.Context(), silence)
	defer cancel()
	ev, err := bare.Await(ctx, "attempt", "connected", "heard")
	require.ErrorIs(t, err, context.DeadlineExceeded, "the bare client came back: %+v", ev)
}
