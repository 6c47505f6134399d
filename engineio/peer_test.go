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

// site is a server with a client that need not follow the protocol: the test chooses every byte of every request.
type site struct {
	t      *testing.T
	base   string
	client *http.Client
	srv    *engineio.Server
}

// inSite is inBubble with a site.
func inSite(t *testing.T, h engineio.Handler, opts *engineio.ServerOptions, f func(t *testing.T, w *site)) {
	t.Helper()
	inBubble(t, h, opts, func(t *testing.T, srv *engineio.Server, client *http.Client) {
		f(t, &site{t: t, base: "http://pipe/engine.io/", client: client, srv: srv})
		time.Sleep(time.Second) // net/http waits half a second before it closes a connection whose body it did not read
	})
}

// newSite serves h on loopback. At the end of the test it checks that no session has left anything behind, and that the
// HTTP server has logged nothing (it logs the panics of handlers).
func newSite(t *testing.T, h engineio.Handler, opts *engineio.ServerOptions) *site {
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
	return &site{t: t, base: web.URL + "/engine.io/", client: &http.Client{Transport: transport}, srv: srv}
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

// answer is an HTTP response, read to its end.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

// brief returns the response's status and body, for comparisons.
func (a answer) brief() string {
	if a.err != nil {
		return "error: " + a.err.Error()
	}
	return fmt.Sprintf("%d %s", a.status, a.body)
}

// packets parses the response to a poll.
func (a answer) packets(t *testing.T, rev engineio.Revision) []packet.Packet {
	t.Helper()
	enc := packet.Text
	if a.header.Get("Content-Type") == typeBinary {
		enc = packet.Binary
	}
	ps, err := packet.ParsePayload(rev, enc, []byte(a.body))
	require.NoError(t, err)
	return ps
}

// ask sends a request with the given query. Header fields come in pairs.
func (w *site) ask(method, query string, body io.Reader, header ...string) answer {
	return w.askFor(context.Background(), method, w.base+"?"+query, body, header...)
}

func (w *site) askFor(ctx context.Context, method, url string, body io.Reader, header ...string) answer {
	r, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return answer{err: err}
	}
	for i := 0; i+1 < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		}
		r.Header.Add(header[i], header[i+1])
	}
	resp, err := w.client.Do(r)
	if err != nil {
		return answer{err: err}
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(b), err}
}

// later runs f on a new goroutine.
func later(f func() answer) <-chan answer {
	c := make(chan answer, 1)
	go func() { c <- f() }()
	return c
}

// visit is a polling session of a site.
type visit struct {
	w     *site
	rev   engineio.Revision
	sid   string
	query string // of all further requests
}

// open opens a polling session.
func (w *site) open(rev engineio.Revision, extra ...string) *visit {
	w.t.Helper()
	query := strings.Join(append([]string{fmt.Sprintf("EIO=%d&transport=polling", rev)}, extra...), "&")
	a := w.ask(http.MethodGet, query, nil)
	require.NoError(w.t, a.err)
	require.Equal(w.t, http.StatusOK, a.status, a.body)
	ps := a.packets(w.t, rev)
	require.Equal(w.t, packet.Open, ps[0].Type)
	var h struct{ SID string }
	require.NoError(w.t, json.Unmarshal(ps[0].Data, &h))
	return &visit{w: w, rev: rev, sid: h.SID, query: query + "&sid=" + h.SID}
}

func (v *visit) poll() answer { return v.w.ask(http.MethodGet, v.query, nil) }

func (v *visit) post(body string, header ...string) answer {
	if !slices.Contains(header, "Content-Type") {
		header = append([]string{"Content-Type", "text/plain;charset=UTF-8"}, header...)
	}
	return v.w.ask(http.MethodPost, v.query, strings.NewReader(body), header...)
}

// framed writes packets as a text payload of the session's revision.
func (v *visit) framed(packets ...string) string { return framed(v.rev, packets...) }

