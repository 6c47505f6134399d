package engineio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/wtstream"
)

// requestLog records the requests that a server gets.
type requestLog struct {
	mu  sync.Mutex
	all []*http.Request
}

func (l *requestLog) wrap(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		l.mu.Lock()
		l.all = append(l.all, r.Clone(context.Background()))
		l.mu.Unlock()
		h.ServeHTTP(w, r)
	})
}

// kinds returns how often each kind of request came: GET, POST and websocket.
func (l *requestLog) kinds() map[string]int {
	l.mu.Lock()
	defer l.mu.Unlock()
	kinds := make(map[string]int)
	for _, r := range l.all {
		kind := r.Method
		if isUpgrade(r) {
			kind = "websocket"
		}
		kinds[kind]++
	}
	return kinds
}

// requireEcho sends a message and expects its echo.
func requireEcho(t *testing.T, s *Socket, m Message) {
	t.Helper()
	require.NoError(t, s.Write(t.Context(), m))
	got, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, m.Binary, got.Binary)
	require.Equal(t, string(m.Data), string(got.Data))
}

func TestWhatIsSentWithEachRequest(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		t.Run(fmt.Sprintf("revision %d", rev), func(t *testing.T) {
			var log requestLog
			inBubbleBehind(t, log.wrap, echo, bothRevisions(), func(t *testing.T, _ *Server, client *http.Client) {
				o := &DialOptions{
					Revision:     rev,
					HTTPClient:   client,
					Header:       http.Header{"Authorization": {"Bearer x"}, "X-Two": {"a", "b"}, "Host": {"other.example"}},
					Query:        url.Values{"token": {"a b&c"}, "transport": {"none"}, "two": {"1", "2"}},
					Subprotocols: []string{"v1.example", "v2.example"},
					Base64:       true,
				}
				for _, o.NoUpgrade = range []bool{true, false} {
					s, err := Dial(t.Context(), "http://pipe?token=url&room=1&sid=x&EIO=9", o)
					require.NoError(t, err)
					for _, m := range []Message{Binary([]byte{0, 255}), Text("é€😀"), Text("x")} {
						requireEcho(t, s, m)
					}
					go func() { _, _ = s.Read(t.Context()) }()
					synctest.Wait()
					require.Equal(t, o.NoUpgrade, s.Transport() == Polling)
					require.NoError(t, s.Close())
				}
			})
			require.Len(t, log.kinds(), 3)
			opened := 0
			for _, r := range log.all {
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
}

func TestBase64KeepsBytesOffTheWire(t *testing.T) {
	data := strings.Repeat("\x00\xff\xfe", 20)
	for _, rev := range []Revision{Revision3, Revision4} {
		t.Run(fmt.Sprintf("revision %d polling", rev), func(t *testing.T) {
			var bodies lockedBuffer
			tap := func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Body = struct {
						io.Reader
						io.Closer
					}{io.TeeReader(r.Body, &bodies), r.Body}
					h.ServeHTTP(w, r)
				})
			}
			inBubbleBehind(t, tap, echo, bothRevisions(), func(t *testing.T, _ *Server, client *http.Client) {
				s, err := Dial(t.Context(), "http://pipe", &DialOptions{Revision: rev, Transports: []Transport{Polling}, HTTPClient: client, Base64: true})
				require.NoError(t, err)
				requireEcho(t, s, Binary([]byte(data)))
				require.NoError(t, s.Close())
			})
			require.NotContains(t, bodies.String(), "ÿ")
		})
		t.Run(fmt.Sprintf("revision %d websocket", rev), func(t *testing.T) {
			_, url := fakeServer(t, func(conn net.Conn, r *http.Request) {
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
			s, err := Dial(testContext(t), url, &DialOptions{Revision: rev, Transports: []Transport{WebSocket}, Base64: true})
			require.NoError(t, err)
			requireEcho(t, s, Binary([]byte(data)))
			requireEcho(t, s, Text("text"))
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
		polls <- framed(Revision3, `0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":60000}`)
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
		s, err := Dial(t.Context(), "http://pipe", &DialOptions{Revision: Revision3, Base64: true, HTTPClient: client})
		require.NoError(t, err)
		require.NoError(t, s.Write(t.Context(), Text("\u00e9\u0080")))
		require.Equal(t, "text/plain;charset=UTF-8 3:4\u00e9\u0080", <-posts, "the client does not know the dialect yet")
		m, err := s.Read(t.Context())
		require.NoError(t, err)
		require.Equal(t, "\u00e9\u0080", string(m.Data))
		require.NoError(t, s.Write(t.Context(), Text("\u00e9\u0080")))
		require.Equal(t, "text/plain;charset=UTF-8 5:4"+twice, <-posts)
		s.Abort(nil)
		require.NoError(t, s.Close())
		stop()
	})
}

// noWebSocket rejects WebSockets in front of a server that offers them.
func noWebSocket(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if isUpgrade(r) {
			http.Error(w, "not here", http.StatusBadGateway)
			return
		}
		h.ServeHTTP(w, r)
	})
}

func TestTryAllTransports(t *testing.T) {
	both, reverse := []Transport{Polling, WebSocket}, []Transport{WebSocket, Polling}
	t.Run("the second one works", func(t *testing.T) {
		for _, only := range both {
			for _, order := range [][]Transport{both, reverse} {
				inBubble(t, echo, &ServerOptions{Transports: []Transport{only}}, func(t *testing.T, _ *Server, client *http.Client) {
					s, err := Dial(t.Context(), "http://pipe", &DialOptions{Transports: order, TryAllTransports: true, HTTPClient: client})
					require.NoError(t, err)
					require.Equal(t, only, s.Transport())
					requireEcho(t, s, Text("x"))
					require.NoError(t, s.Close())

					s, err = Dial(t.Context(), "http://pipe", &DialOptions{Transports: order, HTTPClient: client})
					if order[0] == only {
						require.NoError(t, err)
						require.NoError(t, s.Close())
						return
					}
					var refused *HandshakeError
					require.ErrorAs(t, err, &refused)
					require.Equal(t, HandshakeError{400, CodeUnknownTransport, "Transport unknown"}, *refused)
				})
			}
		}
	})
	t.Run("a failed upgrade does not count", func(t *testing.T) {
		var log requestLog
		wrap := func(h http.Handler) http.Handler { return log.wrap(noWebSocket(h)) }
		inBubbleBehind(t, wrap, echo, nil, func(t *testing.T, _ *Server, client *http.Client) {
			s, err := Dial(t.Context(), "http://pipe", &DialOptions{Transports: reverse, TryAllTransports: true, HTTPClient: client})
			require.NoError(t, err)
			requireEcho(t, s, Text("x"))
			synctest.Wait()
			require.Equal(t, Polling, s.Transport())
			require.Equal(t, 1, log.kinds()["websocket"])
			require.NoError(t, s.Close())
		})
	})
	t.Run("none works", func(t *testing.T) {
		refuse := func(http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusForbidden)
				_, _ = io.WriteString(w, `{"code":4,"message":"no `+r.URL.Query().Get("transport")+`"}`)
			})
		}
		inBubbleBehind(t, refuse, echo, nil, func(t *testing.T, _ *Server, client *http.Client) {
			_, err := Dial(t.Context(), "http://pipe", &DialOptions{Transports: reverse, TryAllTransports: true, HTTPClient: client})
			var refused *HandshakeError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, HandshakeError{403, CodeForbidden, "no websocket"}, *refused)
			require.ErrorContains(t, err, "websocket: engineio: handshake rejected: no websocket (code 4, HTTP status 403)")
			require.ErrorContains(t, err, "polling: engineio: handshake rejected: no polling")
		})
	})
	t.Run("the first one hangs", func(t *testing.T) {
		hang := func(h http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if isUpgrade(r) {
					<-r.Context().Done()
					return
				}
				h.ServeHTTP(w, r)
			})
		}
		inBubbleBehind(t, hang, echo, nil, func(t *testing.T, _ *Server, client *http.Client) {
			start := time.Now()
			o := &DialOptions{Transports: reverse, TryAllTransports: true, HTTPClient: client, UpgradeTimeout: 3 * time.Second}
			s, err := Dial(t.Context(), "http://pipe", o)
			require.NoError(t, err)
			require.Equal(t, 3*time.Second, time.Since(start))
			requireEcho(t, s, Text("x"))
			require.NoError(t, s.Close())

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = Dial(ctx, "http://pipe", o)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "polling:", "after the end of the context there are no further attempts")
			require.Equal(t, 4*time.Second, time.Since(start))
		})
	})
}

