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

// script is a server whose responses come from the test. Its session has the sid "s" and revision 4.
type script struct {
	polls  chan chan string // each poll waits here for its response
	polled chan struct{}    // the first poll has come
	left   chan struct{}    // the client has sent a close packet
	once   sync.Once
	mu     sync.Mutex
	posts  []string
	said   chan string                     // the client's frames on the WebSocket
	step   chan struct{}                   // lets the WebSocket continue
	line   func(sc *script, l *serverLine) // the server's side of the WebSocket; if nil, the server rejects it
}

// serverLine is a WebSocket's server side.
type serverLine struct{ conn io.ReadWriteCloser }

func (l *serverLine) say(text string) error {
	return ws.WriteFrame(l.conn, ws.NewTextFrame([]byte(text)))
}

// read returns the text of the next frame, or "" at the end.
func (l *serverLine) read() string {
	f, err := ws.ReadFrame(l.conn)
	if err != nil {
		return ""
	}
	return string(ws.UnmaskFrame(f).Payload)
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	switch {
	case q.Get("transport") == "websocket" && s.line == nil:
		http.Error(w, "no", http.StatusBadRequest)
	case q.Get("transport") == "websocket":
		<-s.polled // a poll is in progress when the upgrade begins
		conn, _, _, err := ws.UpgradeHTTP(r, w)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		s.line(s, &serverLine{conn: conn})
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

func (s *script) posted() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return strings.Join(s.posts, "|")
}

// inScript calls f in a bubble with a client's session at a scripted server. The session's messages arrive in got.
func inScript(t *testing.T, line func(sc *script, l *serverLine), opts *engineio.DialOptions, f func(t *testing.T, sc *script, s *engineio.Socket, got <-chan string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		sc := &script{polls: make(chan chan string), said: make(chan string, 10), step: make(chan struct{}), polled: make(chan struct{}), left: make(chan struct{}), line: line}
		client, stop := serveOn(t, newNetwork(), sc)
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
		f(t, sc, s, got)
		s.Abort(nil)
		require.NoError(t, s.Close())
		reader.Wait()
		stop()
		time.Sleep(time.Second)
	})
}

func TestClientUpgradeWithALateNoop(t *testing.T) {
	line := func(sc *script, l *serverLine) {
		sc.said <- l.read()
		_ = l.say("3probe")
		sc.said <- l.read()
		_ = l.say("4over websocket")
		sc.said <- l.read()
		sc.said <- l.read()
	}
	inScript(t, line, nil, func(t *testing.T, sc *script, s *engineio.Socket, got <-chan string) {
		poll := <-sc.polls
		synctest.Wait()
		require.Equal(t, "2probe", <-sc.said)
		require.NoError(t, s.Write(t.Context(), engineio.Text("waits")))
		time.Sleep(5 * time.Second)
		require.Empty(t, sc.said, "no 5 while a poll is under way")
		require.Empty(t, sc.posted(), "polling is paused")
		poll <- "4a real message\x1e6"
		require.Equal(t, "5", <-sc.said)
		require.Equal(t, "4waits", <-sc.said)
		require.Equal(t, "a real message", <-got)
		require.Equal(t, "over websocket", <-got)
		require.Equal(t, engineio.WebSocket, s.Transport())
	})
}

func TestClientUpgradeWithAnEarlyNoop(t *testing.T) {
	line := func(sc *script, l *serverLine) {
		sc.said <- l.read()
		<-sc.step
		_ = l.say("3probe")
		sc.said <- l.read()
		sc.said <- l.read()
	}
	inScript(t, line, nil, func(t *testing.T, sc *script, s *engineio.Socket, got <-chan string) {
		poll := <-sc.polls
		require.Equal(t, "2probe", <-sc.said)
		poll <- "6" // too early: the client polls again
		poll = <-sc.polls
		require.NoError(t, s.Write(t.Context(), engineio.Text("by polling")))
		synctest.Wait()
		require.Equal(t, "4by polling", sc.posted())
		close(sc.step)
		synctest.Wait()
		require.Empty(t, sc.said)
		poll <- "6"
		require.Equal(t, "5", <-sc.said)
		require.NoError(t, s.Write(t.Context(), engineio.Text("by websocket")))
		require.Equal(t, "4by websocket", <-sc.said)
	})
}

