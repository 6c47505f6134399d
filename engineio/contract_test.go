package engineio_test

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func TestReadsContextEndsTheSession(t *testing.T) {
	onEveryTransport(t, nil, func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) {
		ended := make(chan error, 1)
		h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			_, err := s.Read(ctx)
			ended <- err
		})
		return h, func(t *testing.T, srv *engineio.Server, s *engineio.Socket) {
			ctx, cancel := context.WithCancelCause(t.Context())
			read := make(chan error, 1)
			go func() {
				_, err := s.Read(ctx)
				read <- err
			}()
			synctest.Wait()
			mine := errors.New("enough")
			cancel(mine)
			err := <-read
			var closed *engineio.CloseError
			require.ErrorAs(t, err, &closed)
			require.Equal(t, &engineio.CloseError{Reason: engineio.ReasonForcedClose, Err: mine}, closed)
			require.ErrorIs(t, err, net.ErrClosed)
			require.Equal(t, closed, context.Cause(s.Context()))
			require.ErrorIs(t, s.TryWrite(engineio.Text("x")), mine)
			require.ErrorIs(t, s.Write(t.Context(), engineio.Text("x")), mine)
			_, err = s.Read(t.Context())
			require.ErrorIs(t, err, mine)
			require.ErrorAs(t, <-ended, &closed)
			require.True(t, closed.Remote)
		}
	})
}

func TestConcurrentRead(t *testing.T) {
	onEveryTransport(t, nil, scenarioOf(idle, func(t *testing.T, srv *engineio.Server, s *engineio.Socket) {
		s.Discard()
		synctest.Wait()
		_, err := s.Read(t.Context())
		require.ErrorIs(t, err, engineio.ErrConcurrentRead)
		require.NoError(t, s.Context().Err(), "the session lives on")
	}))
}

// All messages that were queued before Close arrive before the end, however many there are.
func TestCloseSendsWhatIsQueued(t *testing.T) {
	const n = packet.MaxPackets + 2000 // more than one poll can carry
	onEveryTransport(t, nil, func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) {
		closing := make(chan error, 1)
		h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			m := engineio.Prepare(engineio.Text("x"))
			for range n {
				if err := s.TryWrite(m); err != nil {
					closing <- err
					return
				}
			}
			closing <- s.Close()
		})
		return h, func(t *testing.T, srv *engineio.Server, s *engineio.Socket) {
			for i := range n {
				m, err := s.Read(t.Context())
				require.NoError(t, err, "message %d", i)
				require.Equal(t, "x", string(m.Data))
			}
			_, err := s.Read(t.Context())
			var closed *engineio.CloseError
			require.ErrorAs(t, err, &closed)
			require.Equal(t, engineio.ReasonTransportClose, closed.Reason)
			require.True(t, closed.Remote)
			require.NoError(t, <-closing)
		}
	})
}

func TestClientsCloseSendsWhatIsQueued(t *testing.T) {
	const n = 3000
	onEveryTransport(t, nil, func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) {
		got := make(chan int, 1)
		h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			n := 0
			for {
				if _, err := s.Read(ctx); err != nil {
					got <- n
					return
				}
				n++
			}
		})
		return h, func(t *testing.T, srv *engineio.Server, s *engineio.Socket) {
			for range n {
				require.NoError(t, s.TryWrite(engineio.Text("x")))
			}
			start := time.Now()
			require.NoError(t, s.Close())
			require.Equal(t, n, <-got)
			require.Zero(t, time.Since(start))
			require.NoError(t, s.Close(), "again")
		}
	})
}

func TestShutdown(t *testing.T) {
	onEveryTransport(t, nil, func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) {
		over := make(chan string, 1)
		h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			_ = s.TryWrite(engineio.Text("last"))
			_, err := s.Read(ctx)
			time.Sleep(time.Second) // the handler has more work
			over <- context.Cause(s.Context()).Error()
			require.ErrorIs(t, err, engineio.ErrServerClosed)
		})
		return h, func(t *testing.T, srv *engineio.Server, s *engineio.Socket) {
			synctest.Wait() // the handler has written
			start := time.Now()
			down := make(chan error, 1)
			go func() { down <- srv.Shutdown(t.Context()) }()
			m, err := s.Read(t.Context())
			require.NoError(t, err)
			require.Equal(t, "last", string(m.Data))
			_, err = s.Read(t.Context())
			var closed *engineio.CloseError
			require.ErrorAs(t, err, &closed)
			require.Equal(t, engineio.ReasonTransportClose, closed.Reason)
			require.NoError(t, <-down)
			require.Equal(t, time.Second, time.Since(start))
			require.Equal(t, "engineio: session ended locally: forced close: engineio: server closed", <-over, "it was waited for")
			require.NoError(t, srv.Shutdown(t.Context()), "again")
		}
	})
}