func TestTransportHint(t *testing.T) {
	var broken bool
	var opened Transport // the transport with which the last session opened, or tried to open
	wrap := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); !q.Has("sid") {
				opened = Transport(q.Get("transport"))
			}
			if broken {
				noWebSocket(h).ServeHTTP(w, r)
			} else {
				h.ServeHTTP(w, r)
			}
		})
	}
	inNetwork(t, wrap, echo, nil, func(t *testing.T, _ *Server, client *http.Client, n *network) {
		var memory TransportHint
		dial := func(transports ...Transport) *Socket {
			s, err := Dial(t.Context(), "http://pipe", &DialOptions{Hint: &memory, HTTPClient: client, Transports: transports})
			require.NoError(t, err)
			return s
		}
		closeIt := func(s *Socket) {
			require.NoError(t, s.Close())
			time.Sleep(lastPollTimeout) // the server waits for a last poll
			synctest.Wait()
		}
		s := dial()
		require.Equal(t, Polling, opened, "the client knows no server yet")
		go func() { _, _ = s.Read(t.Context()) }()
		synctest.Wait()
		require.Equal(t, WebSocket, s.Transport())
		closeIt(s)
		s = dial()
		require.Equal(t, WebSocket, opened, "the upgrade is remembered")
		closeIt(s)
		s = dial(Polling)
		require.Equal(t, Polling, s.Transport(), "WebSocket is not among its transports")
		closeIt(s)

		broken = true
		s = dial()
		require.Equal(t, Polling, opened, "WebSocket fails now, and the session opens anyway")
		requireEcho(t, s, Text("x"))
		synctest.Wait()
		require.Equal(t, Polling, s.Transport())
		closeIt(s)
		broken = false
		s = dial()
		require.Equal(t, Polling, opened, "forgotten")
		closeIt(s)
		memory.record(false) // the session may have been upgraded
		s = dial(WebSocket)
		closeIt(s)
		s = dial()
		require.Equal(t, WebSocket, opened, "a session that began with a WebSocket is remembered")
		go func() { _, _ = s.Read(t.Context()) }()
		synctest.Wait()
		_, server := n.last()
		require.NoError(t, ws.WriteFrame(server, ws.NewTextFrame([]byte("3")))) // a server must not send a pong
		<-s.Context().Done()
		require.False(t, memory.webSocketWorks(), "an error of the WebSocket forgets")
		closeIt(s)

		broken = true
		memory.record(true)
		_, err := Dial(t.Context(), "http://pipe", &DialOptions{Hint: &memory, HTTPClient: client, Transports: []Transport{WebSocket}})
		var refused *HandshakeError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusBadGateway, refused.Status)
		require.False(t, memory.webSocketWorks())
		memory.record(true)
		s, err = Dial(t.Context(), "http://pipe", &DialOptions{Hint: &memory, HTTPClient: client, NoUpgrade: true})
		require.NoError(t, err)
		require.Equal(t, Polling, s.Transport())
		closeIt(s)
	})
}

