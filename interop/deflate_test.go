package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestDeflate runs the exchanges with permessage-deflate at both ends, and checks how many bytes the large message
// takes. After an upgrade the frames are like those of a session that begins with a WebSocket, so a normal run has only
// two exchanges with an upgrade.
func TestDeflate(t *testing.T) {
	t.Parallel()
	for _, version := range []string{"3.5.4", "6.6.8"} {
		t.Run("client "+version, func(t *testing.T) {
			t.Parallel()
			client := startClient(t, version) // offers compression by default
			deflateCells(t, version, ourEnd, func(bytes *atomic.Int64) (clientSide, serverSide) {
				return client, deflatingServer{bytes}
			})
		})
	}
	for revision, version := range map[engineio.Revision]string{engineio.Revision3: "3.6.2", engineio.Revision4: "6.6.13"} {
		t.Run("server "+version, func(t *testing.T) {
			t.Parallel()
			server := startServer(t, version, map[string]any{"perMessageDeflate": true})
			client := newOurClient(t, revision)
			deflateCells(t, ourEnd, version, func(bytes *atomic.Int64) (clientSide, serverSide) {
				return deflatingClient{client, bytes}, server
			})
		})
	}
}

func deflateCells(t *testing.T, client, server string, ends func(bytes *atomic.Int64) (clientSide, serverSide)) {
	t.Helper()
	eachCell(t, modes, func(m mode, c cell) func(*testing.T) {
		if m == polling || faultOf(pair{client: client, server: server}, m, c) != nil {
			return nil
		}
		if m == upgrade && !interoptest.Full() && !c.later && c.name != "mixed" {
			return nil
		}
		return func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			var bytes atomic.Int64
			client, server := ends(&bytes)
			require.NoError(t, c.run(ctx, client, server, m))
			if m == websocket && c.name == "500 KB" {
				require.Positive(t, bytes.Load())
				require.Less(t, bytes.Load(), int64(50_000), "the message went there and back")
			}
		}
	})
}

// meteredConn counts the bytes of a connection.
type meteredConn struct {
	net.Conn
	bytes *atomic.Int64
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.bytes.Add(int64(n))
	return n, err
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.bytes.Add(int64(n))
	return n, err
}

type meteredListener struct {
	net.Listener
	bytes *atomic.Int64
}

func (l meteredListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return meteredConn{conn, l.bytes}, nil
}

// deflatingServer is ourServer with compression.
type deflatingServer struct{ bytes *atomic.Int64 }

func (s deflatingServer) listen(_ context.Context, set setup) (listening, error) {
	l := &ourListening{sessions: make(chan ourParty, 1)}
	l.engine = engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		p := newOurParty(s)
		l.sessions <- p
		p.serve(ctx, set, "server")
	}), &engineio.ServerOptions{
		Revisions:         []engineio.Revision{engineio.Revision3, engineio.Revision4},
		Transports:        ourTransports(set.mode),
		PerMessageDeflate: true,
	})
	l.http = httptest.NewUnstartedServer(l.engine)
	l.http.Listener = meteredListener{l.http.Listener, s.bytes}
	l.http.Start()
	return l, nil
}

// deflatingClient is ourClient with compression.
type deflatingClient struct {
	ourClient
	bytes *atomic.Int64
}

func (c deflatingClient) dial(ctx context.Context, url string, set setup) (party, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		conn, err := new(net.Dialer).DialContext(ctx, network, addr)
		if err != nil {
			return nil, fmt.Errorf("dial: %w", err)
		}
		return meteredConn{conn, c.bytes}, nil
	}
	s, err := engineio.Dial(ctx, url, &engineio.DialOptions{
		Revision:          c.revision,
		Transports:        ourTransports(set.mode),
		HTTPClient:        &http.Client{Transport: transport},
		PerMessageDeflate: true,
	})
	if err != nil {
		transport.CloseIdleConnections()
		return nil, err
	}
	p := newOurParty(s)
	c.sessions.Go(func() {
		defer transport.CloseIdleConnections()
		p.serve(c.ctx, set, "client")
	})
	return p, nil
}
