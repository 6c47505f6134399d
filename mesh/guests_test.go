package mesh_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// through returns a hub's response to a request that a proxy on this machine forwards.
func through(t testing.TB, hub *mesh.Node, path string, forwarded ...string) (status int, body string, header http.Header) {
	t.Helper()
	status, body, header, err := tryThrough(meshtest.Context(t), hub, path, forwarded...)
	require.NoError(t, err)
	return status, body, header
}

// tryThrough is like through, for goroutines other than the goroutine of the test.
func tryThrough(ctx context.Context, hub *mesh.Node, path string, forwarded ...string) (status int, body string, header http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+hub.Addr()+path, nil)
	if err != nil {
		return 0, "", nil, err
	}
	req.Header["X-Forwarded-For"] = forwarded
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		return 0, "", nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text), resp.Header, err
}

const pollingHandshake = "/engine.io/?EIO=3&transport=polling"

// Until the hub admits a session, the session counts for the client of a trusted proxy. Without such a proxy, a session
// from loopback does not count.
func TestSessionsOfOneAddressAreLimited(t *testing.T) {
	t.Parallel() // it waits for a timer
	logs := new(meshtest.Log)
	hub := listen(t, mesh.Options{
		Authorize: mesh.BasicAuth("u", "p"), SessionsPerAddr: 2, TrustedProxies: []string{"127.0.0.0/8", "::1", "10.0.0.0/8"}, Logger: logs.Logger(),
	})
	open := func(forwarded ...string) int {
		status, _, _ := through(t, hub, pollingHandshake, forwarded...)
		return status
	}
	for _, client := range []string{"192.0.2.1", "2001:db8::1"} {
		require.Equal(t, 200, open(client))
		require.Equal(t, 200, open(client))
		status, body, header := through(t, hub, pollingHandshake, client)
		require.Equal(t, 503, status)
		require.Equal(t, "5", header.Get("Retry-After"))
		require.Contains(t, body, "too many sessions from this address")
	}
	for _, same := range [][]string{
		{"198.51.100.7, 192.0.2.1"}, // the client itself can send the first address
		{"198.51.100.7", "192.0.2.1, 10.1.2.3"},
		{"192.0.2.1:4711"},
		{"2001:db8::ffff"}, // in the same 64-bit network
		{"[2001:db8::2]:4711, 127.0.0.1"},
	} {
		require.Equal(t, 503, open(same...), same)
	}
	for _, other := range [][]string{{"192.0.2.2"}, {"192.0.2.1, 198.51.100.7"}, {"2001:db8:0:1::1"}, {}, {}, {}, {"10.1.2.3"}, {"10.1.2.3"}, {"10.1.2.3"}, {"192.0.2.1, unknown"}} {
		require.Equal(t, 200, open(other...), other)
	}
	require.EqualValues(t, 7, hub.Stats().RejectedSessions)
	require.Contains(t, logs.String(), "addr=192.0.2.1")

	// An admitted peer does not count.
	header := http.Header{"X-Forwarded-For": {"192.0.2.3"}}
	for range 5 {
		w := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: overWebSocket, Header: header})
		w.Send(`{"event":"handshake","payload":{},"eventTable":{},"headers":{"auth":{"user":"u","password":"p"}}}`)
		w.Barrier()
	}
	require.Equal(t, 5, hub.Stats().Peers)
}

func TestForwardedAddressesOfStrangersDoNotMatter(t *testing.T) {
	t.Parallel() // it waits for a timer
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p"), SessionsPerAddr: 1, TrustedProxies: []string{"10.0.0.0/8"}})
	for range 3 {
		status, _, _ := through(t, hub, pollingHandshake, "192.0.2.1")
		require.Equal(t, 200, status)
	}
}

