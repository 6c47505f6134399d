package webtransport

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"

	"github.com/bigcompany/mesh/engineio"
)

// DefaultMaxSessions is how many sessions a Server takes by default.
const DefaultMaxSessions = 10_000

const (
	// idleConnection is how long a connection may stay without a session.
	idleConnection = 10 * time.Second
	// maxHeader bounds the header of a request, in bytes; it is what an engineio.Server keeps of one.
	maxHeader = 64 << 10
	// maxStreams is how many streams of a kind a peer may have open. HTTP/3 has three of its own in one direction, and
	// clients may open some that mean nothing.
	maxStreams = 8
)

// ServerOptions are the options of NewServer, which copies them. The zero value of each field but TLSConfig means its
// default.
type ServerOptions struct {
	// TLSConfig has the server's certificate. The protocol (h3) and TLS 1.3 are set by the server.
	TLSConfig *tls.Config
	// MaxSessions bounds the QUIC connections that are open at a time, each of which carries one session. A connection
	// beyond is refused. A client can have each hold 192 KiB that nobody reads, on streams that mean nothing.
	// Default: DefaultMaxSessions.
	MaxSessions int
	// Logger receives what a server's operator wants to know. Default: silence.
	Logger *slog.Logger
}

// Server listens for WebTransport sessions on UDP, and for nothing else: other HTTP/3 requests get 404. Programs that
// have an HTTP/3 server already mount a Handler there instead.
type Server struct {
	opts    ServerOptions
	wt      *webtransport.Server
	handler http.Handler
	ctx     context.Context // ends with Close
	cancel  context.CancelFunc
	idle    time.Duration  // how long a connection may stay without a session
	open    atomic.Int64   // connections
	wg      sync.WaitGroup // Serve and the connections

	mu     sync.Mutex
	closed bool
}

// NewServer returns a server of WebTransport sessions for engine. It copies opts.
func NewServer(engine *engineio.Server, opts *ServerOptions) *Server {
	srv := &Server{idle: idleConnection}
	if opts != nil {
		srv.opts = *opts
	}
	if srv.opts.MaxSessions == 0 {
		srv.opts.MaxSessions = DefaultMaxSessions
	}
	if srv.opts.Logger == nil {
		srv.opts.Logger = slog.New(slog.DiscardHandler)
	}
	srv.ctx, srv.cancel = context.WithCancel(context.Background())
	srv.wt = &webtransport.Server{
		H3: &http3.Server{
			Handler:        http.HandlerFunc(srv.serveRequest),
			MaxHeaderBytes: maxHeader,
			ConnContext:    srv.withIdleTimer,
			// No Logger: it would log URLs, in which session IDs stand.
		},
		CheckOrigin: func(*http.Request) bool { return true }, // the engineio.Server does
	}
	srv.handler = Handler(srv.wt, engine)
	return srv
}

// quicConfig bounds what a connection may hold.
func quicConfig() *quic.Config {
	return &quic.Config{
		EnableDatagrams:                  true, // WebTransport asks for both
		EnableStreamResetPartialDelivery: true,
		MaxIncomingStreams:               maxStreams,
		MaxIncomingUniStreams:            maxStreams,
		InitialStreamReceiveWindow:       128 << 10,
		MaxStreamReceiveWindow:           768 << 10,
		InitialConnectionReceiveWindow:   192 << 10,
		MaxConnectionReceiveWindow:       1 << 20,
		// Heartbeats may be further apart than an idle connection lives.
		KeepAlivePeriod: 15 * time.Second,
		MaxIdleTimeout:  30 * time.Second,
	}
}

// ListenAndServe listens on a UDP address and serves until Close. Its error is never nil; after Close it is
// http.ErrServerClosed.
func (srv *Server) ListenAndServe(addr string) error {
	conn, err := new(net.ListenConfig).ListenPacket(srv.ctx, "udp", addr)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	return srv.Serve(conn)
}

