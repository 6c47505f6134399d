package engineio_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// testServer is a server with a client that need not follow the protocol: the test chooses every byte of every request.
type testServer struct {
	t      *testing.T
	url    string
	base   string // the URL of every request, without the query
	client *http.Client
	srv    *engineio.Server
	net    *network // in a bubble; see inBubble
	close  func()   // on loopback; see newTestServer
}

// newTestServer serves h on loopback. close, or the end of the test, ends the server and its client, and checks that no
// session has left anything behind and that the HTTP server has logged nothing (it logs the panics of handlers).
func newTestServer(t *testing.T, h engineio.Handler, opts *engineio.ServerOptions, configure ...func(web *httptest.Server)) *testServer {
	t.Helper()
	srv := engineio.NewServer(h, opts)
	logged := new(interoptest.Buffer)
	web := httptest.NewUnstartedServer(srv)
	web.Config.ErrorLog = log.New(logged, "", 0)
	for _, f := range configure {
		f(web)
	}
	if web.URL == "" {
		web.Start()
	}
	client := &http.Client{Transport: &http.Transport{}}
	if web.TLS != nil {
		client = web.Client()
	}
	ts := &testServer{t: t, url: web.URL, base: web.URL + "/engine.io/", client: client, srv: srv}
	var once sync.Once
	ts.close = func() {
		once.Do(func() {
			require.NoError(t, srv.Close())
			client.CloseIdleConnections()
			web.Close()
			for line := range strings.Lines(logged.String()) {
				require.Contains(t, line, "TLS handshake error", "a client may give up a connection that it does not need")
			}
			requireNothingLeft(t, srv)
		})
	}
	t.Cleanup(ts.close)
	return ts
}

// behind puts a handler of the test in front of the server.
func behind(wrap func(http.Handler) http.Handler) func(web *httptest.Server) {
	return func(web *httptest.Server) { web.Config.Handler = wrap(web.Config.Handler) }
}

// intercept returns a handler of the test in front of a server. The server gets the requests for which f returns false.
func intercept(f func(w http.ResponseWriter, r *http.Request) (handled bool)) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !f(w, r) {
				h.ServeHTTP(w, r)
			}
		})
	}
}

// hangingWebSockets does not respond to the handshake of a WebSocket.
var hangingWebSockets = intercept(func(_ http.ResponseWriter, r *http.Request) bool {
	if isUpgrade(r) {
		<-r.Context().Done()
	}
	return isUpgrade(r)
})

// overTLS serves HTTP/1.1 or HTTP/2 over TLS.
func overTLS(http2 bool) func(web *httptest.Server) {
	return func(web *httptest.Server) {
		web.EnableHTTP2 = http2
		web.StartTLS()
	}
}

// connect opens a session of this package's client.
func (ts *testServer) connect(opts *engineio.DialOptions) *engineio.Socket {
	ts.t.Helper()
	var own engineio.DialOptions
	if opts != nil {
		own = *opts
	}
	own.HTTPClient = ts.client
	s, err := engineio.Dial(ts.t.Context(), ts.url, &own)
	require.NoError(ts.t, err)
	return s
}

// requireNothingLeft fails if the server still has a session or counted bytes.
func requireNothingLeft(t *testing.T, srv *engineio.Server) {
	t.Helper()
	require.Empty(t, srv.Sockets())
	require.Zero(t, srv.SendBudgetUsed(), "bytes of the budget were not given back")
	require.Zero(t, srv.ReceiveLimitUsed(), "bytes of unfinished messages were not given back")
}

// response is an HTTP response, read to its end.
type response struct {
	status int
	header http.Header
	body   string
	err    error
}

// summary returns the response's status and body, for comparisons.
func (resp response) summary() string {
	if resp.err != nil {
		return "error: " + resp.err.Error()
	}
	return fmt.Sprintf("%d %s", resp.status, resp.body)
}

// packets parses the response to a poll.
func (resp response) packets(t *testing.T, rev engineio.Revision) []packet.Packet {
	t.Helper()
	enc := packet.Text
	if resp.header.Get("Content-Type") == typeBinary {
		enc = packet.Binary
	}
	ps, err := packet.ParsePayload(rev, enc, []byte(resp.body))
	require.NoError(t, err)
	return ps
}

// request sends a request with the given query. Header fields come in pairs.
func (ts *testServer) request(method, query string, body io.Reader, header ...string) response {
	return ts.requestURL(context.Background(), method, ts.base+"?"+query, body, header...)
}

func (ts *testServer) requestURL(ctx context.Context, method, url string, body io.Reader, header ...string) response {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return response{err: err}
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := ts.client.Do(r)
	return readAll(resp, err)
}

