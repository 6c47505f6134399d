package engineio_test

import (
	"context"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

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