func framed(rev engineio.Revision, packets ...string) string {
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
func (v *visit) socket() *engineio.Socket {
	for _, s := range v.w.srv.Sockets() {
		if s.ID() == v.sid {
			return s
		}
	}
	return nil
}

// requireEcho checks that the session works: the server must echo a message.
func (v *visit) requireEcho(text string) {
	v.w.t.Helper()
	require.Equal(v.w.t, "200 ok", v.post(v.framed("4"+text)).brief())
	require.Equal(v.w.t, "200 "+v.framed("4"+text), v.poll().brief())
}

// connect opens a connection to the site's server.
func (w *site) connect() net.Conn {
	w.t.Helper()
	u, err := url.Parse(w.base)
	require.NoError(w.t, err)
	dial := (&net.Dialer{}).DialContext
	if t := w.client.Transport.(*http.Transport); t.DialContext != nil {
		dial = t.DialContext
	}
	conn, err := dial(context.Background(), "tcp", u.Host)
	require.NoError(w.t, err)
	return conn
}

// line is a WebSocket whose frames the test writes and reads itself.
type line struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// handshakeText returns the text of a WebSocket handshake.
func (w *site) handshakeText(query string, header ...string) string {
	u, err := url.Parse(w.base)
	require.NoError(w.t, err)
	var b strings.Builder
	fmt.Fprintf(&b, "GET %s?%s HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", u.Path, query, u.Host)
	b.WriteString("Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n")
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	b.WriteString("\r\n")
	return b.String()
}

// shake makes a WebSocket handshake. It returns the response and the connection. If the status is not 101, the body has
// been read.
func (w *site) shake(query string, header ...string) (answer, *line) {
	w.t.Helper()
	return w.send(w.handshakeText(query, header...))
}

// send sends raw bytes and reads the response.
func (w *site) send(raw string) (answer, *line) {
	w.t.Helper()
	conn := w.connect()
	_, err := io.WriteString(conn, raw)
	require.NoError(w.t, err)
	l := &line{t: w.t, conn: conn, r: bufio.NewReader(conn)}
	resp, err := http.ReadResponse(l.r, nil)
	if err != nil {
		return answer{err: err}, l
	}
	a := answer{status: resp.StatusCode, header: resp.Header}
	if resp.Close { // net/http removes the header field
		a.header.Set("Connection", "close")
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		b, err := io.ReadAll(resp.Body)
		a.body, a.err = string(b), err
	}
	return a, l
}

// line opens a WebSocket, which must be accepted.
func (w *site) line(query string, header ...string) *line {
	w.t.Helper()
	a, l := w.shake(query, header...)
	require.Equal(w.t, http.StatusSwitchingProtocols, a.status, a.body)
	return l
}

// session opens a session on a WebSocket and returns its WebSocket and sid.
func (w *site) session(rev engineio.Revision) (*line, string) {
	w.t.Helper()
	l := w.line(fmt.Sprintf("EIO=%d&transport=websocket", rev))
	open := l.text()
	require.True(w.t, strings.HasPrefix(open, "0{"), open)
	var h struct{ SID string }
	require.NoError(w.t, json.Unmarshal([]byte(open[1:]), &h))
	return l, h.SID
}

// write sends a masked frame.
func (l *line) write(h ws.Header, body string) {
	l.t.Helper()
	require.NoError(l.t, l.tryWrite(h, body))
}

func (l *line) tryWrite(h ws.Header, body string) error {
	h.Length = int64(len(body))
	h.Masked, h.Mask = true, [4]byte{1, 2, 3, 4}
	masked := []byte(body)
	ws.Cipher(masked, h.Mask, 0)
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, h)
	b.Write(masked)
	_, err := l.conn.Write(b.Bytes())
	return err
}

// say sends a text message.
func (l *line) say(text string) {
	l.t.Helper()
	l.write(ws.Header{Fin: true, OpCode: ws.OpText}, text)
}

// frame reads a frame.
func (l *line) frame() (ws.Frame, error) { return ws.ReadFrame(l.r) }

// text reads a frame, which must hold text.
func (l *line) text() string {
	l.t.Helper()
	f, err := l.frame()
	require.NoError(l.t, err)
	require.Equal(l.t, ws.OpText, f.Header.OpCode, "%q", f.Payload)
	return string(f.Payload)
}

// requireEcho checks that the session works: the server must echo a message.
func (l *line) requireEcho(text string) {
	l.t.Helper()
	l.say("4" + text)
	require.Equal(l.t, "4"+text, l.text())
}

// ending reads to the end and returns how the server ended the WebSocket: "close", with code and reason if the close
// frame has them, or a description of the other end.
func (l *line) ending() string {
	l.t.Helper()
	defer func() { _ = l.conn.Close() }()
	_ = l.conn.SetReadDeadline(time.Now().Add(time.Minute)) // a broken connection fails in Read
	for {
		f, err := l.frame()
		switch {
		case err != nil:
			return "no close frame: " + err.Error()
		case f.Header.OpCode == ws.OpClose:
			_, err := io.Copy(io.Discard, l.r)
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

// witness is an echo handler that reports how its sessions ended.
type witness struct {
	mu    sync.Mutex
	ended map[string]chan *engineio.CloseError // by sid
}

func newWitness() *witness { return &witness{ended: make(map[string]chan *engineio.CloseError)} }

func (h *witness) ServeSocket(ctx context.Context, s *engineio.Socket) {
	echo(ctx, s)
	_, err := s.Read(context.Background())
	closed, _ := errors.AsType[*engineio.CloseError](err)
	h.of(s.ID()) <- closed
}

func (h *witness) of(sid string) chan *engineio.CloseError {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended[sid] == nil {
		h.ended[sid] = make(chan *engineio.CloseError, 1)
	}
	return h.ended[sid]
}

// end waits for a session's end and returns its side and reason.
func (h *witness) end(sid string) string {
	e := <-h.of(sid)
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
