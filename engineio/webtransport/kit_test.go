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

// testServer is a server with one port number on TCP and UDP.
type testServer struct {
	t      *testing.T
	url    string
	engine *engineio.Server
	quic   *Server
	tls    *tls.Config // the client's configuration
}

// everything has the transports of a testServer whose options have no Transports.
var everything = []engineio.Transport{engineio.Polling, engineio.WebSocket, engineio.WebTransport}

// newTestServer serves h on loopback until the end of the test, and then checks that no session has left anything
// behind.
func newTestServer(t *testing.T, h engineio.Handler, opts engineio.ServerOptions, changes ...func(*Server)) *testServer {
	t.Helper()
	if opts.Transports == nil {
		opts.Transports = everything
	}
	certificate, _, err := SelfSigned("127.0.0.1")
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	ts := &testServer{t: t, engine: engineio.NewServer(h, &opts), tls: &tls.Config{RootCAs: pool}}
	ts.quic = NewServer(ts.engine, &ServerOptions{TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}}})
	for _, change := range changes {
		change(ts.quic)
	}
	web := httptest.NewServer(ts.engine)
	ts.url = web.URL
	conn, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", web.Listener.Addr().String())
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- ts.quic.Serve(conn) }()
	t.Cleanup(func() {
		require.NoError(t, ts.engine.Close())
		require.NoError(t, ts.quic.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
		require.NoError(t, conn.Close())
		web.Close()
		require.Empty(t, ts.engine.Sockets())
		require.Zero(t, ts.quic.open.Load(), "connections that were not counted off")
	})
	return ts
}

// dial opens a session with this package's Dialer. If Transports is nil, it uses all transports.
func (ts *testServer) dial(opts engineio.DialOptions) (*engineio.Socket, error) {
	ts.t.Helper()
	ctx, cancel := context.WithTimeout(ts.t.Context(), 10*time.Second)
	defer cancel()
	opts.WebTransport = (&Dialer{TLSConfig: ts.tls}).Dial
	return engineio.Dial(ctx, ts.url, &opts)
}

func (ts *testServer) mustDial(transports ...engineio.Transport) *engineio.Socket {
	ts.t.Helper()
	s, err := ts.dial(engineio.DialOptions{Transports: transports})
	require.NoError(ts.t, err)
	ts.t.Cleanup(func() { s.Abort(nil) })
	return s
}

// rawSession is a WebTransport session that need not follow the rules of Engine.IO.
type rawSession struct {
	t       *testing.T
	conn    *quic.Conn
	session *webtransport.Session
	status  int
}

// connect opens a WebTransport session, or records the status of the server's rejection.
func (ts *testServer) connect(query string, header ...string) *rawSession {
	ts.t.Helper()
	ctx := ts.t.Context()
	config := ts.tls.Clone()
	config.NextProtos = []string{"h3"}
	conn, err := quic.DialAddr(ctx, ts.url[len("http://"):], config, quicConfig())
	require.NoError(ts.t, err)
	ts.t.Cleanup(func() { _ = conn.CloseWithError(0, "") })
	client, err := new(webtransport.Transport).NewClientConn(conn)
	require.NoError(ts.t, err)
	h := make(http.Header)
	for i := 0; i+1 < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	resp, session, err := client.Dial(ctx, fmt.Sprintf("https%s%s", ts.url[len("http"):], query), h)
	if resp == nil {
		require.NoError(ts.t, err)
	}
	return &rawSession{t: ts.t, conn: conn, session: session, status: resp.StatusCode}
}

// stream opens a stream and writes bytes. It ignores a write error for large inputs, because the server may close the
// session in between.
func (r *rawSession) stream(bytes string) *webtransport.Stream {
	r.t.Helper()
	require.Equal(r.t, http.StatusOK, r.status)
	s, err := r.session.OpenStreamSync(r.t.Context())
	require.NoError(r.t, err)
	if _, err = s.Write([]byte(bytes)); len(bytes) < 1000 {
		require.NoError(r.t, err)
	}
	return s
}

// awaitEnd waits until the server has closed the session.
func (r *rawSession) awaitEnd() {
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
