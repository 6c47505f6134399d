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
	h := newWitness()
	w := newSite(t, h, nil)
	others := w.bystanders()
	l, sid := w.session(engineio.Revision4)
	const n = 20_000
	flood := strings.Repeat(masked(0x89, "12345678")+masked(0x8a, "12345678"), n)
	go func() { _, _ = io.WriteString(l.conn, flood) }()
	for range n {
		f, err := l.frame()
		require.NoError(t, err)
		require.Equal(t, ws.OpPong, f.Header.OpCode)
		require.Equal(t, "12345678", string(f.Payload))
	}
	l.requireEcho("alive")
	require.NoError(t, l.conn.Close())
	h.end(sid)
	others.requireUnharmed()

	deaf := newWitness()
	inSite(t, deaf, &engineio.ServerOptions{QueueLimit: 10_000}, func(t *testing.T, w *site) {
		l, sid := w.session(engineio.Revision4)
		start := time.Now()
		sent := 0
		for l.tryWrite(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("x", 125)) == nil {
			sent++
			require.LessOrEqual(t, w.srv.SendBudgetUsed(), 100_000)
		}
		e := <-deaf.of(sid)
		require.ErrorIs(t, e, engineio.ErrQueueFull)
		require.Less(t, sent, 400)
		require.Zero(t, time.Since(start))
		require.NoError(t, l.conn.Close())
		requireNothingLeft(t, w.srv)
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
	inSite(t, h, nil, func(t *testing.T, w *site) {
		ended = make(chan error, 1)
		start := time.Now()
		l, _ := w.session(engineio.Revision4)
		var closed *engineio.CloseError
		require.ErrorAs(t, <-ended, &closed)
		require.Equal(t, engineio.ReasonTransportError, closed.Reason)
		require.Equal(t, defaultWriteTimeout, time.Since(start))
		require.NoError(t, l.conn.Close())
		synctest.Wait()
		requireNothingLeft(t, w.srv)
	})
}