// pipeStream is a net.Pipe as the stream of a WebTransport session.
type pipeStream struct{ net.Conn }

func (pipeStream) CloseWrite() error { return nil }

// The memory is about WebSockets only. A session that fails on another stream does not clear it.
func TestTransportHintOutlastsAFailedWebTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var memory TransportHint
		memory.record(true)
		opened := make(chan error, 1)
		go func() {
			_, err := far.Read(make([]byte, 100)) // the client's open packet
			if err == nil {
				_, err = far.Write([]byte("\x43" + `0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`))
			}
			opened <- err
		}()
		s, err := Dial(t.Context(), "http://pipe", &DialOptions{
			Hint: &memory, Transports: []Transport{WebTransport},
			WebTransport: func(context.Context, *http.Request) (wtstream.Stream, *http.Response, error) {
				return pipeStream{near}, nil, nil
			},
		})
		require.NoError(t, err)
		require.NoError(t, <-opened)
		require.Equal(t, WebTransport, s.Transport())
		_, err = s.Read(t.Context()) // no ping comes
		require.ErrorContains(t, err, ReasonPingTimeout)
		require.True(t, memory.webSocketWorks())
		require.NoError(t, s.Close())
		require.NoError(t, far.Close())
	})
}

func TestPostsFitTheServersLimit(t *testing.T) {
	const limit = 100
	var mu sync.Mutex
	var posts []string
	var release chan struct{} // made in the bubble
	wrap := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPost {
				b, _ := io.ReadAll(r.Body)
				mu.Lock()
				posts = append(posts, string(b))
				mu.Unlock()
				<-release
				r.Body = io.NopCloser(strings.NewReader(string(b)))
			}
			h.ServeHTTP(w, r)
		})
	}
	read := HandlerFunc(func(ctx context.Context, s *Socket) {
		for {
			if _, err := s.Read(ctx); err != nil {
				return
			}
		}
	})
	inBubbleBehind(t, wrap, read, &ServerOptions{MaxPayload: limit}, func(t *testing.T, _ *Server, client *http.Client) {
		release = make(chan struct{})
		s, err := Dial(t.Context(), "http://pipe", &DialOptions{Transports: []Transport{Polling}, HTTPClient: client})
		require.NoError(t, err)
		write := func(m Message) { require.NoError(t, s.Write(t.Context(), m)) }
		write(Text("first"))
		synctest.Wait() // the POST is in progress; the messages below wait
		// 49 bytes with the type, a separator, and 50 bytes: exactly the limit.
		write(Text(strings.Repeat("a", 48)))
		write(Text(strings.Repeat("b", 49)))
		// One byte more in total, so the two messages do not fit into one POST: "b" and 48 bytes of base64, a
		// separator, 51 bytes.
		write(Binary(make([]byte, 36)))
		write(Text(strings.Repeat("c", 50)))
		write(Text("d"))
		// The limit counts bytes, not characters: 1+3*33 alone is the limit.
		write(Text(strings.Repeat("€", 33)))
		write(Text("e"))
		close(release)
		require.NoError(t, s.Flush(t.Context()))
		require.Equal(t, []string{
			"4first",
			"4" + strings.Repeat("a", 48) + "\x1e4" + strings.Repeat("b", 49),
			"b" + strings.Repeat("A", 48),
			"4" + strings.Repeat("c", 50) + "\x1e4d",
			"4" + strings.Repeat("€", 33),
			"4e",
		}, posts)
		require.Len(t, posts[1], limit)

		// A message that no POST can carry is an error, and the session continues.
		mu.Lock()
		posts = nil
		mu.Unlock()
		for _, m := range []Message{Text(strings.Repeat("x", limit)), Binary(make([]byte, 75)), Text(strings.Repeat("€", 34))} {
			require.ErrorIs(t, s.Write(t.Context(), m), ErrTooLarge)
			require.ErrorIs(t, s.TryWrite(m), ErrTooLarge)
			require.ErrorIs(t, s.TryWrite(Text("z"), m), ErrTooLarge, "all or none")
		}
		write(Text(strings.Repeat("x", limit-1)))
		write(Text("y"))
		require.NoError(t, s.Flush(t.Context()))
		require.Equal(t, []string{"4" + strings.Repeat("x", limit-1), "4y"}, posts)
		s.Abort(nil)
		require.NoError(t, s.Close())
	})
}

