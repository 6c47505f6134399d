package engineio

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// The limit of a queue is exact. A polling session without a poll sends nothing.
func TestQueueLimit(t *testing.T) {
	inSite(t, echo, &ServerOptions{QueueLimit: 1000}, func(t *testing.T, w *site) {
		v := w.open(Revision4)
		s := v.socket()
		m := Text(strings.Repeat("x", 100-overhead))
		for i := range 10 {
			if i%2 == 0 {
				require.NoError(t, s.TryWrite(m))
			} else {
				require.NoError(t, s.Write(t.Context(), m))
			}
		}
		require.ErrorIs(t, s.TryWrite(Text("")), ErrQueueFull)
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, s.Write(ctx, m), io.ErrNoProgress)
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, s.Context().Err(), "the session lives on")

		wrote := make(chan error, 1)
		go func() { wrote <- s.Write(t.Context(), Text("waited")) }()
		synctest.Wait()
		require.Empty(t, wrote)
		require.Equal(t, 10, strings.Count(v.poll().body, "4"), "rejected messages were not sent")
		require.NoError(t, <-wrote)
		require.Equal(t, "200 4waited", v.poll().brief())
		synctest.Wait()

		require.NoError(t, s.TryWrite(Text(strings.Repeat("y", 5000))), "one larger than the limit, when nothing waits")
		require.ErrorIs(t, s.TryWrite(Text("")), ErrQueueFull)
		require.Len(t, v.poll().body, 5001)
		synctest.Wait()

		// A waiting writer gets the error of the session's end.
		require.NoError(t, s.TryWrite(Text(strings.Repeat("y", 5000))))
		go func() { wrote <- s.Write(t.Context(), Text("never")) }()
		synctest.Wait()
		s.Abort(io.ErrClosedPipe)
		require.ErrorIs(t, <-wrote, io.ErrClosedPipe)
	})
}

// countingConn counts the calls of Write.
type countingConn struct {
	net.Conn
	writes *atomic.Int32
}

func (c countingConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.Conn.Write(p)
}

// Messages that are queued during a write leave together in the next write, up to batchSize.
func TestQueuedMessagesLeaveInOneWrite(t *testing.T) {
	for _, server := range []bool{true, false} {
		t.Run(fmt.Sprint("server ", server), func(t *testing.T) {
			var there chan *Socket
			h := HandlerFunc(func(ctx context.Context, s *Socket) {
				there <- s
				<-ctx.Done()
			})
			inBubble(t, h, nil, func(t *testing.T, srv *Server, client *http.Client) {
				there = make(chan *Socket, 1)
				s, err := Dial(t.Context(), "http://pipe", &DialOptions{Transports: []Transport{WebSocket}, HTTPClient: client})
				require.NoError(t, err)
				from, to := <-there, s
				if !server {
					from, to = to, from
				}
				var writes atomic.Int32
				from.mu.Lock()
				conn := from.stream.conn
				from.stream.conn = countWrites(conn, &writes)
				from.mu.Unlock()
				const n = 500
				require.NoError(t, from.TryWrite(Text("first")))
				synctest.Wait() // its write is in progress, because the other end does not read
				for i := range n {
					require.NoError(t, from.TryWrite(Text(fmt.Sprint(i))))
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

// writeCounter counts the calls of Write.
type writeCounter struct {
	io.ReadWriteCloser
	writes *atomic.Int32
}

func countWrites(conn io.ReadWriteCloser, writes *atomic.Int32) io.ReadWriteCloser {
	if c, ok := conn.(net.Conn); ok {
		return countingConn{c, writes}
	}
	return writeCounter{conn, writes}
}

func (c writeCounter) Write(p []byte) (int, error) {
	c.writes.Add(1)
	return c.ReadWriteCloser.Write(p)
}

// The replies to the frames of one read leave together as well.
func TestRepliesToOneReadLeaveTogether(t *testing.T) {
	w := newSite(t, echo, nil)
	l, sid := w.session(Revision4)
	defer func() { require.NoError(t, l.conn.Close()) }()
	s := (&visit{w: w, sid: sid}).socket()
	before := s.enqueuedNow()
	burst := strings.Repeat(masked(0x81, "4x"), 20)
	_, err := io.WriteString(l.conn, burst)
	require.NoError(t, err)
	buf := make([]byte, 4096)
	n, err := io.ReadAtLeast(l.conn, buf, 20*4)
	require.NoError(t, err)
	require.Equal(t, strings.Repeat("\x81\x024x", 20), string(buf[:n]))
	require.Equal(t, before+20, s.enqueuedNow())
}

func (s *Socket) enqueuedNow() uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.enqueued
}

// A close frame is never written into the middle of another frame.
func TestCloseFrameStandsBehindWholeFrames(t *testing.T) {
	t.Run("a message that the kernel took in part", func(t *testing.T) {
		w := newSite(t, echo, nil)
		l, sid := w.session(Revision4)
		s := (&visit{w: w, sid: sid}).socket()
		s.mu.Lock()
		_, err := io.WriteString(l.conn, masked(0x81, "nonsense"))
		require.NoError(t, err)
		_, err = io.WriteString(s.stream.conn, "\x81\x054fr")
		require.NoError(t, err)
		s.stream.unwritten = []byte("om")
		s.mu.Unlock()
		require.Equal(t, "4from", l.text())
		require.Equal(t, "close", l.ending())
	})
	t.Run("a message that is being written", func(t *testing.T) {
		h := newWitness()
		inSite(t, h, nil, func(t *testing.T, w *site) {
			l, sid := w.session(Revision4)
			s := (&visit{w: w, sid: sid}).socket()
			require.NoError(t, s.TryWrite(Text("whole")))
			synctest.Wait() // the write waits for a reader
			l.say("nonsense")
			time.Sleep(closeFrameTimeout - 1)
			require.Equal(t, "4whole", l.text())
			require.Equal(t, "close", l.ending())
			l, sid = w.session(Revision4)
			s = (&visit{w: w, sid: sid}).socket()
			require.NoError(t, s.TryWrite(Text("never read")))
			synctest.Wait()
			l.say("nonsense")
			start := time.Now()
			require.Equal(t, remoteParse, h.end(sid))
			require.Equal(t, closeFrameTimeout, time.Since(start), "the socket does not wait for a peer that reads nothing")
			require.NoError(t, l.conn.Close())
		})
	})
}