// readAll reads a response to its end.
func readAll(resp *http.Response, err error) response {
	if err != nil {
		return response{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return response{resp.StatusCode, resp.Header, string(b), err}
}

// inBackground runs f on a new goroutine.
func inBackground(f func() response) <-chan response {
	c := make(chan response, 1)
	go func() { c <- f() }()
	return c
}

// openPolling opens a polling session.
func (ts *testServer) openPolling(rev engineio.Revision, extra ...string) *pollingClient {
	ts.t.Helper()
	query := strings.Join(append([]string{fmt.Sprintf("EIO=%d&transport=polling", rev)}, extra...), "&")
	resp := ts.request(http.MethodGet, query, nil)
	require.NoError(ts.t, resp.err)
	require.Equal(ts.t, http.StatusOK, resp.status, resp.body)
	ps := resp.packets(ts.t, rev)
	require.Equal(ts.t, packet.Open, ps[0].Type)
	var h struct{ SID string }
	require.NoError(ts.t, json.Unmarshal(ps[0].Data, &h))
	return &pollingClient{ts: ts, rev: rev, sid: h.SID, query: query + "&sid=" + h.SID}
}

// dial opens a connection to the server.
func (ts *testServer) dial() net.Conn {
	ts.t.Helper()
	u, err := url.Parse(ts.base)
	require.NoError(ts.t, err)
	dial := (&net.Dialer{}).DialContext
	if t := ts.client.Transport.(*http.Transport); t.DialContext != nil {
		dial = t.DialContext
	}
	conn, err := dial(context.Background(), "tcp", u.Host)
	require.NoError(ts.t, err)
	return conn
}

// handshakeText returns the text of a WebSocket handshake.
func (ts *testServer) handshakeText(query string, header ...string) string {
	u, err := url.Parse(ts.base)
	require.NoError(ts.t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s?%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", u.Path, query, u.Host)
	b.WriteString("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	b.WriteString("\r\n")
	return b.String()
}

// handshake makes a WebSocket handshake. It returns the response and the connection. If the status is not 101, the body
// has been read.
func (ts *testServer) handshake(query string, header ...string) (response, *webSocketClient) {
	ts.t.Helper()
	return ts.sendRaw(ts.handshakeText(query, header...))
}

// sendRaw sends raw bytes and reads the response.
func (ts *testServer) sendRaw(raw string) (response, *webSocketClient) {
	ts.t.Helper()
	conn := ts.dial()
	_, err := io.WriteString(conn, raw)
	require.NoError(ts.t, err)
	wc := &webSocketClient{t: ts.t, conn: conn, r: bufio.NewReader(conn)}
	got, err := http.ReadResponse(wc.r, nil)
	if err != nil {
		return response{err: err}, wc
	}
	resp := response{status: got.StatusCode, header: got.Header}
	if got.Close { // net/http removes the header field
		resp.header.Set("Connection", "close")
	}
	if got.StatusCode != http.StatusSwitchingProtocols {
		b, err := io.ReadAll(got.Body)
		resp.body, resp.err = string(b), err
	}
	return resp, wc
}

// webSocket opens a WebSocket, which must be accepted.
func (ts *testServer) webSocket(query string, header ...string) *webSocketClient {
	ts.t.Helper()
	resp, wc := ts.handshake(query, header...)
	require.Equal(ts.t, http.StatusSwitchingProtocols, resp.status, resp.body)
	return wc
}

// openWebSocket opens a session on a WebSocket and returns its WebSocket and sid.
func (ts *testServer) openWebSocket(rev engineio.Revision) (*webSocketClient, string) {
	ts.t.Helper()
	wc := ts.webSocket(fmt.Sprintf("EIO=%d&transport=websocket", rev))
	open := wc.readText()
	require.True(ts.t, strings.HasPrefix(open, "0{"), open)
	var h struct{ SID string }
	require.NoError(ts.t, json.Unmarshal([]byte(open[1:]), &h))
	return wc, h.SID
}

// replaceSession puts a session's query into a request.
func replaceSession(request, query string) string {
	return strings.Replace(request, "SESSION", query, 1)
}

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func bothRevisions() *engineio.ServerOptions {
	return &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3, engineio.Revision4}}
}

// bystanders are sessions that other sessions must not affect.
type bystanders struct {
	v *pollingClient
	l *webSocketClient
}

func (b *bystanders) requireUnharmed() {
	b.v.ts.t.Helper()
	b.v.requireEcho("polling")
	b.l.requireEcho("websocket")
	require.Zero(b.v.ts.t, b.v.ts.srv.SendBudgetUsed())
	require.Len(b.v.ts.t, b.v.ts.srv.Sockets(), 2)
}

func (ts *testServer) bystanders() *bystanders {
	wc, _ := ts.openWebSocket(engineio.Revision4)
	ts.t.Cleanup(func() { _ = wc.conn.Close() })
	return &bystanders{v: ts.openPolling(engineio.Revision4), l: wc}
}

func (ts *testServer) sendHead(method, query, rest string) net.Conn {
	conn := ts.dial()
	_, err := fmt.Fprintf(conn, "%s /engine.io/?%s HTTP/1.1\r\nHost: x\r\n%s", method, query, rest)
	require.NoError(ts.t, err)
	return conn
}

// keptConnection is a client's side of a connection that net/http reuses for several requests.
type keptConnection struct {
	net.Conn
	t *testing.T
	r *bufio.Reader
}

// send sends a request.
func (c *keptConnection) send(method, query, rest string) {
	_, err := fmt.Fprintf(c, "%s /engine.io/?%s HTTP/1.1\r\nHost: x\r\n%s\r\n", method, query, rest)
	require.NoError(c.t, err)
}

// receive reads a response.
func (c *keptConnection) receive() response { return readAll(http.ReadResponse(c.r, nil)) }

// awaitSockets waits until the server has n sessions.
func (ts *testServer) awaitSockets(n int) {
	ts.t.Helper()
	ctx := testContext(ts.t)
	for len(ts.srv.Sockets()) != n {
		require.NoError(ts.t, ctx.Err(), "%d sessions, not %d", len(ts.srv.Sockets()), n)
		runtime.Gosched()
	}
}