// Serve serves on conn until Close, and does not close conn. Its error is never nil; after Close it is http.ErrServerClosed.
func (srv *Server) Serve(conn net.PacketConn) error {
	if !srv.enter() {
		return http.ErrServerClosed
	}
	defer srv.wg.Done()
	if srv.opts.TLSConfig == nil {
		return errors.New("webtransport: a server needs a TLSConfig with a certificate")
	}
	transport := &quic.Transport{
		Conn:                conn,
		VerifySourceAddress: func(net.Addr) bool { return srv.crowded(2) }, // addresses may be forged
	}
	defer func() { _ = transport.Close() }()
	listener, err := transport.ListenEarly(http3.ConfigureTLSConfig(srv.opts.TLSConfig), quicConfig())
	if err != nil {
		return err
	}
	defer func() { _ = listener.Close() }()
	for {
		conn, err := listener.Accept(srv.ctx)
		switch {
		case srv.ctx.Err() != nil:
			if conn != nil {
				_ = conn.CloseWithError(0, "")
			}
			return http.ErrServerClosed
		case err != nil:
			return err
		}
		srv.serveConn(conn)
	}
}

// enter counts a goroutine that Close is to wait for.
func (srv *Server) enter() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closed {
		return false
	}
	srv.wg.Add(1)
	return true
}

// serveConn serves a connection, or refuses it.
func (srv *Server) serveConn(conn *quic.Conn) {
	if !srv.enter() {
		_ = conn.CloseWithError(0, "")
		return
	}
	if srv.crowded(1) {
		srv.wg.Done()
		srv.opts.Logger.Warn("webtransport: refused a connection; MaxSessions are open", "from", conn.RemoteAddr().String())
		_ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeExcessiveLoad), "")
		return
	}
	srv.open.Add(1)
	go func() {
		defer srv.wg.Done()
		defer srv.open.Add(-1)
		if err := srv.wt.ServeQUICConn(conn); err != nil && srv.ctx.Err() == nil {
			srv.opts.Logger.Debug("webtransport: connection", "error", err)
		}
		_ = conn.CloseWithError(0, "")
	}()
}

// crowded says whether one nth of MaxSessions are open.
func (srv *Server) crowded(n int64) bool { return srv.open.Load() >= int64(srv.opts.MaxSessions)/n }

// serveRequest serves the request that opens a session.
func (srv *Server) serveRequest(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.NotFound(w, r)
		return
	}
	srv.handler.ServeHTTP(w, r)
}

// Close ends all connections, and the sessions on them, at once and waits until Serve has returned. The engineio.Server
// should be shut down before. It returns nil.
func (srv *Server) Close() error {
	srv.mu.Lock()
	srv.closed = true
	srv.mu.Unlock()
	_ = srv.wt.Close()
	srv.cancel()
	srv.wg.Wait()
	return nil
}

type idleKey struct{}

// idleTimer closes a connection that has no session for too long.
type idleTimer struct {
	*time.Timer
	after time.Duration
}

// withIdleTimer puts a connection's timer into the contexts of its requests.
func (srv *Server) withIdleTimer(ctx context.Context, conn *quic.Conn) context.Context {
	end := func() { _ = conn.CloseWithError(quic.ApplicationErrorCode(http3.ErrCodeNoError), "") }
	idle := idleTimer{time.AfterFunc(srv.idle, end), srv.idle}
	context.AfterFunc(conn.Context(), func() { idle.Stop() })
	return context.WithValue(ctx, idleKey{}, idle)
}

// holdOpen keeps the connection of r open until the session has ended, if it is a Server's.
func holdOpen(r *http.Request, session *webtransport.Session) {
	if idle, ok := r.Context().Value(idleKey{}).(idleTimer); ok {
		idle.Stop()
		context.AfterFunc(session.Context(), func() { idle.Reset(idle.after) })
	}
}