// Timers stop while a machine sleeps; only the wall clock shows the sleep.
func TestClientNoticesThatItSlept(t *testing.T) {
	for name, call := range map[string]func(t *testing.T, s *Socket) error{
		"Write":    func(t *testing.T, s *Socket) error { return s.Write(t.Context(), Text("x")) },
		"TryWrite": func(_ *testing.T, s *Socket) error { return s.TryWrite(Text("x")) },
		"Read": func(t *testing.T, s *Socket) error {
			_, err := s.Read(t.Context())
			return err
		},
		"Write while another waits in Read": func(t *testing.T, s *Socket) error {
			s.Discard()
			synctest.Wait()
			if err := s.Write(t.Context(), Text("x")); err == nil {
				return errors.New("written")
			}
			<-s.Context().Done()
			return context.Cause(s.Context())
		},
	} {
		for _, rev := range []Revision{Revision3, Revision4} {
			for _, transport := range []Transport{Polling, WebSocket} {
				t.Run(fmt.Sprintf("%s revision %d %s", name, rev, transport), func(t *testing.T) {
					inBubble(t, echo, bothRevisions(), func(t *testing.T, _ *Server, client *http.Client) {
						start := time.Now()
						s, err := Dial(t.Context(), "http://pipe", &DialOptions{Revision: rev, Transports: []Transport{transport}, HTTPClient: client})
						require.NoError(t, err)
						requireEcho(t, s, Text("awake"))
						s.ElapseWallClock(45*time.Second - 1)
						requireEcho(t, s, Text("a nap"))
						s.ElapseWallClock(2)
						err = call(t, s)
						var closed *CloseError
						require.ErrorAs(t, err, &closed)
						require.Equal(t, ReasonPingTimeout, closed.Reason)
						require.True(t, closed.Remote)
						require.Zero(t, time.Since(start), "at once")
						require.NoError(t, s.Close())
					})
				})
			}
		}
	}
}