// Shutdown waits no longer than its context lives. Close waits only for handlers.
func TestShutdownOfWhatHangs(t *testing.T) {
	var leave chan struct{}
	h := engineio.HandlerFunc(func(context.Context, *engineio.Socket) { <-leave })
	inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
		leave = make(chan struct{})
		var all []*engineio.Socket
		for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
			s := ts.connect(&engineio.DialOptions{Transports: []engineio.Transport{transport}})
			all = append(all, s)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, ts.srv.Shutdown(ctx), io.ErrNoProgress)
		require.Equal(t, time.Second, time.Since(start))
		require.Empty(t, ts.srv.Sockets())
		closed := make(chan error, 1)
		go func() { closed <- ts.srv.Close() }()
		synctest.Wait()
		require.Empty(t, closed, "a handler is still busy")
		close(leave)
		require.NoError(t, <-closed)
		for _, s := range all {
			s.Abort(nil)
			require.NoError(t, s.Close())
		}
		synctest.Wait()
		require.Equal(t, time.Second, time.Since(start))
	})
}

func TestFlush(t *testing.T) {
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		require.NoError(t, s.Flush(t.Context()), "nothing to wait for")
		require.NoError(t, s.TryWrite(engineio.Text("a")))
		flushed := make(chan error, 1)
		go func() { flushed <- s.Flush(t.Context()) }()
		synctest.Wait()
		require.Empty(t, flushed)
		require.NoError(t, s.TryWrite(engineio.Text("b")))
		require.Equal(t, "200 4a\x1e4b", pc.poll().summary())
		require.NoError(t, <-flushed)
		require.NoError(t, s.TryWrite(engineio.Text("c")))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.ErrorIs(t, s.Flush(ctx), context.DeadlineExceeded)
		require.NoError(t, s.Context().Err(), "the session lives on")

		wc, sid := ts.openWebSocket(engineio.Revision4)
		s = (&pollingClient{ts: ts, sid: sid}).socket()
		require.NoError(t, s.TryWrite(engineio.Text("a")))
		go func() { flushed <- s.Flush(t.Context()) }()
		synctest.Wait()
		require.Empty(t, flushed, "the pipe holds nothing")
		require.Equal(t, "4a", wc.readText())
		require.NoError(t, <-flushed)
		require.NoError(t, wc.conn.Close())
	})
}

// A ping of revision 3 is a barrier: the reply comes when all earlier messages were returned and Read is called again.
func TestPingIsABarrier(t *testing.T) {
	onEveryTransport(t, nil, func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) {
		step := make(chan struct{})
		var handled atomic.Int32
		h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			for {
				if _, err := s.Read(ctx); err != nil {
					return
				}
				<-step
				handled.Add(1)
			}
		})
		return h, func(t *testing.T, srv *engineio.Server, s *engineio.Socket) {
			s.Discard()
			if s.Revision() == engineio.Revision4 {
				require.Error(t, s.Ping(t.Context()))
				require.Error(t, srv.Sockets()[0].Ping(t.Context()))
				return
			}
			defer close(step)
			for range 3 {
				require.NoError(t, s.TryWrite(engineio.Text("x")))
			}
			pinged := make(chan error, 1)
			go func() { pinged <- s.Ping(t.Context()) }()
			for i := range 3 {
				synctest.Wait()
				require.Empty(t, pinged, "after %d", i)
				step <- struct{}{}
			}
			require.NoError(t, <-pinged)
			require.EqualValues(t, 3, handled.Load())
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			require.NoError(t, s.TryWrite(engineio.Text("x")))
			require.ErrorIs(t, s.Ping(ctx), context.DeadlineExceeded)
			require.NoError(t, s.Context().Err(), "the session lives on")
			step <- struct{}{}
			require.NoError(t, s.Ping(t.Context()), "the next one is not confused by the last")
		}
	})
}

// A ping that finds no room does not delay later pings.
func TestPingThatFindsNoRoom(t *testing.T) {
	var read chan struct{}
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		<-read
		idle(ctx, s)
	})
	inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
		read = make(chan struct{})
		s := ts.connect(&engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}, QueueLimit: 1000})
		s.Discard()
		require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("x", 1000+engineio.ControlAllowance))))
		synctest.Wait()
		require.ErrorIs(t, s.Ping(t.Context()), engineio.ErrQueueFull)
		close(read)
		require.NoError(t, s.Flush(t.Context()))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, s.Ping(ctx))
		require.NoError(t, s.Close())
	})
}

func TestDiscard(t *testing.T) {
	onEveryTransport(t, &engineio.ServerOptions{PingInterval: time.Second, PingTimeout: time.Second}, func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) {
		wrote := make(chan error, 1)
		h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			s.Discard()
			for range 1000 {
				if err := s.Write(ctx, engineio.Text("x")); err != nil {
					wrote <- err
					return
				}
			}
			wrote <- nil
			<-ctx.Done()
		})
		return h, func(t *testing.T, srv *engineio.Server, s *engineio.Socket) {
			s.Discard()
			for range 100 {
				require.NoError(t, s.Write(t.Context(), engineio.Text("y")))
			}
			require.NoError(t, <-wrote)
			time.Sleep(time.Minute)
			require.NoError(t, s.Context().Err(), "heartbeats are answered")
			require.NoError(t, s.Close())
		}
	})
}
