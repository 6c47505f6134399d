package engineio_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestClientThroughAnHTTPProxy(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			ts := newTestServer(t, echoHandler, nil, func(web *httptest.Server) {
				if scheme == "https" {
					web.StartTLS()
				}
			})
			var tunnels, forwarded atomic.Int32
			forward := &httputil.ReverseProxy{Rewrite: func(*httputil.ProxyRequest) {}}
			proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Method == http.MethodConnect {
					tunnels.Add(1)
					tunnel(w, r)
					return
				}
				forwarded.Add(1)
				forward.ServeHTTP(w, r)
			}))
			defer proxy.Close()
			at, err := url.Parse(proxy.URL)
			require.NoError(t, err)
			transport := ts.client.Transport.(*http.Transport).Clone()
			transport.Proxy = http.ProxyURL(at)
			defer transport.CloseIdleConnections()
			requireUpgrade(t, ts.url, &http.Client{Transport: transport})
			if scheme == "https" {
				require.GreaterOrEqual(t, tunnels.Load(), int32(2), "polling and WebSocket")
				require.Zero(t, forwarded.Load())
			} else {
				require.Zero(t, tunnels.Load())
				require.NotZero(t, forwarded.Load())
			}
		})
	}
}

// requireUpgrade opens a session by polling and waits for its upgrade.
func requireUpgrade(t *testing.T, url string, client *http.Client) {
	t.Helper()
	s, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{HTTPClient: client})
	require.NoError(t, err)
	for i := 0; s.Transport() != engineio.WebSocket; i++ {
		require.Less(t, i, 10_000, "no upgrade")
		requireEcho(t, s, engineio.Text(fmt.Sprint("message ", i)))
	}
	requireEcho(t, s, engineio.Binary([]byte("over the WebSocket")))
	require.NoError(t, s.Close())
}

// tunnel responds to CONNECT.
func tunnel(w http.ResponseWriter, r *http.Request) {
	far, err := new(net.Dialer).DialContext(r.Context(), "tcp", r.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	defer func() { _ = far.Close() }()
	near, rw, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	defer func() { _ = near.Close() }()
	_, _ = io.WriteString(near, "HTTP/1.1 200 OK\r\n\r\n")
	join(near, rw.Reader, far)
}

// join copies in both directions until either end closes.
func join(near net.Conn, early io.Reader, far net.Conn) {
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(far, early)
		_ = far.Close()
	})
	_, _ = io.Copy(near, far)
	_ = near.Close()
	wg.Wait()
}

// brokenProxy is a proxy between a client and a server. It forwards polling and passes each WebSocket to the given
// function, with the handshake, the client's connection and a connection to the server.
func brokenProxy(t *testing.T, server string, webSocket func(r *http.Request, near, far net.Conn)) (url string) {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	keep := func(c net.Conn) net.Conn {
		mu.Lock()
		defer mu.Unlock()
		conns = append(conns, c)
		return c
	}
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range conns {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	pass := func(near net.Conn) {
		defer func() { _ = near.Close() }()
		far, err := new(net.Dialer).DialContext(context.Background(), "tcp", server)
		if err != nil {
			return
		}
		keep(far)
		defer func() { _ = far.Close() }()
		requests, answers := bufio.NewReader(near), bufio.NewReader(far)
		for {
			r, err := http.ReadRequest(requests)
			if err != nil {
				return
			}
			if isUpgrade(r) {
				webSocket(r, near, far)
				return
			}
			if r.Write(far) != nil {
				return
			}
			resp, err := http.ReadResponse(answers, r)
			if err != nil {
				return
			}
			if resp.Write(near) != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			keep(near)
			wg.Go(func() { pass(near) })
		}
	})
	return "http://" + l.Addr().String()
}

