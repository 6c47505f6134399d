package interop

import (
	"context"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// startHubAt starts a hub at a port. end closes our hub, or kills the process of the original's hub. The hub has its
// listeners before its first client comes.
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

// TestClientsReturnToAHubThatRestarts restarts a hub twice, because the original emits one more copy of each event
// after each return. Our clients return by themselves, and the original's client returns with reconnect.js.
func TestClientsReturnToAHubThatRestarts(t *testing.T) {
	t.Parallel()
	for _, k := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", k), func(t *testing.T) {
			t.Parallel()
			s := &star{port: interoptest.StablePort(t)}
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
				require.Equal(t, "offline", s.hub.heard().MustAwait(t, "heard").Name, "the event that waited for the hub")
				s.sync(t)
				for _, from := range []member{s.hub, original, ours} {
					s.requireRound(t, from, "ping", 1, 1, 1)
				}
			}
		})
	}
}

// TestBareNodeClientGoesSilentWhenAGoHubRestarts checks that such a client behaves as with a Node.js hub: it connects
// again at the moment of the close, and never after that.
func TestBareNodeClientGoesSilentWhenAGoHubRestarts(t *testing.T) {
	t.Parallel()
	s := &star{port: interoptest.StablePort(t)}
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
