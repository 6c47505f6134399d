package engineio_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// net/http reads the body of a request before it responds, and the body may never come.
func TestRequestsWhoseBodyNeverComesHoldNothingUp(t *testing.T) {
	inBubble(t, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		for _, request := range []string{
			"GET /engine.io/?EIO=3&transport=polling", "GET /engine.io/?" + pc.query, "PUT /engine.io/?" + pc.query,
			"POST /engine.io/?EIO=4&transport=polling", "POST /engine.io/?EIO=4", "GET /elsewhere",
		} {
			conn := ts.dial()
			_, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: pipe\r\nContent-Length: 1\r\n\r\n", request)
			require.NoError(t, err)
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			defer func() { require.NoError(t, conn.Close()) }()
		}
		synctest.Wait()
		start := time.Now()
		require.NoError(t, ts.srv.Close())
		require.LessOrEqual(t, time.Since(start), defaultWriteTimeout)
	})
}

// A reply that its peer does not accept counts as queued, however it was written.
func TestRepliesCountAgainstTheBufferLimit(t *testing.T) {
	result := make(chan error, 1)
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		if _, err := s.Read(ctx); err == nil {
			result <- s.Write(ctx, engineio.Binary(make([]byte, 50<<20)))
		}
	})
	ts := newTestServer(t, h, &engineio.ServerOptions{BufferLimit: 1 << 20})
	wc, _ := ts.openWebSocket(engineio.Revision4)
	wc.sendText("4large, please")
	require.ErrorIs(t, <-result, engineio.ErrQueueFull)
	require.NoError(t, wc.conn.Close())
	ts.awaitSockets(0)
}

func TestDialsErrorsQuoteNoSecrets(t *testing.T) {
	for _, url := range []string{"ftp://u:hunter2@h/?token=secret", "http://u:hunter2@h:x/?token=secret", "http://?token=secret", "://hunter2"} {
		_, err := engineio.Dial(t.Context(), url, &engineio.DialOptions{HTTPClient: http.DefaultClient})
		require.Error(t, err)
		require.NotContains(t, err.Error(), "hunter2")
		require.NotContains(t, err.Error(), "secret")
	}
}