// A WebSocket that a proxy blocks does no harm to a session: it stays on polling, and all messages that are sent
// meanwhile arrive once and in order.
func TestProxiesThatBreakWebSockets(t *testing.T) {
	answer := func(text string) func(*http.Request, net.Conn, net.Conn) {
		return func(_ *http.Request, near, _ net.Conn) { _, _ = io.WriteString(near, text) }
	}
	// relay forwards the handshake and its response.
	relay := func(r *http.Request, near, far net.Conn) *bufio.Reader {
		_ = r.Write(far)
		answers := bufio.NewReader(far)
		resp, err := http.ReadResponse(answers, r)
		if err == nil {
			_ = resp.Write(near)
		}
		return answers
	}
	until := func(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }
	for name, breaks := range map[string]func(r *http.Request, near, far net.Conn){
		"400":                         answer("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"),
		"502":                         answer("HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/html\r\nContent-Length: 13\r\n\r\n<html></html>"),
		"200":                         answer("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
		"an answer that is no HTTP":   answer("SSH-2.0-OpenSSH_9.2\r\n"),
		"a reset":                     func(_ *http.Request, near, _ net.Conn) { reset(near) },
		"no answer to the handshake":  func(_ *http.Request, near, _ net.Conn) { until(near) },
		"no Upgrade header passed on": func(r *http.Request, near, far net.Conn) { r.Header.Del("Upgrade"); relay(r, near, far) },
		"closed after the handshake":  func(r *http.Request, near, far net.Conn) { relay(r, near, far) },
		"reset after the handshake":   func(r *http.Request, near, far net.Conn) { relay(r, near, far); reset(near); reset(far) },
		"the probe is swallowed":      func(r *http.Request, near, far net.Conn) { relay(r, near, far); until(near) },
		"the probe's answer is swallowed": func(r *http.Request, near, far net.Conn) {
			answers := relay(r, near, far)
			go func() { _, _ = io.Copy(io.Discard, answers) }()
			_, _ = io.Copy(far, near)
		},
		"a reset at the probe": func(r *http.Request, near, far net.Conn) {
			relay(r, near, far)
			_, _ = near.Read(make([]byte, 1))
			reset(near)
			until(far) // the server gets no bytes
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 200
			ctx := testContext(t)
			var wg sync.WaitGroup
			defer wg.Wait()
			numbers := func(ctx context.Context, s *engineio.Socket) {
				for i := range n {
					if s.Write(ctx, engineio.Text(fmt.Sprint(i))) != nil {
						return
					}
				}
			}
			// Each message comes twice: from the server itself, and as the echo of the client's message.
			h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				wg.Go(func() { numbers(ctx, s) })
				for i := 0; ; i++ {
					m, err := s.Read(ctx)
					if err != nil {
						return
					}
					if string(m.Data) != fmt.Sprint(i) {
						s.Abort(fmt.Errorf("message %d is %q", i, m.Data))
						return
					}
					if s.Write(ctx, engineio.Text("echo "+string(m.Data))) != nil {
						return
					}
				}
			})
			ts := newTestServer(t, h, &engineio.ServerOptions{UpgradeTimeout: 300 * time.Millisecond})
			srv := ts.srv
			proxy := brokenProxy(t, strings.TrimPrefix(ts.url, "http://"), breaks)
			opts := &engineio.DialOptions{UpgradeTimeout: 200 * time.Millisecond}
			ended := upgradeEnd(t, opts)
			s, err := engineio.Dial(ctx, proxy, opts)
			require.NoError(t, err)
			wg.Go(func() { numbers(ctx, s) })
			var own, echoed int
			receive := func(total int) {
				for own+echoed < total {
					m, err := s.Read(ctx)
					require.NoError(t, err)
					if strings.HasPrefix(string(m.Data), "echo ") {
						require.Equal(t, fmt.Sprint("echo ", echoed), string(m.Data))
						echoed++
					} else {
						require.Equal(t, fmt.Sprint(own), string(m.Data))
						own++
					}
				}
			}
			receive(2 * n)
			ended()
			require.Equal(t, engineio.Polling, s.Transport())
			require.Len(t, srv.Sockets(), 1)
			require.Equal(t, engineio.Polling, srv.Sockets()[0].Transport())
			require.NoError(t, s.Write(ctx, engineio.Text(fmt.Sprint(n))))
			receive(2*n + 1)
			require.NoError(t, s.Close())
		})
	}
}

// upgradeEnd returns a function that waits until the client has given up its upgrade. A goroutine must be in Read.
func upgradeEnd(t *testing.T, o *engineio.DialOptions) func() {
	t.Helper()
	ended := make(chan struct{}, 1)
	o.Logger = slog.New(eventHandler(func(message string) {
		if strings.Contains(message, "stays on polling") {
			ended <- struct{}{}
		}
	}))
	return func() {
		t.Helper()
		select {
		case <-ended:
		case <-testContext(t).Done():
			require.Fail(t, "the upgrade did not end")
		}
	}
}

// eventHandler is a slog.Handler that is called with each message.
type eventHandler func(message string)

func (eventHandler) Enabled(context.Context, slog.Level) bool { return true }

func (h eventHandler) Handle(_ context.Context, r slog.Record) error {
	h(r.Message)
	return nil
}

func (h eventHandler) WithAttrs([]slog.Attr) slog.Handler { return h }

func (h eventHandler) WithGroup(string) slog.Handler { return h }
