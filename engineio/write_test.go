package engineio_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// The limit of a queue is exact. A polling session without a poll sends nothing.
func TestQueueLimit(t *testing.T) {
	inBubble(t, echoHandler, &engineio.ServerOptions{QueueLimit: 1000}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		m := engineio.Text(strings.Repeat("x", 100-wire.Overhead))
		for i := range 10 {
			if i%2 == 0 {
				require.NoError(t, s.TryWrite(m))
			} else {
				require.NoError(t, s.Write(t.Context(), m))
			}
		}
		require.ErrorIs(t, s.TryWrite(engineio.Text("")), engineio.ErrQueueFull)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, s.Write(ctx, m), io.ErrNoProgress)
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, s.Context().Err(), "the session lives on")

		wrote := make(chan error, 1)
		go func() { wrote <- s.Write(t.Context(), engineio.Text("waited")) }()
		synctest.Wait()
		require.Empty(t, wrote)
		require.Equal(t, 10, strings.Count(pc.poll().body, "4"), "rejected messages were not sent")
		require.NoError(t, <-wrote)
		require.Equal(t, "200 4waited", pc.poll().summary())
		synctest.Wait()

		require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("y", 5000))), "one larger than the limit, when nothing waits")
		require.ErrorIs(t, s.TryWrite(engineio.Text("")), engineio.ErrQueueFull)
		require.Len(t, pc.poll().body, 5001)
		synctest.Wait()

		// A waiting writer gets the error of the session's end.
		require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("y", 5000))))
		go func() { wrote <- s.Write(t.Context(), engineio.Text("never")) }()
		synctest.Wait()
		s.Abort(io.ErrClosedPipe)
		require.ErrorIs(t, <-wrote, io.ErrClosedPipe)
	})
}

// Messages that are queued during a write leave together in the next write, up to wire.BatchSize.
func TestQueuedMessagesLeaveInOneWrite(t *testing.T) {
	for _, server := range []bool{true, false} {
		t.Run(fmt.Sprint("server ", server), func(t *testing.T) {
			var there chan *engineio.Socket
			h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				there <- s
				<-ctx.Done()
			})
			inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
				there = make(chan *engineio.Socket, 1)
				s := ts.connect(&engineio.DialOptions{Transports: []engineio.Transport{engineio.WebSocket}})
				from, to := <-there, s
				near, far := ts.net.last()
				writes := &far.writes
				if !server {
					from, to = to, from
					writes = &near.writes
				}
				synctest.Wait() // the handshake is over
				writes.Store(0)
				const n = 500
				require.NoError(t, from.TryWrite(engineio.Text("first")))
				synctest.Wait() // its write is in progress, because the other end does not read
				for i := range n {
					require.NoError(t, from.TryWrite(engineio.Text(fmt.Sprint(i))))
				}
				m, err := to.Read(t.Context())
				require.NoError(t, err)
				require.Equal(t, "first", string(m.Data))
				for i := range n {
					m, err := to.Read(t.Context())
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint(i), string(m.Data))
				}
				require.EqualValues(t, 2, writes.Load())
				s.Abort(nil)
				require.NoError(t, s.Close())
			})
		})
	}
}

// A close frame is never written into the middle of another frame.
func TestCloseFrameStandsBehindWholeFrames(t *testing.T) {
	t.Run("a message that the kernel took in part", func(t *testing.T) {
		reply := engineio.Text(strings.Repeat("x", engineio.FreeAllowance))
		asked, begin, replied := make(chan struct{}), make(chan struct{}), make(chan int, 1)
		ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			_, _ = s.Read(ctx)
			asked <- struct{}{}
			<-begin
			n := 0
			for ; s.Queued() == 0 && s.Write(ctx, reply) == nil; n++ {
			}
			replied <- n
			_, _ = s.Read(ctx) // mostly before another goroutine writes the rest of the message
		}), nil)
		for range 10 {
			wc, _ := ts.openWebSocket(engineio.Revision4)
			wc.sendText("4begin")
			<-asked
			wc.sendText("nonsense")
			begin <- struct{}{}
			for range <-replied {
				require.Len(t, wc.readText(), 1+engineio.FreeAllowance)
			}
			require.Equal(t, "close", wc.readEnd())
		}
	})
	t.Run("a message that is being written", func(t *testing.T) {
		h := newEndRecorder()
		inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
			wc, sid := ts.openWebSocket(engineio.Revision4)
			s := (&pollingClient{ts: ts, sid: sid}).socket()
			require.NoError(t, s.TryWrite(engineio.Text("whole")))
			synctest.Wait() // the write waits for a reader
			wc.sendText("nonsense")
			time.Sleep(wire.CloseFrameTimeout - 1)
			require.Equal(t, "4whole", wc.readText())
			require.Equal(t, "close", wc.readEnd())
			wc, sid = ts.openWebSocket(engineio.Revision4)
			s = (&pollingClient{ts: ts, sid: sid}).socket()
			require.NoError(t, s.TryWrite(engineio.Text("never read")))
			synctest.Wait()
			wc.sendText("nonsense")
			start := time.Now()
			require.Equal(t, remoteParse, h.awaitEnd(sid))
			require.Equal(t, wire.CloseFrameTimeout, time.Since(start), "the socket does not wait for a peer that reads nothing")
			require.NoError(t, wc.conn.Close())
		})
	})
}