func TestClientUpgradeWithoutANoop(t *testing.T) {
	line := func(sc *script, l *serverLine) {
		sc.said <- l.read()
		_ = l.say("3probe")
		sc.said <- l.read() // the client abandons the upgrade
	}
	inScript(t, line, &engineio.DialOptions{UpgradeTimeout: 3 * time.Second}, func(t *testing.T, sc *script, s *engineio.Socket, got <-chan string) {
		start := time.Now()
		poll := <-sc.polls
		require.Equal(t, "2probe", <-sc.said)
		require.NoError(t, s.Write(t.Context(), engineio.Text("held up")))
		require.Empty(t, <-sc.said, "the WebSocket ends")
		require.Equal(t, 3*time.Second, time.Since(start))
		synctest.Wait()
		require.Equal(t, "4held up", sc.posted(), "polling goes on")
		poll <- "4alive"
		require.Equal(t, "alive", <-got)
		require.Equal(t, engineio.Polling, s.Transport())
		<-sc.polls
	})
}

// The server moves when it reads the 5, so the timeout of the upgrade must not close the WebSocket while the 5 is in
// transit.
func TestClientUpgradeTimeoutWhileTheLastPacketIsSent(t *testing.T) {
	line := func(sc *script, l *serverLine) {
		sc.said <- l.read()
		_ = l.say("3probe")
		time.Sleep(4 * time.Second) // the network delays the 5
		sc.said <- l.read()
		_ = l.say("4over websocket")
		sc.said <- l.read()
	}
	inScript(t, line, &engineio.DialOptions{UpgradeTimeout: 3 * time.Second}, func(t *testing.T, sc *script, s *engineio.Socket, got <-chan string) {
		poll := <-sc.polls
		require.Equal(t, "2probe", <-sc.said)
		synctest.Wait() // the client has read the 3probe, so it does not poll again
		poll <- "6"
		require.Equal(t, "5", <-sc.said)
		require.Equal(t, "over websocket", <-got)
		require.Equal(t, engineio.WebSocket, s.Transport())
		require.NoError(t, s.Write(t.Context(), engineio.Text("moved")))
		require.Equal(t, "4moved", <-sc.said)
	})
}

// If the WebSocket of an upgrade fails in any way, the session stays on polling.
func TestClientUpgradeThatFails(t *testing.T) {
	for name, line := range map[string]func(sc *script, l *serverLine){
		"closed at once":        func(*script, *serverLine) {},
		"closed at the probe":   func(_ *script, l *serverLine) { l.read() },
		"another answer":        func(_ *script, l *serverLine) { l.read(); _ = l.say("3other") },
		"a message":             func(_ *script, l *serverLine) { l.read(); _ = l.say("4x") },
		"garbage":               func(_ *script, l *serverLine) { l.read(); _ = l.say("") },
		"closed at the upgrade": func(_ *script, l *serverLine) { l.read(); _ = l.say("3probe") },
		"silence":               func(_ *script, l *serverLine) { l.read(); l.read() },
		"refused":               nil,
	} {
		t.Run(name, func(t *testing.T) {
			inScript(t, line, nil, func(t *testing.T, sc *script, s *engineio.Socket, got <-chan string) {
				poll := <-sc.polls
				time.Sleep(time.Minute / 6)
				poll <- "4a"
				require.Equal(t, "a", <-got)
				require.NoError(t, s.Write(t.Context(), engineio.Text("b")))
				poll = <-sc.polls
				synctest.Wait()
				if name == "closed at the upgrade" && s.Transport() == engineio.WebSocket {
					return // the client notices the end after its 5, too late to return to polling
				}
				require.Equal(t, "4b", sc.posted())
				poll <- "4c"
				require.Equal(t, "c", <-got)
				require.Equal(t, engineio.Polling, s.Transport())
				<-sc.polls
			})
		})
	}
}
