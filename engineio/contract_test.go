package engineio_test

import (
	"context"
	"errors"
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
	inBubble(t, h, nil, func(t *testing.T, srv *engineio.Server, client *http.Client) {
		leave = make(chan struct{})
		var all []*engineio.Socket
		for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
			s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Transports: []engineio.Transport{transport}, HTTPClient: client})
			require.NoError(t, err)
			all = append(all, s)
		}
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, io.ErrNoProgress)
		defer cancel()
		start := time.Now()
		require.ErrorIs(t, srv.Shutdown(ctx), io.ErrNoProgress)
		require.Equal(t, time.Second, time.Since(start))
		require.Empty(t, srv.Sockets())
		closed := make(chan error, 1)
		go func() { closed <- srv.Close() }()
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
	inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
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
	inBubble(t, h, bothRevisions(), func(t *testing.T, srv *engineio.Server, client *http.Client) {
		read = make(chan struct{})
		s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}, HTTPClient: client, QueueLimit: 1000})
		require.NoError(t, err)
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

// Each close reason, in the situation that it names, at both ends.
func TestCloseReasons(t *testing.T) {
	type end struct {
		Reason string
		Remote bool
	}
	for _, c := range []struct {
		name           string
		act            func(t *testing.T, e *bothEnds)
		server, client end
	}{
		{"the server closes", func(t *testing.T, e *bothEnds) { require.NoError(t, e.server.Close()) },
			end{engineio.ReasonForcedClose, false}, end{engineio.ReasonTransportClose, true}},
		{"the client closes", func(t *testing.T, e *bothEnds) { require.NoError(t, e.client.Close()) },
			end{engineio.ReasonTransportClose, true}, end{engineio.ReasonForcedClose, false}},
		{"the client parses nonsense", func(t *testing.T, e *bothEnds) { e.nonsenseToClient(t) },
			end{engineio.ReasonTransportClose, true}, end{engineio.ReasonParseError, true}},
		{"the server parses nonsense", func(t *testing.T, e *bothEnds) { e.nonsenseToServer(t) },
			end{engineio.ReasonParseError, true}, end{engineio.ReasonTransportClose, true}},
		{"the network falls silent", func(_ *testing.T, e *bothEnds) { e.net.silence() },
			end{engineio.ReasonPingTimeout, true}, end{engineio.ReasonPingTimeout, true}},
	} {
		for way, o := range everyTransport {
			t.Run(c.name+", "+way, func(t *testing.T) {
				inBothEnds(t, o, func(t *testing.T, e *bothEnds) {
					nonsense := strings.HasSuffix(c.name, "nonsense")
					polling := e.client.Transport() == engineio.Polling
					c.act(t, e)
					check := func(want end, s *engineio.Socket, parses bool) {
						<-s.Context().Done()
						var closed *engineio.CloseError
						require.ErrorAs(t, context.Cause(s.Context()), &closed)
						require.ErrorIs(t, closed, net.ErrClosed)
						got := end{closed.Reason, closed.Remote}
						if nonsense && polling && parses {
							require.ErrorContains(t, closed, "invalid packet type")
						}
						if nonsense && polling && (!parses || s == e.client) {
							// The parsing end does not announce the close. A client notices it at its next request, and
							// a server at the end of its poll or by silence. A client's poll is one request, which fails.
							require.Contains(t, []end{want, {engineio.ReasonTransportError, true}, {engineio.ReasonPingTimeout, true}}, got)
							return
						}
						require.Equal(t, want, got, "%v", closed)
					}
					check(c.server, e.server, c.server.Reason == engineio.ReasonParseError)
					check(c.client, e.client, c.client.Reason == engineio.ReasonParseError)
				})
			})
		}
	}
}

// bothEnds is a session with both ends, its network, and nonsense.
type bothEnds struct {
	server, client *engineio.Socket
	net            *network
	web            *http.Client
	garbled        atomic.Bool // the next poll gets nonsense
}

// inBothEnds opens a session in a bubble and waits until it has moved to its last transport. Both ends read.
func inBothEnds(t *testing.T, o engineio.DialOptions, f func(t *testing.T, e *bothEnds)) {
	t.Helper()
	var e bothEnds
	garble := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodGet && e.garbled.Load() {
				_, _ = io.WriteString(w, asciiPayload(o.Revision, "9"))
				return
			}
			h.ServeHTTP(w, r)
		})
	}
	inNetwork(t, garble, idle, bothRevisions(), func(t *testing.T, srv *engineio.Server, client *http.Client, n *network) {
		o.HTTPClient = client
		s, err := engineio.Dial(t.Context(), "http://pipe", &o)
		require.NoError(t, err)
		s.Discard()
		synctest.Wait()
		e.server, e.client, e.net, e.web = srv.Sockets()[0], s, n, client
		f(t, &e)
		s.Abort(nil)
		require.NoError(t, s.Close())
		e.server.Abort(nil)
		time.Sleep(time.Second)
		requireNothingLeft(t, srv)
	})
}

// nonsenseToClient makes the server send a packet of an unknown type.
func (e *bothEnds) nonsenseToClient(t *testing.T) {
	if e.client.Transport() != engineio.Polling {
		_, server := e.net.last()
		_, err := io.WriteString(server, "\x81\x019")
		require.NoError(t, err)
		return
	}
	e.garbled.Store(true)
	require.NoError(t, e.server.TryWrite(engineio.Text("ends the poll")))
}

// nonsenseToServer makes the client send a packet of an unknown type.
func (e *bothEnds) nonsenseToServer(t *testing.T) {
	if e.client.Transport() != engineio.Polling {
		client, _ := e.net.last()
		_, err := io.WriteString(client, masked(0x81, "9"))
		require.NoError(t, err)
		return
	}
	rev := e.client.Revision()
	ts := &testServer{t: t, base: "http://pipe/engine.io/", client: e.web}
	pc := &pollingClient{ts: ts, rev: rev, query: fmt.Sprintf("EIO=%d&transport=polling&sid=%s", rev, e.client.ID())}
	require.Equal(t, "400 ", pc.post(pc.payload("9")).summary())
}

// The response to a handshake does not wait for ever for a client that does not read.
func TestHandshakeWithAClientThatTakesNothing(t *testing.T) {
	inBubbleServer(t, newEndRecorder(), nil, func(t *testing.T, ts *testServer) {
		for _, query := range []string{"EIO=4&transport=websocket", polling4, ts.openPolling(engineio.Revision4).query} {
			conn := ts.dial()
			_, err := io.WriteString(conn, ts.handshakeText(query))
			require.NoError(t, err)
			time.Sleep(defaultWriteTimeout - 1)
			require.Len(t, ts.srv.Sockets(), 1+boolInt(query == "EIO=4&transport=websocket"))
			time.Sleep(2)
			synctest.Wait()
			require.Len(t, ts.srv.Sockets(), 1)
			_, err = io.WriteString(conn, "x")
			require.Error(t, err, "the connection is closed")
			require.NoError(t, conn.Close())
		}
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
