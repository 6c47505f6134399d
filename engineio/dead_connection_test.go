package engineio

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// silentWay is a way to a server whose connections can be made silent: they then pass no bytes, and they do not end.
type silentWay struct {
	net.Listener
	mu    sync.Mutex
	conns []net.Conn
	lost  *atomic.Bool // whether the connections since the last call of silence are silent
}

func (w *silentWay) silence() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost.Store(true)
	w.lost = new(atomic.Bool)
}

func newSilentWay(t *testing.T, target string) *silentWay {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	w := &silentWay{Listener: l, lost: new(atomic.Bool)}
	var running sync.WaitGroup
	t.Cleanup(func() {
		_ = l.Close()
		w.mu.Lock()
		for _, c := range w.conns {
			_ = c.Close()
		}
		w.mu.Unlock()
		running.Wait()
	})
	running.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				_ = client.Close()
				return
			}
			w.mu.Lock()
			w.conns = append(w.conns, client, server)
			lost := w.lost
			w.mu.Unlock()
			for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
				running.Go(func() {
					buf := make([]byte, 16<<10)
					for {
						n, err := way[0].Read(buf)
						if lost.Load() {
							if err != nil {
								return
							}
							continue
						}
						if err != nil {
							_ = way[1].Close()
							return
						}
						if _, err := way[1].Write(buf[:n]); err != nil {
							return
						}
					}
				})
			}
		}
	})
	return w
}

// wrapped is a RoundTripper whose type does not reveal its transport.
type wrapped struct{ *http.Transport }

func (w wrapped) RoundTrip(r *http.Request) (*http.Response, error) { return w.Transport.RoundTrip(r) }

// The connections of a session that ended by silence are not used again, whether the HTTP client is the session's or
// the user's.
func TestNextSessionAvoidsADeadConnection(t *testing.T) {
	for _, tc := range []struct {
		name   string
		http2  bool
		client func(*http.Transport) *http.Client
	}{
		{"HTTP/2", true, func(transport *http.Transport) *http.Client { return &http.Client{Transport: transport} }},
		{"HTTP/1.1", false, func(transport *http.Transport) *http.Client { return &http.Client{Transport: transport} }},
		{"HTTP/1.1, another RoundTripper", false, func(transport *http.Transport) *http.Client { return &http.Client{Transport: wrapped{transport}} }},
		{"HTTP/2, another RoundTripper with pings", true, func(transport *http.Transport) *http.Client {
			transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 200 * time.Millisecond, PingTimeout: 200 * time.Millisecond}
			return &http.Client{Transport: wrapped{transport}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			srv := NewServer(echo, &ServerOptions{PingInterval: 300 * time.Millisecond, PingTimeout: 300 * time.Millisecond})
			web := httptest.NewUnstartedServer(srv)
			web.EnableHTTP2 = tc.http2
			web.StartTLS()
			defer web.Close()
			defer func() { require.NoError(t, srv.Close()) }()
			way := newSilentWay(t, web.Listener.Addr().String())
			client := tc.client(web.Client().Transport.(*http.Transport))
			defer client.CloseIdleConnections()
			options := &DialOptions{HTTPClient: client, Transports: []Transport{Polling}}
			url := "https://" + way.Addr().String()

			s, err := Dial(testContext(t), url, options)
			require.NoError(t, err)
			requireEcho(t, s, Text("before"))
			s.Discard()
			way.silence()
			select {
			case <-s.Context().Done():
			case <-testContext(t).Done():
				require.Fail(t, "the client does not notice")
			}

			soon, cancel := context.WithTimeout(testContext(t), 2*time.Second)
			defer cancel()
			s, err = Dial(soon, url, options)
			require.NoError(t, err)
			requireEcho(t, s, Text("after"))
			require.NoError(t, s.Close())
		})
	}
}
