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

// defaultMaxSessions is the default of ServerOptions.MaxSessions.
const defaultMaxSessions = 10_000

const (
	// idleConnection is how long a connection may stay without a session.
	idleConnection = 10 * time.Second
	// maxHeader bounds the header of a request, in bytes. An engineio.Server stores at most as many bytes of a request.
	maxHeader = 64 << 10
	// maxStreams is the number of streams of each kind that a peer may have open. HTTP/3 itself needs three in one
	// direction, and clients may open some streams without a purpose.
	maxStreams = 8
)

// ServerOptions are the options of NewServer, which copies them. The zero value of each field but TLSConfig means its
// default.
type ServerOptions struct {
	// TLSConfig has the server's certificate. The server itself sets the protocol (h3) and TLS 1.3.
	TLSConfig *tls.Config
	// MaxSessions bounds the open QUIC connections, each of which carries one session. The server rejects further
	// connections. A client can make the server hold 192 KiB for each connection that it does not read, on streams
	// without a purpose. Default: 10,000.
	MaxSessions int
	// Logger receives messages for the server's operator. Default: no log.
	Logger *slog.Logger
}

// Server listens on UDP for WebTransport sessions only: other HTTP/3 requests get 404. Programs that already have an
// HTTP/3 server mount a Handler there instead.
type Server struct {
	opts    ServerOptions
	wt      *webtransport.Server
	handler http.Handler
	ctx     context.Context // done after Close
	cancel  context.CancelFunc
	idle    time.Duration  // how long a connection may remain without a session
	open    atomic.Int64   // number of connections
	wg      sync.WaitGroup // counts Serve and the connections

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
		srv.opts.MaxSessions = defaultMaxSessions
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
			// No Logger: it would log URLs, which contain session IDs.
		},
		CheckOrigin: func(*http.Request) bool { return true }, // the engineio.Server checks the origin
	}
	srv.handler = Handler(srv.wt, engine)
	return srv
}

// quicConfig returns the limits of a connection.
func quicConfig() *quic.Config {
	return &quic.Config{
		EnableDatagrams:                  true, // WebTransport requires both
		EnableStreamResetPartialDelivery: true,
		MaxIncomingStreams:               maxStreams,
		MaxIncomingUniStreams:            maxStreams,
		InitialStreamReceiveWindow:       128 << 10,
		MaxStreamReceiveWindow:           768 << 10,
		InitialConnectionReceiveWindow:   192 << 10,
		MaxConnectionReceiveWindow:       1 << 20,
		// Heartbeats may be further apart than MaxIdleTimeout.
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

// Serve serves on conn until Close. It does not close conn. Its error is never nil; after Close it is
// http.ErrServerClosed.
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
		VerifySourceAddress: func(net.Addr) bool { return srv.crowded(2) }, // because addresses may be forged
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

// enter counts a goroutine for which Close waits. It returns false after Close.
func (srv *Server) enter() bool {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.closed {
		return false
	}
	srv.wg.Add(1)
	return true
}

// serveConn serves a connection, or rejects it.
func (srv *Server) serveConn(conn *quic.Conn) {
	if !srv.enter() {
		_ = conn.CloseWithError(0, "")
		return
	}
	if srv.crowded(1) {
		srv.wg.Done()
		srv.opts.Logger.Warn("webtransport: rejected a connection; MaxSessions are open", "from", conn.RemoteAddr().String())
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

// crowded reports whether at least MaxSessions/n connections are open.
func (srv *Server) crowded(n int64) bool { return srv.open.Load() >= int64(srv.opts.MaxSessions)/n }

// serveRequest serves the request that opens a session.
func (srv *Server) serveRequest(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodConnect {
		http.NotFound(w, r)
		return
	}
	srv.handler.ServeHTTP(w, r)
}

// Close ends all connections and their sessions at once, and waits until Serve has returned. Shut down the
// engineio.Server first. Close returns nil.
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

// idleTimer closes a connection that is without a session for too long.
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

// holdOpen keeps the connection of r open until the session has ended, if a Server serves the connection.
func holdOpen(r *http.Request, session *webtransport.Session) {
	if idle, ok := r.Context().Value(idleKey{}).(idleTimer); ok {
		idle.Stop()
		context.AfterFunc(session.Context(), func() { idle.Reset(idle.after) })
	}
}
