package engineio_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
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

// A load balancer chooses a server by a cookie. The session's own HTTP client stores the cookie and shares it with no
// other session.
func TestCookiesAreKept(t *testing.T) {
	var mu sync.Mutex
	var sessions int
	seen := make(map[string][]string) // the cookies of each session's requests
	cookies := intercept(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Query().Has("sid") {
			seen[kindOf(r)] = append(seen[kindOf(r)], r.Header.Get("Cookie"))
			return false
		}
		seen["handshake"] = append(seen["handshake"], r.Header.Get("Cookie"))
		sessions++
		http.SetCookie(w, &http.Cookie{Name: "server", Value: fmt.Sprint(sessions), Path: "/", HttpOnly: true})
		return false
	})
	ts := newTestServer(t, echoHandler, nil, behind(cookies))
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

// Polls share one HTTP/2 connection. The WebSocket has a separate connection with HTTP/1.1, which the same client
// opens.
func TestClientOverTLSAndHTTP2(t *testing.T) {
	var requests recorder[*http.Request]
	ts := newTestServer(t, echoHandler, nil, behind(recordRequests(&requests)), overTLS(true))
	requireUpgrade(t, ts.url, ts.client)
	n := make(map[string]int)
	for _, r := range requests.values() {
		n[r.URL.Query().Get("transport")+" "+r.Proto]++
	}
	require.Len(t, n, 2)
	require.NotZero(t, n["polling HTTP/2.0"])
	require.Equal(t, 1, n["websocket HTTP/1.1"])
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
	inBubbleBehind(t, losing(http.MethodGet, 2), h, nil, func(t *testing.T, ts *testServer) {
		s := ts.connect(&engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}})
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
	h := reading(func(m engineio.Message) { received = append(received, string(m.Data)) })
	inBubbleBehind(t, losing(http.MethodPost, 2), h, nil, func(t *testing.T, ts *testServer) {
		s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{
			HTTPClient: ts.client, Transports: []engineio.Transport{engineio.Polling}, Header: http.Header{"Idempotency-Key": {"x"}},
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
		for _, left := range ts.srv.Sockets() {
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
			transport.HTTP2 = &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second}
			return &http.Client{Transport: wrapped{transport}}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				srv := engineio.NewServer(echoHandler, nil)
				n := newNetwork()
				web := &httptest.Server{Listener: n, Config: &http.Server{Handler: srv}, EnableHTTP2: tc.http2}
				web.StartTLS()
				defer web.Close()
				defer func() { require.NoError(t, srv.Close()) }()
				transport := web.Client().Transport.(*http.Transport)
				transport.DialContext = n.dial
				client := tc.client(transport)
				defer client.CloseIdleConnections()
				options := &engineio.DialOptions{HTTPClient: client, Transports: []engineio.Transport{engineio.Polling}}

				s, err := engineio.Dial(t.Context(), "https://127.0.0.1", options)
				require.NoError(t, err)
				requireEcho(t, s, engineio.Text("before"))
				s.Discard()
				n.silence()
				<-s.Context().Done()
				synctest.Wait() // the session closes idle connections when its context is done

				soon, cancel := context.WithTimeout(t.Context(), 2*time.Second)
				defer cancel()
				s, err = engineio.Dial(soon, "https://127.0.0.1", options)
				require.NoError(t, err)
				requireEcho(t, s, engineio.Text("after"))
				require.NoError(t, s.Close())
			})
		})
	}
}
