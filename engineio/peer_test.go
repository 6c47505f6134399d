package engineio_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// testServer is a server with a client that need not follow the protocol: the test chooses every byte of every request.
type testServer struct {
	t      *testing.T
	base   string
	client *http.Client
	srv    *engineio.Server
}

// inBubbleServer is inBubble with a testServer.
func inBubbleServer(t *testing.T, h engineio.Handler, opts *engineio.ServerOptions, f func(t *testing.T, ts *testServer)) {
	t.Helper()
	inBubble(t, h, opts, func(t *testing.T, srv *engineio.Server, client *http.Client) {
		f(t, &testServer{t: t, base: "http://pipe/engine.io/", client: client, srv: srv})
		time.Sleep(time.Second) // net/http waits half a second before it closes a connection whose body it did not read
	})
}

// newTestServer serves h on loopback. At the end of the test it checks that no session has left anything behind, and that the
// HTTP server has logged nothing (it logs the panics of handlers).
func newTestServer(t *testing.T, h engineio.Handler, opts *engineio.ServerOptions) *testServer {
	t.Helper()
	srv := engineio.NewServer(h, opts)
	complaints := new(lockedBuffer)
	web := httptest.NewUnstartedServer(srv)
	web.Config.ErrorLog = log.New(complaints, "", 0)
	web.Start()
	transport := &http.Transport{}
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		transport.CloseIdleConnections()
		web.Close()
		require.Empty(t, complaints.String())
		requireNothingLeft(t, srv)
	})
	return &testServer{t: t, base: web.URL + "/engine.io/", client: &http.Client{Transport: transport}, srv: srv}
}

// requireNothingLeft fails if the server still has a session or counted bytes.
func requireNothingLeft(t *testing.T, srv *engineio.Server) {
	t.Helper()
	require.Empty(t, srv.Sockets())
	require.Zero(t, srv.SendBudgetUsed(), "bytes of the budget were not given back")
	require.Zero(t, srv.ReceiveLimitUsed(), "bytes of unfinished messages were not given back")
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
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

// pollingClient is the client of a polling session. The test sends its requests.
type pollingClient struct {
	ts    *testServer
	rev   engineio.Revision
	sid   string
	query string // of all further requests
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

func (pc *pollingClient) poll() response { return pc.ts.request(http.MethodGet, pc.query, nil) }

func (pc *pollingClient) post(body string, header ...string) response {
	if !slices.Contains(header, "Content-Type") {
		header = append([]string{"Content-Type", "text/plain;charset=UTF-8"}, header...)
	}
	return pc.ts.request(http.MethodPost, pc.query, strings.NewReader(body), header...)
}

// payload writes packets as a text payload of the session's revision.
func (pc *pollingClient) payload(packets ...string) string { return asciiPayload(pc.rev, packets...) }

func asciiPayload(rev engineio.Revision, packets ...string) string {
	if rev == engineio.Revision4 {
		return strings.Join(packets, "\x1e")
	}
	var b strings.Builder
	for _, p := range packets { // ASCII
		fmt.Fprintf(&b, "%d:%s", len(p), p)
	}
	return b.String()
}

// socket returns the server's side of the session, or nil.
func (pc *pollingClient) socket() *engineio.Socket {
	for _, s := range pc.ts.srv.Sockets() {
		if s.ID() == pc.sid {
			return s
		}
	}
	return nil
}

// requireEcho checks that the session works: the server must echo a message.
func (pc *pollingClient) requireEcho(text string) {
	pc.ts.t.Helper()
	require.Equal(pc.ts.t, "200 ok", pc.post(pc.payload("4"+text)).summary())
	require.Equal(pc.ts.t, "200 "+pc.payload("4"+text), pc.poll().summary())
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

// webSocketClient is the client of a WebSocket. The test writes and reads its frames.
type webSocketClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
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

// handshake makes a WebSocket handshake. It returns the response and the connection. If the status is not 101, the body has
// been read.
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

// sendFrame sends a masked frame.
func (wc *webSocketClient) sendFrame(h ws.Header, body string) {
	wc.t.Helper()
	require.NoError(wc.t, wc.trySendFrame(h, body))
}

func (wc *webSocketClient) trySendFrame(h ws.Header, body string) error {
	h.Length = int64(len(body))
	h.Masked, h.Mask = true, [4]byte{1, 2, 3, 4}
	masked := []byte(body)
	ws.Cipher(masked, h.Mask, 0)
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, h)
	b.Write(masked)
	_, err := wc.conn.Write(b.Bytes())
	return err
}

// sendText sends a text message.
func (wc *webSocketClient) sendText(text string) {
	wc.t.Helper()
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, text)
}

// readFrame reads a frame.
func (wc *webSocketClient) readFrame() (ws.Frame, error) { return ws.ReadFrame(wc.r) }

// readText reads a frame, which must hold text.
func (wc *webSocketClient) readText() string {
	wc.t.Helper()
	f, err := wc.readFrame()
	require.NoError(wc.t, err)
	require.Equal(wc.t, ws.OpText, f.Header.OpCode, "%q", f.Payload)
	return string(f.Payload)
}

// requireEcho checks that the session works: the server must echo a message.
func (wc *webSocketClient) requireEcho(text string) {
	wc.t.Helper()
	wc.sendText("4" + text)
	require.Equal(wc.t, "4"+text, wc.readText())
}

// readEnd reads to the end and returns how the server ended the WebSocket: "close", with code and reason if the close
// frame has them, or a description of the other end.
func (wc *webSocketClient) readEnd() string {
	wc.t.Helper()
	defer func() { _ = wc.conn.Close() }()
	_ = wc.conn.SetReadDeadline(time.Now().Add(time.Minute)) // a broken connection fails in Read
	for {
		f, err := wc.readFrame()
		switch {
		case err != nil:
			return "no close frame: " + err.Error()
		case f.Header.OpCode == ws.OpClose:
			_, err := io.Copy(io.Discard, wc.r)
			if err != nil && !isReset(err) {
				return "then " + err.Error()
			}
			if len(f.Payload) == 0 {
				return "close"
			}
			code, reason := ws.ParseCloseFrameData(f.Payload)
			return strings.TrimSpace(fmt.Sprintf("close %d %s", code, reason))
		}
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }

// endRecorder is an echo handler that reports how its sessions ended.
type endRecorder struct {
	mu    sync.Mutex
	ended map[string]chan *engineio.CloseError // by sid
}

func newEndRecorder() *endRecorder {
	return &endRecorder{ended: make(map[string]chan *engineio.CloseError)}
}

func (h *endRecorder) ServeSocket(ctx context.Context, s *engineio.Socket) {
	echo(ctx, s)
	_, err := s.Read(context.Background())
	closed, _ := errors.AsType[*engineio.CloseError](err)
	h.ends(s.ID()) <- closed
}

func (h *endRecorder) ends(sid string) chan *engineio.CloseError {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended[sid] == nil {
		h.ended[sid] = make(chan *engineio.CloseError, 1)
	}
	return h.ended[sid]
}

// awaitEnd waits for a session's end and returns its side and reason.
func (h *endRecorder) awaitEnd(sid string) string {
	e := <-h.ends(sid)
	side := "local"
	if e.Remote {
		side = "remote"
	}
	return side + " " + e.Reason
}

// replaceSession puts a session's query into a request.
func replaceSession(request, query string) string {
	return strings.Replace(request, "SESSION", query, 1)
}
