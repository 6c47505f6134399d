package engineio_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
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

// The server replies to pings of the WebSocket protocol. It ends the session of a peer that does not read the replies
// when the queue's limit is reached.
// Advisories: CVE-2026-48802, CVE-2026-48809
func TestPingFlood(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, nil)
	others := ts.bystanders()
	wc, sid := ts.openWebSocket(engineio.Revision4)
	const n = 20_000
	flood := strings.Repeat(masked(0x89, "12345678")+masked(0x8a, "12345678"), n)
	go func() { _, _ = io.WriteString(wc.conn, flood) }()
	for range n {
		f, err := wc.readFrame()
		require.NoError(t, err)
		require.Equal(t, ws.OpPong, f.Header.OpCode)
		require.Equal(t, "12345678", string(f.Payload))
	}
	wc.requireEcho("alive")
	require.NoError(t, wc.conn.Close())
	h.awaitEnd(sid)
	others.requireUnharmed()

	deaf := newEndRecorder()
	inBubble(t, deaf, &engineio.ServerOptions{QueueLimit: 10_000}, func(t *testing.T, ts *testServer) {
		wc, sid := ts.openWebSocket(engineio.Revision4)
		start := time.Now()
		sent := 0
		for wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("x", 125)) == nil {
			sent++
			require.LessOrEqual(t, ts.srv.SendBudgetUsed(), 100_000)
		}
		e := <-deaf.ends(sid)
		require.ErrorIs(t, e, engineio.ErrQueueFull)
		require.Less(t, sent, 400)
		require.Zero(t, time.Since(start))
		require.NoError(t, wc.conn.Close())
		requireNothingLeft(t, ts.srv)
	})
}

// The server ends the session of a peer that does not read its messages after the write timeout.
func TestPeerThatTakesNothing(t *testing.T) {
	var ended chan error
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		var err error
		for err == nil {
			err = s.Write(ctx, engineio.Text(strings.Repeat("x", 1000)))
		}
		ended <- err
	})
	inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
		ended = make(chan error, 1)
		start := time.Now()
		wc, _ := ts.openWebSocket(engineio.Revision4)
		var closed *engineio.CloseError
		require.ErrorAs(t, <-ended, &closed)
		require.Equal(t, engineio.ReasonTransportError, closed.Reason)
		require.Equal(t, defaultWriteTimeout, time.Since(start))
		require.NoError(t, wc.conn.Close())
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
	})
}
