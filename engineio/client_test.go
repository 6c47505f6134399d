package engineio_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

func TestWhatIsSentWithEachRequest(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		var requests recorder[*http.Request]
		inBubbleBehind(t, recordRequests(&requests), echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
			o := &engineio.DialOptions{
				Revision:     rev,
				HTTPClient:   ts.client,
				Header:       http.Header{"Authorization": {"Bearer x"}, "X-Two": {"a", "b"}, "Host": {"other.example"}},
				Query:        url.Values{"token": {"a b&c"}, "transport": {"none"}, "two": {"1", "2"}},
				Subprotocols: []string{"v1.example", "v2.example"},
				Base64:       true,
			}
			for _, o.NoUpgrade = range []bool{true, false} {
				s, err := engineio.Dial(t.Context(), "http://pipe?token=url&room=1&sid=x&EIO=9", o)
				require.NoError(t, err)
				for _, m := range []engineio.Message{engineio.Binary([]byte{0, 255}), engineio.Text("é€😀"), engineio.Text("x")} {
					requireEcho(t, s, m)
				}
				go func() { _, _ = s.Read(t.Context()) }()
				synctest.Wait()
				require.Equal(t, o.NoUpgrade, s.Transport() == engineio.Polling)
				require.NoError(t, s.Close())
			}
		})
		require.Len(t, kinds(&requests), 3)
		opened := 0
		for _, r := range requests.values() {
			q := r.URL.Query()
			transport := "polling"
			if isUpgrade(r) {
				transport = "websocket"
				require.Equal(t, "v1.example, v2.example", r.Header.Get("Sec-WebSocket-Protocol"))
			} else {
				require.Len(t, q["t"], 1)
			}
			require.Equal(t, []string{transport}, q["transport"])
			require.Equal(t, []string{fmt.Sprint(rev)}, q["EIO"])
			require.Equal(t, []string{"1"}, q["b64"])
			require.Equal(t, []string{"a b&c"}, q["token"])
			require.Equal(t, []string{"1"}, q["room"])
			require.Equal(t, []string{"1", "2"}, q["two"])
			if !q.Has("sid") {
				opened++
			}
			require.Equal(t, "Bearer x", r.Header.Get("Authorization"))
			require.Equal(t, []string{"a", "b"}, r.Header["X-Two"])
			require.Equal(t, "other.example", r.Host)
		}
		require.Equal(t, 2, opened)
	})
}

func TestBase64KeepsBytesOffTheWire(t *testing.T) {
	data := strings.Repeat("\x00\xff\xfe", 20)
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		t.Run(fmt.Sprintf("revision %d polling", rev), func(t *testing.T) {
			var bodies interoptest.Buffer
			tap := intercept(func(_ http.ResponseWriter, r *http.Request) bool {
				r.Body = struct {
					io.Reader
					io.Closer
				}{io.TeeReader(r.Body, &bodies), r.Body}
				return false
			})
			inBubbleBehind(t, tap, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
				s := ts.connect(&engineio.DialOptions{Revision: rev, Transports: []engineio.Transport{engineio.Polling}, Base64: true})
				requireEcho(t, s, engineio.Binary([]byte(data)))
				require.NoError(t, s.Close())
			})
			require.NotContains(t, bodies.String(), "ÿ")
		})
		t.Run(fmt.Sprintf("revision %d websocket", rev), func(t *testing.T) {
			_, url := serveConnections(t, func(conn net.Conn, r *http.Request) {
				_, _ = io.WriteString(conn, switching(r))
				_ = ws.WriteFrame(conn, ws.NewTextFrame([]byte(`0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`)))
				for {
					f, err := ws.ReadFrame(conn)
					if err != nil {
						return
					}
					f = ws.UnmaskFrameInPlace(f)
					if f.Header.OpCode == ws.OpBinary {
						f = ws.NewTextFrame([]byte("4bytes as they are"))
					}
					f.Header.Masked = false
					_ = ws.WriteFrame(conn, f)
				}
			})
			s, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{Revision: rev, Transports: []engineio.Transport{engineio.WebSocket}, Base64: true})
			require.NoError(t, err)
			requireEcho(t, s, engineio.Binary([]byte(data)))
			requireEcho(t, s, engineio.Text("text"))
			require.NoError(t, s.Close())
		})
	}
}

// A server with parser 1.x encodes text twice for clients with b64, and expects text that is encoded twice.
func TestBase64WithAServerThatEncodesTextTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const twice = "\u00c3\u00a9\u00c2\u0080" // é and U+0080, in UTF-8 twice
		posts := make(chan string, 2)
		polls := make(chan string, 3)
		polls <- asciiPayload(engineio.Revision3, `0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":60000}`)
		polls <- "5:4" + twice
		client, stop := serveOn(t, newNetwork(), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				b, _ := io.ReadAll(r.Body)
				posts <- r.Header.Get("Content-Type") + " " + string(b)
				_, _ = io.WriteString(w, "ok")
				return
			}
			select {
			case body := <-polls:
				_, _ = io.WriteString(w, body)
			case <-r.Context().Done():
			}
		}))
		s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Revision: engineio.Revision3, Base64: true, HTTPClient: client})
		require.NoError(t, err)
		require.NoError(t, s.Write(t.Context(), engineio.Text("\u00e9\u0080")))
		require.Equal(t, "text/plain;charset=UTF-8 3:4\u00e9\u0080", <-posts, "the client does not know the dialect yet")
		m, err := s.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, "\u00e9\u0080", string(m.Data))
		require.NoError(t, s.Write(t.Context(), engineio.Text("\u00e9\u0080")))
		require.Equal(t, "text/plain;charset=UTF-8 5:4"+twice, <-posts)
		s.Abort(nil)
		require.NoError(t, s.Close())
		stop()
	})
}

