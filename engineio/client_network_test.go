package engineio_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

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
func (h eventHandler) WithGroup(string) slog.Handler      { return h }

// A load balancer chooses a server by a cookie. The session's own HTTP client stores the cookie and shares it with no
// other session.
func TestCookiesAreKept(t *testing.T) {
	var mu sync.Mutex
	var sessions int
	seen := make(map[string][]string) // the cookies of each session's requests
	cookies := behind(func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			mu.Lock()
			if !r.URL.Query().Has("sid") {
				seen["handshake"] = append(seen["handshake"], r.Header.Get("Cookie"))
				sessions++
				http.SetCookie(w, &http.Cookie{Name: "server", Value: fmt.Sprint(sessions), Path: "/", HttpOnly: true})
			} else {
				seen[kindOf(r)] = append(seen[kindOf(r)], r.Header.Get("Cookie"))
			}
			mu.Unlock()
			h.ServeHTTP(w, r)
		})
	})
	ts := newTestServer(t, echoHandler, nil, cookies)
	for range 2 {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.Polling, engineio.WebSocket}} {
			s, err := engineio.Dial(testContext(t), ts.url, &engineio.DialOptions{Transports: transports})
			require.NoError(t, err)
			requireEcho(t, s, engineio.Text("x"))
			if len(transports) == 2 {
				s.Discard()
				require.Eventually(t, func() bool { return s.Transport() == engineio.WebSocket }, 10*time.Second, time.Millisecond)
			}
			require.NoError(t, s.Close())
			mu.Lock()
			if len(transports) == 1 {
				require.NotEmpty(t, seen["GET"])
			}
			require.Equal(t, []string{""}, seen["handshake"])
			delete(seen, "handshake")
			for kind, cookies := range seen {
				for _, c := range cookies {
					require.Equal(t, fmt.Sprint("server=", sessions), c, kind)
				}
			}
			require.Equal(t, len(transports) == 2, len(seen["websocket"]) == 1)
			clear(seen)
			mu.Unlock()
		}
	}
}

func TestTimeoutOfTheHTTPClientIsRefused(t *testing.T) {
	_, err := engineio.Dial(testContext(t), "http://127.0.0.1:1", &engineio.DialOptions{HTTPClient: &http.Client{Timeout: time.Hour}})
	require.ErrorContains(t, err, "Timeout")
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

// Polls share one HTTP/2 connection. The WebSocket has a separate connection with HTTP/1.1, which the same client
// opens.
func TestClientOverTLSAndHTTP2(t *testing.T) {
	var requests recorder[*http.Request]
	ts := newTestServer(t, echoHandler, nil, behind(recordRequests(&requests)), overTLS(true))
	requireUpgrade(t, ts.url, ts.client)
	n := make(map[string]int)
	for _, r := range requests.values() {
		n[kindOf(r)+" "+r.Proto]++
	}
	require.NotZero(t, n["GET HTTP/2.0"])
	require.NotZero(t, n["POST HTTP/2.0"])
	require.Equal(t, 1, n["websocket HTTP/1.1"])
	require.Len(t, n, 3)
}

// The timeouts of a program's http.Server are for requests that do not wait: they end neither a poll nor a POST that
// waits for the reader.
func TestRequestsOutlastTimeoutsOfTheServer(t *testing.T) {
	const timeout = 200 * time.Millisecond
	for _, proto := range []int{1, 2} {
		t.Run(fmt.Sprint("HTTP/", proto), func(t *testing.T) {
			large := strings.Repeat("x", 3<<20) // more than fits into the window of an HTTP/2 stream
			h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				for {
					m, err := s.Read(ctx)
					if err != nil {
						return
					}
					time.Sleep(3 * timeout) // so that polls and POSTs wait
					assert.NoError(t, s.Write(ctx, m))
				}
			})
			timeouts := func(web *httptest.Server) { web.Config.ReadTimeout, web.Config.WriteTimeout = timeout, timeout }
			opts := &engineio.ServerOptions{MaxPayload: 4 << 20, QueueLimit: 16 << 20, WriteTimeout: timeout}
			ts := newTestServer(t, h, opts, timeouts, overTLS(proto == 2))
			s, err := engineio.Dial(t.Context(), ts.url, &engineio.DialOptions{HTTPClient: ts.client, Transports: []engineio.Transport{engineio.Polling}})
			require.NoError(t, err)
			for _, data := range []string{"one", "two", large} {
				require.NoError(t, s.Write(t.Context(), engineio.Text(data)))
				require.NoError(t, s.Flush(t.Context()), "in a separate POST")
			}
			for _, want := range []string{"one", "two", large} {
				m, err := s.Read(t.Context())
				require.NoError(t, err)
				require.Equal(t, want, string(m.Data))
			}
			require.NoError(t, s.Close())
		})
	}
}

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