// Requests in progress count for the client of a trusted proxy, unless they serve an admitted peer.
func TestRequestsThroughAProxyAreLimited(t *testing.T) {
	begun, end := make(chan struct{}), make(chan struct{})
	hub := listen(t, mesh.Options{
		ConnsPerAddr: 3, TrustedProxies: []string{"127.0.0.1", "::1"},
		Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
			begun <- struct{}{}
			<-end
		}),
	})
	forwarded := "192.0.2.1"
	members := func(n int) (wires []*meshtest.Session) {
		for range n {
			w := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{
				Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.Polling}, Header: http.Header{"X-Forwarded-For": {forwarded}},
			})
			w.Send(`{"event":"handshake"}`)
			w.Barrier()
			wires = append(wires, w)
		}
		return wires
	}
	members(8) // each has a pending poll
	slow := make(chan int, 3)
	for range 3 {
		go func() {
			status, _, _, _ := tryThrough(meshtest.Context(t), hub, "/slow", forwarded) // on an error the status is 0
			slow <- status
		}()
		<-begun
	}
	status, body, header := through(t, hub, "/healthz", forwarded)
	require.Equal(t, 503, status)
	require.Equal(t, "5", header.Get("Retry-After"))
	require.Contains(t, body, "too many connections from this address")
	status, _, _ = through(t, hub, "/", "192.0.2.2")
	require.Equal(t, 200, status)
	require.EqualValues(t, 1, hub.Stats().RejectedConnections)
	close(end)
	for range 3 {
		require.Equal(t, 200, <-slow)
	}
	status, _, _ = through(t, hub, "/", forwarded)
	require.Equal(t, 200, status)
}

// from is a listener that reports one address for all its connections.
type from struct {
	net.Listener
	addr string
}

type connFrom struct {
	net.Conn
	addr net.Addr
}

func (c connFrom) RemoteAddr() net.Addr { return c.addr }

func (l from) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return connFrom{conn, &net.TCPAddr{IP: net.ParseIP(l.addr), Port: 4711}}, nil
}

// The hub limits how many connections one address has at the hub's own listener. A connection counts until it serves an
// admitted peer or ends.
func TestConnectionsOfOneAddressAreLimited(t *testing.T) {
	hub, err := mesh.NewHub(&mesh.Options{Authorize: mesh.BasicAuth("u", "p"), ConnsPerAddr: 4})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, hub.Close()) })
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	mesh.ServeOn(hub, from{tcp, "192.0.2.1"})
	url := "http://" + tcp.Addr().String()

	dial := func() net.Conn {
		var d net.Dialer
		conn, err := d.DialContext(meshtest.Context(t), "tcp", tcp.Addr().String())
		require.NoError(t, err)
		require.NoError(t, conn.SetDeadline(time.Now().Add(meshtest.Patience)))
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	get := func(conn net.Conn) string {
		if _, err := fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", tcp.Addr()); err != nil {
			return ""
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			return ""
		}
		defer resp.Body.Close()
		_, _ = io.Copy(io.Discard, resp.Body)
		return resp.Status
	}
	const ok, crowded = "200 OK", "503 Service Unavailable"

	// Admitted peers do not count. With polling, this holds from their next poll.
	for _, transport := range []engineio.Transport{engineio.WebSocket, engineio.Polling} {
		for range 4 {
			w := meshtest.Dial(t, url, &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{transport}})
			w.Send(`{"event":"handshake","payload":{},"eventTable":{},"headers":{"auth":{"user":"u","password":"p"}}}`)
			w.Barrier()
			w.Barrier()
		}
	}
	require.Equal(t, 8, hub.Stats().Peers)

	var idle []net.Conn
	eventually(t, "the members' connections do not count", func() bool {
		for range 4 {
			conn := dial()
			idle = append(idle, conn)
			if get(conn) != ok {
				for _, conn := range idle {
					_ = conn.Close()
				}
				idle = nil
				return false
			}
		}
		return true
	})
	require.Equal(t, crowded, get(dial()))
	require.Equal(t, ok, get(idle[0]), "a connection that is there may go on")
	require.NoError(t, idle[0].Close())
	eventually(t, "a connection that has ended makes room", func() bool {
		conn := dial()
		defer func() { _ = conn.Close() }()
		return get(conn) == ok
	})
	require.NotZero(t, hub.Stats().RejectedConnections)

	// The hub closes connections without a response if there are very many.
	for range 4 {
		_ = dial()
	}
	_, err = io.ReadAll(dial())
	require.NoError(t, err)
}

func TestTrustedProxiesAreChecked(t *testing.T) {
	for _, bad := range []string{"http://u:secret@10.0.0.1", "", "proxy", "10.0.0.0/33", "10.0.0", "localhost"} {
		_, err := mesh.Listen(context.Background(), &mesh.Options{Addr: "localhost:0", TrustedProxies: []string{"10.0.0.1", bad}})
		require.ErrorContains(t, err, "mesh: Options.TrustedProxies: ", bad)
		require.NotContains(t, err.Error(), "secret")
	}
}
