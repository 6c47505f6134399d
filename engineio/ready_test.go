package engineio_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// The frame after a message comes with the same write, and so with the same read.
func TestReadyKnowsWhetherReadWouldWait(t *testing.T) {
	text := func(body string) []byte { return maskedFrame(ws.Header{Fin: true, OpCode: ws.OpText}, body) }
	long := strings.Repeat("x", 300)
	for _, tt := range []struct {
		name  string
		next  []byte
		ready bool
	}{
		{"nothing", nil, false},
		{"a message", text("4b"), true},
		{"an empty message", text("4"), true},
		{"a message with a longer header", text("4" + long), true},
		{"a part of a header", text("4b")[:1], false},
		{"a part of a longer header", text("4" + long)[:3], false},
		{"a header", text("4b")[:6], false},
		{"a part of a message", text("4bcd")[:8], false},
		{"a part of a message with a longer header", text("4" + long)[:200], false},
		{"a heartbeat", text("2"), false},
		{"a heartbeat and a message", append(text("2"), text("4b")...), false},
		{"a ping of the WebSocket's", maskedFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, "4"), false},
		{"a fragment", maskedFrame(ws.Header{OpCode: ws.OpText}, "4b"), false},
		{"a goodbye", maskedFrame(ws.Header{Fin: true, OpCode: ws.OpClose}, ""), false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := make(chan bool, 2)
			h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				if _, err := s.Read(ctx); err != nil {
					return
				}
				answers <- s.Ready()
				began := time.Now()
				if _, err := s.Read(ctx); err == nil {
					answers <- time.Since(began) == 0
				}
			})
			inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
				wc, _ := ts.openWebSocket(engineio.Revision3)
				_, err := wc.conn.Write(append(text("4a"), tt.next...))
				require.NoError(t, err)
				require.Equal(t, tt.ready, <-answers)
				if tt.ready {
					require.True(t, <-answers, "the read took time")
				}
				_ = wc.conn.Close()
			})
		})
	}
}

func TestReadyOnPolling(t *testing.T) {
	answers := make(chan bool, 10)
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			if _, err := s.Read(ctx); err != nil {
				answers <- s.Ready()
				return
			}
			answers <- s.Ready()
		}
	})
	inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision3)
		require.Equal(t, 200, pc.post(pc.payload("4a", "4b", "2", "4c")).status)
		synctest.Wait()
		require.True(t, <-answers, "b stands behind a")
		require.False(t, <-answers, "a heartbeat comes after b")
		require.False(t, <-answers, "c is the last message")
		pc.socket().Abort(nil)
		require.False(t, <-answers, "the session has ended")
	})
}

func TestTryWriteTakesAllOrNone(t *testing.T) {
	inBubble(t, echoHandler, &engineio.ServerOptions{QueueLimit: 1000}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		m := engineio.Text(strings.Repeat("x", 100-wire.Overhead))
		require.NoError(t, s.TryWrite(), "nothing to send")
		require.NoError(t, s.TryWrite(engineio.Text("1"), engineio.Prepare(engineio.Text("2")), engineio.Text("3")))
		require.ErrorIs(t, s.TryWrite(m, m, m, m, m, m, m, m, m, m), engineio.ErrQueueFull)
		require.ErrorIs(t, s.TryWrite(engineio.Text("4"), engineio.Text("\xff")), engineio.ErrInvalidText)
		require.ErrorIs(t, s.TryWrite(engineio.Text("4"), engineio.Text("\x1e")), engineio.ErrSeparator)
		require.NoError(t, s.TryWrite(engineio.Text("4"), engineio.Text("5")))
		require.Equal(t, "200 41\x1e42\x1e43\x1e44\x1e45", pc.poll().summary())
		s.Abort(nil)
		var ended *engineio.CloseError
		require.ErrorAs(t, s.TryWrite(m, m, m, m, m, m, m, m, m, m, m), &ended, "there never will be room")
	})
}

// ReadInto stores a message that came by one read in the caller's memory if the message fits. It stores all other
// messages elsewhere.
func TestReadIntoUsesWhatFits(t *testing.T) {
	long := strings.Repeat("x", 100)
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		answers := make(chan string, 10)
		h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			buf := make([]byte, 10, 20)
			for {
				m, err := s.ReadInto(ctx, buf)
				if err != nil {
					if m.Data == nil {
						answers <- "nothing"
					}
					return
				}
				where := "elsewhere"
				if cap(m.Data) > 0 && &m.Data[:1][0] == &buf[0] {
					where = "in place"
				}
				answers <- string(m.Data) + " " + where
			}
		})
		inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
			wc, _ := ts.openWebSocket(rev)
			for _, body := range []string{"4", "4short", "4" + strings.Repeat("x", 20), "4" + long} {
				_, err := wc.conn.Write(maskedFrame(ws.Header{Fin: true, OpCode: ws.OpText}, body))
				require.NoError(t, err)
			}
			require.Equal(t, " in place", <-answers)
			require.Equal(t, "short in place", <-answers)
			require.Equal(t, strings.Repeat("x", 20)+" in place", <-answers)
			require.Equal(t, long+" elsewhere", <-answers)
			_ = wc.conn.Close()
			require.Equal(t, "nothing", <-answers)
		})
		inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(rev)
			require.Equal(t, 200, pc.post(pc.payload("4a", "4"+long)).status)
			require.Equal(t, "a elsewhere", <-answers)
			require.Equal(t, long+" elsewhere", <-answers)
			pc.socket().Abort(nil)
			require.Equal(t, "nothing", <-answers)
		})
	}
}