// losing is a handler in front of a server. It breaks the connection instead of sending the server's response to the
// request of the given number, with this method and in a session.
func losing(method string, number int32) func(h http.Handler) http.Handler {
	var n atomic.Int32
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == method && r.URL.Query().Has("sid") && n.Add(1) == number {
				h.ServeHTTP(httptest.NewRecorder(), r)
				panic(http.ErrAbortHandler)
			}
			h.ServeHTTP(w, r)
		})
	}
}

// net/http repeats a GET if a reused connection breaks. A repeated poll would continue after the messages of the lost
// response.
func TestALostResponseToAPollEndsTheSession(t *testing.T) {
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for _, text := range []string{"one", "two", "three"} {
			if s.Write(ctx, engineio.Text(text)) != nil {
				return
			}
			time.Sleep(time.Second)
		}
		_, _ = s.Read(ctx)
	})
	inBubbleBehind(t, losing(http.MethodGet, 2), h, nil, func(t *testing.T, _ *engineio.Server, client *http.Client) {
		s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{HTTPClient: client, Transports: []engineio.Transport{engineio.Polling}})
		require.NoError(t, err)
		m, err := s.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, "one", string(m.Data))
		m, err = s.Read(t.Context())
		require.ErrorIs(t, err, engineio.ErrRepeated, "%q", m.Data)
		require.NotContains(t, err.Error(), s.ID())
		require.NoError(t, s.Close())
	})
}

// net/http also repeats a POST that has the header Idempotency-Key. The server would get its messages twice.
func TestALostResponseToAPostEndsTheSession(t *testing.T) {
	var received []string
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				return
			}
			received = append(received, string(m.Data))
		}
	})
	inBubbleBehind(t, losing(http.MethodPost, 2), h, nil, func(t *testing.T, srv *engineio.Server, client *http.Client) {
		s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{
			HTTPClient: client, Transports: []engineio.Transport{engineio.Polling}, Header: http.Header{"Idempotency-Key": {"x"}},
		})
		require.NoError(t, err)
		s.Discard()
		for _, text := range []string{"one", "two"} {
			require.NoError(t, s.Write(t.Context(), engineio.Text(text)))
			synctest.Wait()
		}
		require.Equal(t, []string{"one", "two"}, received)
		require.ErrorIs(t, context.Cause(s.Context()), engineio.ErrRepeated)
		require.NoError(t, s.Close())
		for _, left := range srv.Sockets() {
			left.Abort(nil)
		}
	})
}

// h2Conn is a connection on which HTTP/2 was negotiated.
type h2Conn struct{ net.Conn }

func (h2Conn) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{NegotiatedProtocol: "h2"}
}

// net/http may repeat a request that it did not write, and over HTTP/2 a request that the server did not handle.
func TestHarmlessRepetitionsArePermitted(t *testing.T) {
	for _, c := range []struct {
		name  string
		conn  net.Conn
		wrote bool
		cause error
	}{
		{"nothing written", nil, false, nil},
		{"HTTP/1", nil, true, engineio.ErrRepeated},
		{"HTTP/2", h2Conn{}, true, nil},
	} {
		r, done := engineio.Once(httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", http.NoBody))
		trace := httptrace.ContextClientTrace(r.Context())
		trace.GotConn(httptrace.GotConnInfo{Conn: c.conn})
		if c.wrote {
			trace.WroteHeaders()
		}
		trace.GotConn(httptrace.GotConnInfo{Conn: c.conn})
		require.Equal(t, c.cause, context.Cause(r.Context()), c.name)
		done()
	}
}
