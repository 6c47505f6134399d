package engineio_test

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// fakeServer is a server whose responses come from the test. Its session has the sid "s" and revision 4.
type fakeServer struct {
	polls     chan chan string // each poll waits here for its response
	polled    chan struct{}    // the first poll has come
	left      chan struct{}    // the client has sent a close packet
	once      sync.Once
	posts     recorder[string]
	received  chan string                             // the client's frames on the WebSocket
	step      chan struct{}                           // lets the WebSocket continue
	webSocket func(fs *fakeServer, wc *fakeWebSocket) // the server's side of the WebSocket; if nil, the server rejects it
}

func (s *fakeServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case q.Get("transport") == "websocket" && s.webSocket == nil:
		http.Error(w, "no", http.StatusBadRequest)
	case q.Get("transport") == "websocket":
		<-s.polled // a poll is in progress when the upgrade begins
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		s.webSocket(s, &fakeWebSocket{conn: conn})
	case q.Get("sid") == "":
		_, _ = io.WriteString(w, `0{"sid":"s","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
	case r.Method == http.MethodPost:
		b, _ := io.ReadAll(r.Body)
		s.posts.add(string(b))
		if string(b) == "1" || strings.HasSuffix(string(b), "\x1e1") {
			close(s.left)
		}
		_, _ = io.WriteString(w, "ok")
	default:
		s.once.Do(func() { close(s.polled) })
		c := make(chan string)
		select {
		case s.polls <- c:
		case <-r.Context().Done():
			return
		}
		select {
		case text := <-c:
			_, _ = io.WriteString(w, text)
		case <-s.left:
			_, _ = io.WriteString(w, "6") // as engine.io does
		case <-r.Context().Done():
		}
	}
}

func (s *fakeServer) posted() string {
	return strings.Join(s.posts.values(), "|")
}

// fakeWebSocket is the server's side of a WebSocket. The test writes and reads its frames.
type fakeWebSocket struct{ conn io.ReadWriteCloser }

func (wc *fakeWebSocket) sendText(text string) error {
	return ws.WriteFrame(wc.conn, ws.NewTextFrame([]byte(text)))
}

// readText returns the text of the next frame, or "" at the end.
func (wc *fakeWebSocket) readText() string {
	f, err := ws.ReadFrame(wc.conn)
	if err != nil {
		return ""
	}
	return string(ws.UnmaskFrame(f).Payload)
}

// inFakeServer calls f in a bubble with a client's session at a fake server. The session's messages arrive in got.
func inFakeServer(t *testing.T, line func(fs *fakeServer, wc *fakeWebSocket), opts *engineio.DialOptions, f func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		fs := &fakeServer{polls: make(chan chan string), received: make(chan string, 10), step: make(chan struct{}), polled: make(chan struct{}), left: make(chan struct{}), webSocket: line}
		client, stop := serveOn(t, newNetwork(), fs)
		o := engineio.DialOptions{HTTPClient: client}
		if opts != nil {
			o.UpgradeTimeout = opts.UpgradeTimeout
		}
		s, err := engineio.Dial(t.Context(), "http://pipe", &o)
		require.NoError(t, err)
		got := make(chan string, 100)
		var reader sync.WaitGroup
		reader.Go(func() {
			for {
				m, err := s.Read(t.Context())
				if err != nil {
					close(got)
					return
				}
				got <- string(m.Data)
			}
		})
		f(t, fs, s, got)
		s.Abort(nil)
		require.NoError(t, s.Close())
		reader.Wait()
		stop()
		time.Sleep(time.Second)
	})
}

// switching returns the response that accepts the WebSocket handshake r.
func switching(r *http.Request) string {
	sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) //nolint:gosec // RFC 6455 demands it
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(sum[:]) + "\r\n\r\n"
}

// serveConnections responds to each request with the bytes that f writes to the connection, and then closes the
// connection.
func serveConnections(t *testing.T, f func(conn net.Conn, r *http.Request)) (net.Listener, string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Errorf("hijack: %v", err)
			return
		}
		defer func() { _ = conn.Close() }()
		f(conn, r)
	})}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	t.Cleanup(func() {
		_ = web.Close()
		if err := <-served; !errors.Is(err, http.ErrServerClosed) {
			t.Errorf("fake server: %v", err)
		}
	})
	return l, "http://" + l.Addr().String()
}
