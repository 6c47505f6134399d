package engineio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// pipeListener is a net.Listener whose connections are in-memory pipes, for which a synctest bubble can wait.
type pipeListener struct {
	conns  chan net.Conn
	closed chan struct{}
	once   sync.Once
}

func newPipeListener() *pipeListener {
	return &pipeListener{conns: make(chan net.Conn), closed: make(chan struct{})}
}

func (l *pipeListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

func (l *pipeListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

func (l *pipeListener) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (l *pipeListener) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	select {
	case l.conns <- there:
		return here, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// inBubble serves h in a synctest bubble and calls f with an HTTP client that reaches it.
func inBubble(t *testing.T, h Handler, opts *ServerOptions, f func(t *testing.T, srv *Server, client *http.Client)) {
	t.Helper()
	inBubbleBehind(t, func(h http.Handler) http.Handler { return h }, h, opts, f)
}

// inBubbleBehind is like inBubble, with a handler of the test in front of the server.
func inBubbleBehind(t *testing.T, wrap func(http.Handler) http.Handler, h Handler, opts *ServerOptions, f func(t *testing.T, srv *Server, client *http.Client)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := NewServer(h, opts)
		l := newPipeListener()
		web := &http.Server{Handler: wrap(srv)}
		served := make(chan error, 1)
		go func() { served <- web.Serve(l) }()
		transport := &http.Transport{DialContext: l.dial}
		f(t, srv, &http.Client{Transport: transport})
		transport.CloseIdleConnections()
		require.NoError(t, srv.Close())
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	})
}

func TestUpgradeTakesNoTimeAndKeepsOrder(t *testing.T) {
	const n = 500
	for _, rev := range []Revision{Revision3, Revision4} {
		t.Run(fmt.Sprintf("revision %d", rev), func(t *testing.T) {
			both := HandlerFunc(func(ctx context.Context, s *Socket) {
				var wg sync.WaitGroup
				wg.Go(func() {
					for i := range n {
						if s.Write(context.Background(), Text(fmt.Sprint("s", i))) != nil {
							return
						}
					}
				})
				for i := range n {
					m, err := s.Read(ctx)
					if err != nil || string(m.Data) != fmt.Sprint("c", i) {
						s.Abort(fmt.Errorf("message %d is %q: %w", i, m.Data, err))
						break
					}
				}
				wg.Wait()
				_, _ = s.Read(ctx) // until the client closes
			})
			inBubble(t, both, bothRevisions(), func(t *testing.T, srv *Server, client *http.Client) {
				start := time.Now()
				s, err := Dial(t.Context(), "http://pipe", &DialOptions{Revision: rev, HTTPClient: client})
				require.NoError(t, err)
				var wg sync.WaitGroup
				wg.Go(func() {
					for i := range n {
						if err := s.Write(context.Background(), Text(fmt.Sprint("c", i))); err != nil {
							t.Errorf("write %d: %v", i, err)
							return
						}
					}
				})
				for i := range n {
					m, err := s.Read(t.Context())
					require.NoError(t, err)
					require.Equal(t, fmt.Sprint("s", i), string(m.Data))
				}
				wg.Wait()
				require.NoError(t, s.Flush(t.Context()))
				go func() { _, _ = s.Read(t.Context()) }()
				synctest.Wait()
				require.Equal(t, WebSocket, s.Transport())
				require.Len(t, srv.Sockets(), 1)
				require.Equal(t, WebSocket, srv.Sockets()[0].Transport())
				require.Zero(t, time.Since(start), "virtual time passed")
				require.NoError(t, s.Close())
				synctest.Wait()
				require.Empty(t, srv.Sockets())
				require.Zero(t, time.Since(start), "virtual time passed")
			})
		})
	}
}

func TestHeartbeatKeepsAnIdleSession(t *testing.T) {
	idle := HandlerFunc(func(ctx context.Context, s *Socket) { _, _ = s.Read(ctx) })
	for _, rev := range []Revision{Revision3, Revision4} {
		for _, transports := range [][]Transport{{Polling}, {WebSocket}, {Polling, WebSocket}} {
			t.Run(fmt.Sprintf("revision %d %v", rev, transports), func(t *testing.T) {
				inBubble(t, idle, bothRevisions(), func(t *testing.T, srv *Server, client *http.Client) {
					s, err := Dial(t.Context(), "http://pipe", &DialOptions{Revision: rev, Transports: transports, HTTPClient: client})
					require.NoError(t, err)
					s.Discard()
					time.Sleep(10 * time.Minute)
					require.NoError(t, s.Context().Err())
					require.Len(t, srv.Sockets(), 1)
					require.NoError(t, s.Close())
				})
			})
		}
	}
}

func TestServerGivesUpASilentPeer(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		for _, transport := range []Transport{Polling, WebSocket} {
			t.Run(fmt.Sprintf("revision %d %s", rev, transport), func(t *testing.T) {
				var ended chan error // made inside the bubble
				h := HandlerFunc(func(ctx context.Context, s *Socket) {
					_, err := s.Read(ctx)
					ended <- err
				})
				inBubble(t, h, bothRevisions(), func(t *testing.T, _ *Server, client *http.Client) {
					start := time.Now()
					ended = make(chan error, 1)
					s, err := Dial(t.Context(), "http://pipe", &DialOptions{Revision: rev, Transports: []Transport{transport}, HTTPClient: client})
					require.NoError(t, err)
					// No goroutine reads, so the client does not reply to pings; and the client's own heartbeat is
					// stopped.
					s.mu.Lock()
					s.conf.timers.stop(s)
					s.mu.Unlock()
					if transport == WebSocket { // a pipe has no buffer: read all data, and send nothing
						go func() { _, _ = io.Copy(io.Discard, s.stream.conn) }()
					}
					var closed *CloseError
					require.ErrorAs(t, <-ended, &closed)
					require.Equal(t, ReasonPingTimeout, closed.Reason)
					require.Equal(t, 45*time.Second, time.Since(start))
					s.Abort(errors.New("over"))
					require.NoError(t, s.Close())
				})
			})
		}
	}
}
