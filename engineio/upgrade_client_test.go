package engineio_test

import (
	"io"
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
	mu        sync.Mutex
	posts     []string
	received  chan string                             // the client's frames on the WebSocket
	step      chan struct{}                           // lets the WebSocket continue
	webSocket func(fs *fakeServer, wc *fakeWebSocket) // the server's side of the WebSocket; if nil, the server rejects it
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
		s.mu.Lock()
		s.posts = append(s.posts, string(b))
		s.mu.Unlock()
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
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.posts, "|")
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

func TestClientUpgradeWithALateNoop(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		_ = wc.sendText("3probe")
		fs.received <- wc.readText()
		_ = wc.sendText("4over websocket")
		fs.received <- wc.readText()
		fs.received <- wc.readText()
	}
	inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		poll := <-fs.polls
		synctest.Wait()
		require.Equal(t, "2probe", <-fs.received)
		require.NoError(t, s.Write(t.Context(), engineio.Text("waits")))
		time.Sleep(5 * time.Second)
		require.Empty(t, fs.received, "no 5 while a poll is under way")
		require.Empty(t, fs.posted(), "polling is paused")
		poll <- "4a real message\x1e6"
		require.Equal(t, "5", <-fs.received)
		require.Equal(t, "4waits", <-fs.received)
		require.Equal(t, "a real message", <-got)
		require.Equal(t, "over websocket", <-got)
		require.Equal(t, engineio.WebSocket, s.Transport())
	})
}

func TestClientUpgradeWithAnEarlyNoop(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		<-fs.step
		_ = wc.sendText("3probe")
		fs.received <- wc.readText()
		fs.received <- wc.readText()
	}
	inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		poll := <-fs.polls
		require.Equal(t, "2probe", <-fs.received)
		poll <- "6" // too early: the client polls again
		poll = <-fs.polls
		require.NoError(t, s.Write(t.Context(), engineio.Text("by polling")))
		synctest.Wait()
		require.Equal(t, "4by polling", fs.posted())
		close(fs.step)
		synctest.Wait()
		require.Empty(t, fs.received)
		poll <- "6"
		require.Equal(t, "5", <-fs.received)
		require.NoError(t, s.Write(t.Context(), engineio.Text("by websocket")))
		require.Equal(t, "4by websocket", <-fs.received)
	})
}

func TestClientUpgradeWithoutANoop(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		_ = wc.sendText("3probe")
		fs.received <- wc.readText() // the client abandons the upgrade
	}
	inFakeServer(t, line, &engineio.DialOptions{UpgradeTimeout: 3 * time.Second}, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		start := time.Now()
		poll := <-fs.polls
		require.Equal(t, "2probe", <-fs.received)
		require.NoError(t, s.Write(t.Context(), engineio.Text("held up")))
		require.Empty(t, <-fs.received, "the WebSocket ends")
		require.Equal(t, 3*time.Second, time.Since(start))
		synctest.Wait()
		require.Equal(t, "4held up", fs.posted(), "polling goes on")
		poll <- "4alive"
		require.Equal(t, "alive", <-got)
		require.Equal(t, engineio.Polling, s.Transport())
		<-fs.polls
	})
}

// The server moves when it reads the 5, so the timeout of the upgrade must not close the WebSocket while the 5 is in
// transit.
func TestClientUpgradeTimeoutWhileTheLastPacketIsSent(t *testing.T) {
	line := func(fs *fakeServer, wc *fakeWebSocket) {
		fs.received <- wc.readText()
		_ = wc.sendText("3probe")
		time.Sleep(4 * time.Second) // the network delays the 5
		fs.received <- wc.readText()
		_ = wc.sendText("4over websocket")
		fs.received <- wc.readText()
	}
	inFakeServer(t, line, &engineio.DialOptions{UpgradeTimeout: 3 * time.Second}, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
		poll := <-fs.polls
		require.Equal(t, "2probe", <-fs.received)
		synctest.Wait() // the client has read the 3probe, so it does not poll again
		poll <- "6"
		require.Equal(t, "5", <-fs.received)
		require.Equal(t, "over websocket", <-got)
		require.Equal(t, engineio.WebSocket, s.Transport())
		require.NoError(t, s.Write(t.Context(), engineio.Text("moved")))
		require.Equal(t, "4moved", <-fs.received)
	})
}

// If the WebSocket of an upgrade fails in any way, the session stays on polling.
func TestClientUpgradeThatFails(t *testing.T) {
	for name, line := range map[string]func(fs *fakeServer, wc *fakeWebSocket){
		"closed at once":        func(*fakeServer, *fakeWebSocket) {},
		"closed at the probe":   func(_ *fakeServer, wc *fakeWebSocket) { wc.readText() },
		"another answer":        func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("3other") },
		"a message":             func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("4x") },
		"garbage":               func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("") },
		"closed at the upgrade": func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); _ = wc.sendText("3probe") },
		"silence":               func(_ *fakeServer, wc *fakeWebSocket) { wc.readText(); wc.readText() },
		"refused":               nil,
	} {
		t.Run(name, func(t *testing.T) {
			inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, got <-chan string) {
				poll := <-fs.polls
				time.Sleep(time.Minute / 6)
				poll <- "4a"
				require.Equal(t, "a", <-got)
				require.NoError(t, s.Write(t.Context(), engineio.Text("b")))
				poll = <-fs.polls
				synctest.Wait()
				if name == "closed at the upgrade" && s.Transport() == engineio.WebSocket {
					return // the client notices the end after its 5, too late to return to polling
				}
				require.Equal(t, "4b", fs.posted())
				poll <- "4c"
				require.Equal(t, "c", <-got)
				require.Equal(t, engineio.Polling, s.Transport())
				<-fs.polls
			})
		})
	}
}
