package engineio_test

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func (ts *testServer) keepAlive() *keptConnection {
	conn := ts.dial()
	return &keptConnection{conn, ts.t, bufio.NewReader(conn)}
}

// A proxy may send the requests of several clients on one connection to the server. A request of one client must not
// disturb the next request on the connection.
func TestRejectedRequestsDoNotDisturbTheConnection(t *testing.T) {
	rejected := map[string]func(t *testing.T, ts *testServer, c *keptConnection){
		"a binary POST without a body": func(t *testing.T, ts *testServer, c *keptConnection) {
			c.send("POST", ts.openPolling(engineio.Revision4).query, "Content-Type: application/octet-stream\r\nContent-Length: 0\r\n")
			require.Equal(t, "400 ", c.receive().summary())
		},
		"a POST without a body beside another POST": func(t *testing.T, ts *testServer, c *keptConnection) {
			pc := ts.openPolling(engineio.Revision4)
			other := ts.sendHead("POST", pc.query, halfPosts["declared"])
			for !pc.socket().HoldsPost() {
				runtime.Gosched()
			}
			c.send("POST", pc.query, "Content-Length: 0\r\n")
			require.Equal(t, "400 ", c.receive().summary())
			require.NoError(t, other.Close())
		},
		"a POST without a body and packets": func(t *testing.T, ts *testServer, c *keptConnection) {
			c.send("POST", ts.openPolling(engineio.Revision4).query, "Content-Length: 0\r\n")
			require.Equal(t, "400 ", c.receive().summary())
		},
		"a second poll": func(t *testing.T, ts *testServer, c *keptConnection) {
			pc := ts.openPolling(engineio.Revision4)
			first := inBackground(pc.poll)
			pc.awaitPoll()
			c.send("GET", pc.query, "")
			require.Equal(t, "400 ", c.receive().summary())
			require.Equal(t, "200 1", (<-first).summary())
		},
		"a poll of no session": func(t *testing.T, ts *testServer, c *keptConnection) {
			c.send("GET", polling4+"&sid=none", "")
			require.Equal(t, "400 "+unknownSession, c.receive().summary())
		},
		"a method that sessions do not know": func(t *testing.T, ts *testServer, c *keptConnection) {
			c.send("PUT", ts.openPolling(engineio.Revision4).query, "Content-Length: 0\r\n")
			require.Equal(t, "500 ", c.receive().summary())
		},
		"a close packet": func(t *testing.T, ts *testServer, c *keptConnection) {
			c.send("POST", ts.openPolling(engineio.Revision4).query, "Content-Length: 1\r\n\r\n1")
			require.Equal(t, "200 ok", c.receive().summary())
		},
	}
	for name, reject := range rejected {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, echoHandler, nil)
			tries := 5
			if strings.Contains(name, "without a body") { // net/http watches the connection
				tries = 100
			}
			for range tries {
				c := ts.keepAlive()
				reject(t, ts, c)
				pc := ts.openPolling(engineio.Revision4)
				c.send("GET", pc.query, "")
				heard := inBackground(c.receive)
				for s := pc.socket(); s != nil && !s.HoldsPoll() && len(heard) == 0; {
					runtime.Gosched()
				}
				require.Equal(t, "200 ok", pc.post("4x").summary())
				require.Equal(t, "200 4x", (<-heard).summary())
				require.NoError(t, c.Close())
			}
		})
	}
}

// If a connection's context is done before a session's poll comes on it, the session does not end.
func TestPollOnACanceledConnection(t *testing.T) {
	// Other code in the process, such as another handler, may leave the connection in this state.
	ts := newTestServer(t, echoHandler, nil, behind(intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if !r.URL.Query().Has("cancel") {
			return false
		}
		_ = http.NewResponseController(w).SetReadDeadline(time.Unix(1, 0))
		<-r.Context().Done()
		return true
	})))
	pc := ts.openPolling(engineio.Revision4)
	c := ts.keepAlive()
	c.send("GET", "cancel", "")
	require.Equal(t, "200 ", c.receive().summary())
	c.send("GET", pc.query, "")
	require.ErrorIs(t, c.receive().err, io.ErrUnexpectedEOF, "closed without a response, so that a proxy repeats the request")
	require.NoError(t, c.Close())
	pc.requireEcho("the session lives on")
}

