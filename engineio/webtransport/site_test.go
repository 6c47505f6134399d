package webtransport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/webtransport-go"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// site is a server with one port number on TCP and UDP.
type site struct {
	t      *testing.T
	url    string
	engine *engineio.Server
	quic   *Server
	tls    *tls.Config // the client's configuration
}

// everything has the transports of a site whose options have no Transports.
var everything = []engineio.Transport{engineio.Polling, engineio.WebSocket, engineio.WebTransport}

// newSite serves h on loopback until the end of the test, and then checks that no session has left anything behind.
func newSite(t *testing.T, h engineio.Handler, opts engineio.ServerOptions, changes ...func(*Server)) *site {
	t.Helper()
	if opts.Transports == nil {
		opts.Transports = everything
	}
	certificate, _, err := SelfSigned("127.0.0.1")
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	w := &site{t: t, engine: engineio.NewServer(h, &opts), tls: &tls.Config{RootCAs: pool}}
	w.quic = NewServer(w.engine, &ServerOptions{TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}})
	for _, change := range changes {
		change(w.quic)
	}
	web := httptest.NewServer(w.engine)
	w.url = web.URL
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", web.Listener.Addr().String())
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- w.quic.Serve(conn) }()
	t.Cleanup(func() {
		require.NoError(t, w.engine.Close())
		require.NoError(t, w.quic.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		require.NoError(t, conn.Close())
		web.Close()
		require.Empty(t, w.engine.Sockets())
		require.Zero(t, w.quic.open.Load(), "connections that were not counted off")
	})
	return w
}

// dial opens a session with this package's Dialer. If Transports is nil, it uses all transports.
func (w *site) dial(opts engineio.DialOptions) (*engineio.Socket, error) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	opts.WebTransport = (&Dialer{TLSConfig: w.tls}).Dial
	return engineio.Dial(ctx, w.url, &opts)
}

func (w *site) mustDial(transports ...engineio.Transport) *engineio.Socket {
	w.t.Helper()
	s, err := w.dial(engineio.DialOptions{Transports: transports})
	require.NoError(w.t, err)
	w.t.Cleanup(func() { s.Abort(nil) })
	return s
}

// raw is a WebTransport session that need not follow the rules of Engine.IO.
type raw struct {
	t       *testing.T
	conn    *quic.Conn
	session *webtransport.Session
	status  int
}

// connect opens a WebTransport session, or records the status of the server's rejection.
func (w *site) connect(query string, header ...string) *raw {
	w.t.Helper()
	ctx := w.t.Context()
	config := w.tls.Clone()
	config.NextProtos = []string{"h3"}
	conn, err := quic.DialAddr(ctx, w.url[len("http://"):], config, quicConfig())
	require.NoError(w.t, err)
	w.t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	client, err := new(webtransport.Transport).NewClientConn(conn)
	require.NoError(w.t, err)
	h := make(http.Header)
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	resp, session, err := client.Dial(ctx, fmt.Sprintf("https%s%s", w.url[len("http"):], query), h)
	if resp == nil {
		require.NoError(w.t, err)
	}
	return &raw{t: w.t, conn: conn, session: session, status: resp.StatusCode}
}

// stream opens a stream and writes bytes. It ignores a write error for large inputs, because the server may close the
// session in between.
func (r *raw) stream(bytes string) *webtransport.Stream {
	r.t.Helper()
	require.Equal(r.t, http.StatusOK, r.status)
	s, err := r.session.OpenStreamSync(r.t.Context())
	require.NoError(r.t, err)
	if _, err = s.Write([]byte(bytes)); len(bytes) < 1000 {
		require.NoError(r.t, err)
	}
	return s
}

// ended waits until the server has closed the session.
func (r *raw) ended() {
	r.t.Helper()
	select {
	case <-r.session.Context().Done():
	case <-time.After(10 * time.Second):
		require.Fail(r.t, "the server leaves the session open")
	}
}

// echo sends back every message.
var echo = engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil || s.Write(ctx, m) != nil {
			return
		}
	}
})