func TestPostsFitTheServersLimit(t *testing.T) {
	const limit = 100
	var posts recorder[string]
	var release chan struct{} // made in the bubble
	wrap := intercept(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodPost {
			b, _ := io.ReadAll(r.Body)
			posts.add(string(b))
			<-release
			r.Body = io.NopCloser(strings.NewReader(string(b)))
		}
		return false
	})
	inBubbleBehind(t, wrap, idle, &engineio.ServerOptions{MaxPayload: limit}, func(t *testing.T, ts *testServer) {
		release = make(chan struct{})
		s := ts.connect(&engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}})
		write := func(m engineio.Message) { require.NoError(t, s.Write(t.Context(), m)) }
		write(engineio.Text("first"))
		synctest.Wait() // the POST is in progress; the messages below wait
		// 49 bytes with the type, a separator, and 50 bytes: exactly the limit.
		write(engineio.Text(strings.Repeat("a", 48)))
		write(engineio.Text(strings.Repeat("b", 49)))
		// One byte more in total, so the two messages do not fit into one POST: "b" and 48 bytes of base64, a
		// separator, 51 bytes.
		write(engineio.Binary(make([]byte, 36)))
		write(engineio.Text(strings.Repeat("c", 50)))
		write(engineio.Text("d"))
		// The limit counts bytes, not characters: 1+3*33 alone is the limit.
		write(engineio.Text(strings.Repeat("€", 33)))
		write(engineio.Text("e"))
		close(release)
		require.NoError(t, s.Flush(t.Context()))
		got := posts.take()
		require.Equal(t, []string{
			"4first",
			"4" + strings.Repeat("a", 48) + "\x1e4" + strings.Repeat("b", 49),
			"b" + strings.Repeat("A", 48),
			"4" + strings.Repeat("c", 50) + "\x1e4d",
			"4" + strings.Repeat("€", 33),
			"4e",
		}, got)
		require.Len(t, got[1], limit)

		// A message that no POST can carry is an error, and the session continues.
		for _, m := range []engineio.Message{engineio.Text(strings.Repeat("x", limit)), engineio.Binary(make([]byte, 75)), engineio.Text(strings.Repeat("€", 34))} {
			require.ErrorIs(t, s.Write(t.Context(), m), engineio.ErrTooLarge)
			require.ErrorIs(t, s.TryWrite(m), engineio.ErrTooLarge)
			require.ErrorIs(t, s.TryWrite(engineio.Text("z"), m), engineio.ErrTooLarge, "all or none")
		}
		write(engineio.Text(strings.Repeat("x", limit-1)))
		write(engineio.Text("y"))
		require.NoError(t, s.Flush(t.Context()))
		require.Equal(t, []string{"4" + strings.Repeat("x", limit-1), "4y"}, posts.take())
		s.Abort(nil)
		require.NoError(t, s.Close())
	})
}

// Timers stop while a machine sleeps; only the wall clock shows the sleep.
func TestClientNoticesThatItSlept(t *testing.T) {
	for name, call := range map[string]func(t *testing.T, s *engineio.Socket) error{
		"Write":    func(t *testing.T, s *engineio.Socket) error { return s.Write(t.Context(), engineio.Text("x")) },
		"TryWrite": func(_ *testing.T, s *engineio.Socket) error { return s.TryWrite(engineio.Text("x")) },
		"Read": func(t *testing.T, s *engineio.Socket) error {
			_, err := s.Read(t.Context())
			return err
		},
		"Write while another waits in Read": func(t *testing.T, s *engineio.Socket) error {
			s.Discard()
			synctest.Wait()
			if err := s.Write(t.Context(), engineio.Text("x")); err == nil {
				return errors.New("written")
			}
			<-s.Context().Done()
			return context.Cause(s.Context())
		},
	} {
		for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
			for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
				t.Run(fmt.Sprintf("%s revision %d %s", name, rev, transport), func(t *testing.T) {
					inBubble(t, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
						start := time.Now()
						s := ts.connect(&engineio.DialOptions{Revision: rev, Transports: []engineio.Transport{transport}})
						requireEcho(t, s, engineio.Text("awake"))
						s.ElapseWallClock(45*time.Second - 1)
						requireEcho(t, s, engineio.Text("a nap"))
						s.ElapseWallClock(2)
						err := call(t, s)
						var closed *engineio.CloseError
						require.ErrorAs(t, err, &closed)
						require.Equal(t, engineio.ReasonPingTimeout, closed.Reason)
						require.True(t, closed.Remote)
						require.Zero(t, time.Since(start), "at once")
						require.NoError(t, s.Close())
					})
				})
			}
		}
	}
}