// A session that ends while a POST is received cuts the POST short with a deadline. net/http must then close the
// connection.
func TestAPostThatIsCutClosesItsConnection(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	pc := ts.openPolling(engineio.Revision4)
	c := ts.keepAlive()
	c.send("POST", pc.query, halfPosts["declared"])
	s := pc.socket()
	for !s.HoldsPost() {
		runtime.Gosched()
	}
	s.Abort(nil)
	resp := c.receive()
	require.Equal(t, "400 ", resp.summary())
	_, err := c.r.ReadByte()
	require.ErrorIs(t, err, io.EOF)
	require.NoError(t, c.Close())
}

// A response to a client that does not read ends after WriteTimeout, and the deadline ends with the response.
func TestResponsesHaveAWriteDeadline(t *testing.T) {
	const timeout = 3 * time.Second
	opts := func() *engineio.ServerOptions {
		return &engineio.ServerOptions{WriteTimeout: timeout, AllowedOrigins: []string{"http://other.example"}}
	}
	// SESSION is replaced with a session's query.
	for name, request := range map[string]string{
		"another path":    "GET /other HTTP/1.1\r\nHost: pipe\r\n\r\n",
		"no session":      "GET /engine.io/?EIO=4&transport=polling&sid=none HTTP/1.1\r\nHost: pipe\r\n\r\n",
		"no transport":    "GET /engine.io/?EIO=4 HTTP/1.1\r\nHost: pipe\r\n\r\n",
		"another origin":  "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: pipe\r\nOrigin: http://evil.example\r\n\r\n",
		"preflight":       "OPTIONS /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: pipe\r\nOrigin: http://other.example\r\nAccess-Control-Request-Method: POST\r\n\r\n",
		"handshake":       "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: pipe\r\n\r\n",
		"unknown method":  "PUT /engine.io/?SESSION HTTP/1.1\r\nHost: pipe\r\nContent-Length: 0\r\n\r\n",
		"message":         "POST /engine.io/?SESSION HTTP/1.1\r\nHost: pipe\r\nContent-Length: 2\r\n\r\n4x",
		"no packet":       "POST /engine.io/?SESSION HTTP/1.1\r\nHost: pipe\r\nContent-Length: 1\r\n\r\nx",
		"too large":       "POST /engine.io/?SESSION HTTP/1.1\r\nHost: pipe\r\nContent-Length: 1000001\r\n\r\n4x",
		"WebSocket":       "GET /engine.io/?EIO=4&transport=websocket&sid=none HTTP/1.1\r\nHost: pipe\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
		"a message to it": "GET /engine.io/?SESSION HTTP/1.1\r\nHost: pipe\r\n\r\n",
	} {
		greet := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			if name == "a message to it" {
				_ = s.Write(ctx, engineio.Text("hello"))
			}
			_, _ = s.Read(ctx)
		})
		t.Run(name, func(t *testing.T) {
			var served chan time.Duration // made inside the bubble
			slow := func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if r.URL.Path == "/slow" {
						time.Sleep(time.Hour)
						return
					}
					start := time.Now()
					h.ServeHTTP(w, r)
					served <- time.Since(start)
				})
			}
			inBubbleBehind(t, slow, greet, opts(), func(t *testing.T, ts *testServer) {
				served = make(chan time.Duration, 1)
				send := func() net.Conn {
					pc := ts.openPolling(engineio.Revision4)
					<-served
					conn := ts.dial()
					_, err := io.WriteString(conn, replaceSession(request, pc.query))
					require.NoError(t, err)
					return conn
				}
				unread := send()
				require.Equal(t, timeout, <-served, "a client that does not read")
				require.NoError(t, unread.Close())

				conn := send()
				r := bufio.NewReader(conn)
				resp, err := http.ReadResponse(r, nil)
				require.NoError(t, err)
				_, err = io.ReadAll(resp.Body)
				require.NoError(t, err)
				<-served
				if !resp.Close {
					_, err = io.WriteString(conn, "GET /slow HTTP/1.1\r\nHost: pipe\r\n\r\n")
					require.NoError(t, err)
					resp, err = http.ReadResponse(r, nil)
					require.NoError(t, err, "another handler may take longer on the same connection")
					require.Equal(t, http.StatusOK, resp.StatusCode)
				}
				require.NoError(t, conn.Close())
				time.Sleep(time.Second) // net/http waits before it closes a connection whose body it did not read
			})
		})
	}
}
