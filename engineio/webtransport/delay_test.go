//go:build soak

package webtransport

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// A peer that reads nothing cannot delay the end of its session, or of the server.
// Advisories: CVE-2026-21435
func TestCloseIsNotDelayed(t *testing.T) {
	t.Parallel()
	full := make(chan *engineio.Socket, 1)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for s.TryWrite(engineio.Binary(make([]byte, 100_000))) == nil { // more than the windows of QUIC take
		}
		full <- s
		<-ctx.Done()
	}), engineio.ServerOptions{})
	ts.connect("/engine.io/").stream(open4)
	s := <-full
	start := time.Now()
	s.Abort(nil)
	require.Eventually(t, func() bool { return len(ts.engine.Sockets()) == 0 }, 5*time.Second, time.Millisecond)
	require.NoError(t, ts.engine.Close())
	require.Less(t, time.Since(start), 5*time.Second)
}

// Close of a session whose peer reads everything waits for no timeout.
func TestCloseWaitsForNoTimeout(t *testing.T) {
	t.Parallel()
	for _, transports := range [][]engineio.Transport{{engineio.WebTransport}, {engineio.Polling, engineio.WebTransport}} {
		ts := newTestServer(t, echo, engineio.ServerOptions{})
		s := ts.mustDial(transports...)
		require.NoError(t, s.Write(t.Context(), engineio.Text("x")))
		begin := time.Now()
		require.NoError(t, s.Close())
		require.Less(t, time.Since(begin), 4*time.Second, "a stream waited for a timeout")
	}
}
