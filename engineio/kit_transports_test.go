package engineio_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// everyTransport is every way to open a session by polling, by WebSocket, and by an upgrade from polling to WebSocket.
var everyTransport = map[string]engineio.DialOptions{
	"revision 3 polling":   {Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.Polling}},
	"revision 3 websocket": {Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}},
	"revision 3 upgrade":   {Revision: engineio.Revision3},
	"revision 4 polling":   {Revision: engineio.Revision4, Transports: []engineio.Transport{engineio.Polling}},
	"revision 4 websocket": {Revision: engineio.Revision4, Transports: []engineio.Transport{engineio.WebSocket}},
	"revision 4 upgrade":   {Revision: engineio.Revision4},
}

// scenario returns the handler of the server and the function that a test runs with the client's side.
type scenario func() (engineio.Handler, func(t *testing.T, srv *engineio.Server, s *engineio.Socket))

// scenarioOf makes a scenario from a handler that shares no data with the test.
func scenarioOf(h engineio.Handler, f func(t *testing.T, srv *engineio.Server, s *engineio.Socket)) scenario {
	return func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) { return h, f }
}

// onEveryTransport calls b in a bubble for every way to open a session.
func onEveryTransport(t *testing.T, opts *engineio.ServerOptions, b scenario) {
	t.Helper()
	if opts == nil {
		opts = &engineio.ServerOptions{}
	}
	opts.Revisions = []engineio.Revision{engineio.Revision3, engineio.Revision4}
	for name, o := range everyTransport {
		t.Run(name, func(t *testing.T) {
			var h engineio.Handler // made inside the bubble, with its channels
			outer := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) { h.ServeSocket(ctx, s) })
			inBubble(t, outer, opts, func(t *testing.T, ts *testServer) {
				var f func(t *testing.T, srv *engineio.Server, s *engineio.Socket)
				h, f = b()
				o.HTTPClient = ts.client
				s, err := engineio.Dial(t.Context(), "http://pipe", &o)
				require.NoError(t, err)
				f(t, ts.srv, s)
				s.Abort(nil)
				require.NoError(t, s.Close())
				for _, left := range ts.srv.Sockets() {
					left.Abort(nil)
				}
				time.Sleep(time.Second)
				requireNothingLeft(t, ts.srv)
			})
		})
	}
}

// requireEcho sends a message and expects its echo.
func requireEcho(t *testing.T, s *engineio.Socket, m engineio.Message) {
	t.Helper()
	require.NoError(t, s.Write(t.Context(), m))
	got, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, m.Binary, got.Binary)
	require.Equal(t, string(m.Data), string(got.Data))
}

// onBothRevisions calls f as a subtest for each revision.
func onBothRevisions(t *testing.T, f func(t *testing.T, rev engineio.Revision)) {
	t.Helper()
	for rev := engineio.Revision3; rev <= engineio.Revision4; rev++ {
		t.Run(fmt.Sprint("revision ", rev), func(t *testing.T) { f(t, rev) })
	}
}
