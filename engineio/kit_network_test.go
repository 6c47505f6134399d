package engineio_test

import (
	"context"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// network is an in-memory network, for which a synctest bubble can wait. As a net.Listener it is the server's side.
// Its connections are pipes, which have no buffer: a write waits until the other side reads.
type network struct {
	accepts chan net.Conn
	closed  chan struct{}
	once    sync.Once
	mu      sync.Mutex
	open    map[*networkConn]bool
	newest  [2]*networkConn // the client's and the server's end
}

func newNetwork() *network {
	return &network{accepts: make(chan net.Conn), closed: make(chan struct{}), open: make(map[*networkConn]bool)}
}

func (n *network) Accept() (net.Conn, error) {
	select {
	case c := <-n.accepts:
		return c, nil
	case <-n.closed:
		return nil, net.ErrClosed
	}
}

func (n *network) Close() error {
	n.once.Do(func() { close(n.closed) })
	return nil
}

func (n *network) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }

func (n *network) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := net.Pipe()
	lost := new(atomic.Bool)
	near, far := &networkConn{Conn: here, network: n, lost: lost}, &networkConn{Conn: there, network: n, lost: lost}
	select {
	case n.accepts <- far:
		n.mu.Lock()
		defer n.mu.Unlock()
		n.open[near], n.open[far] = true, true
		n.newest = [2]*networkConn{near, far}
		return near, nil
	case <-n.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// last returns both ends of the newest connection.
func (n *network) last() (client, server *networkConn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.newest[0], n.newest[1]
}

// silence loses all bytes that are sent on the existing connections from now on, as if both machines had lost their
// cable. Neither end sees that the other closes a connection.
func (n *network) silence() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for c := range n.open {
		c.lost.Store(true)
	}
}

// networkConn is one end of a connection.
type networkConn struct {
	net.Conn
	network *network
	lost    *atomic.Bool // see network.silence
	writes  atomic.Int32 // calls of Write
}

func (c *networkConn) Write(p []byte) (int, error) {
	c.writes.Add(1)
	if c.lost.Load() {
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *networkConn) Close() error {
	c.network.mu.Lock()
	delete(c.network.open, c)
	c.network.mu.Unlock()
	if c.lost.Load() {
		return c.SetDeadline(time.Unix(1, 0)) // ends this side's calls
	}
	return c.Conn.Close()
}

func (c *networkConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if c.lost.Load() && os.IsTimeout(err) {
		err = net.ErrClosed
	}
	return n, err
}

// inBubble serves h on an in-memory network in a synctest bubble, and calls f with its test server.
func inBubble(t *testing.T, h engineio.Handler, opts *engineio.ServerOptions, f func(t *testing.T, ts *testServer)) {
	t.Helper()
	inBubbleBehind(t, func(h http.Handler) http.Handler { return h }, h, opts, f)
}

// inBubbleBehind is like inBubble, with a handler of the test in front of the server.
func inBubbleBehind(t *testing.T, wrap func(http.Handler) http.Handler, h engineio.Handler, opts *engineio.ServerOptions, f func(t *testing.T, ts *testServer)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		srv := engineio.NewServer(h, opts)
		n := newNetwork()
		client, stop := serveOn(t, n, wrap(srv))
		f(t, &testServer{t: t, url: "http://pipe", base: "http://pipe/engine.io/", client: client, srv: srv, net: n})
		time.Sleep(time.Second) // net/http waits half a second before it closes a connection whose body it did not read
		client.CloseIdleConnections()
		require.NoError(t, srv.Close())
		stop()
	})
}

// serveOn serves h on a network. It returns an HTTP client that reaches h, and a function that ends both.
func serveOn(t *testing.T, n *network, h http.Handler) (client *http.Client, stop func()) {
	t.Helper()
	web := &http.Server{Handler: h}
	served := make(chan error, 1)
	go func() { served <- web.Serve(n) }()
	transport := &http.Transport{DialContext: n.dial}
	return &http.Client{Transport: transport}, func() {
		transport.CloseIdleConnections()
		require.NoError(t, web.Close())
		require.ErrorIs(t, <-served, http.ErrServerClosed)
	}
}
