package engineio_test

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// Close of a client sends the queue by the transport that is available at that moment.
func TestClientsCloseDuringAnUpgrade(t *testing.T) {
	queue := func(t *testing.T, s *engineio.Socket) chan error {
		require.NoError(t, s.Write(t.Context(), engineio.Text("queued")))
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		synctest.Wait()
		return closed
	}
	t.Run("handshake unanswered", func(t *testing.T) {
		var requests recorder[*http.Request]
		hang := func(h http.Handler) http.Handler { return recordRequests(&requests)(hangingWebSockets(h)) }
		var got []string
		read := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
			for {
				m, err := s.Read(ctx)
				if err != nil {
					got = append(got, err.Error())
					return
				}
				got = append(got, string(m.Data))
			}
		})
		inBubbleBehind(t, hang, read, nil, func(t *testing.T, ts *testServer) {
			start := time.Now()
			s := ts.connect(nil)
			synctest.Wait()
			require.Equal(t, 1, kinds(&requests)["websocket"])
			require.NoError(t, <-queue(t, s))
			require.Zero(t, time.Since(start))
			synctest.Wait()
			require.Equal(t, []string{"queued", "engineio: session ended by the peer: transport close"}, got)
		})
	})
	t.Run("probe unanswered", func(t *testing.T) {
		line := func(fs *fakeServer, wc *fakeWebSocket) {
			fs.received <- wc.readText()
			fs.received <- wc.readText()
		}
		inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, _ <-chan string) {
			start := time.Now()
			<-fs.polls
			require.Equal(t, "2probe", <-fs.received)
			require.NoError(t, <-queue(t, s))
			require.Regexp(t, `^4queued[|\x1e]1$`, fs.posted())
			require.Empty(t, <-fs.received, "the WebSocket is closed")
			require.Zero(t, time.Since(start))
		})
	})
	t.Run("probe answered", func(t *testing.T) {
		line := func(fs *fakeServer, wc *fakeWebSocket) {
			fs.received <- wc.readText()
			_ = wc.sendText("3probe")
			fs.received <- wc.readText()
			fs.received <- wc.readText()
			fs.received <- "close frame" + wc.readText()
			_, _ = wc.conn.Write([]byte{0x88, 0})
			_, _ = io.Copy(io.Discard, wc.conn)
		}
		inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, _ <-chan string) {
			start := time.Now()
			poll := <-fs.polls
			require.Equal(t, "2probe", <-fs.received)
			synctest.Wait()
			closed := queue(t, s)
			require.Empty(t, fs.received)
			require.Empty(t, closed)
			poll <- "6"
			require.Equal(t, "5", <-fs.received)
			require.Equal(t, "4queued", <-fs.received)
			require.Equal(t, "close frame", <-fs.received)
			require.NoError(t, <-closed)
			require.Empty(t, fs.posted())
			require.Zero(t, time.Since(start))
		})
	})
	t.Run("poll never released", func(t *testing.T) {
		line := func(fs *fakeServer, wc *fakeWebSocket) {
			fs.received <- wc.readText()
			_ = wc.sendText("3probe")
			fs.received <- wc.readText()
		}
		inFakeServer(t, line, nil, func(t *testing.T, fs *fakeServer, s *engineio.Socket, _ <-chan string) {
			start := time.Now()
			<-fs.polls
			require.Equal(t, "2probe", <-fs.received)
			synctest.Wait()
			require.NoError(t, <-queue(t, s))
			require.Equal(t, engineio.DefaultUpgradeTimeout, time.Since(start))
			require.Regexp(t, `^4queued[|\x1e]1$`, fs.posted(), "polling goes on when the upgrade has failed")
			require.Empty(t, <-fs.received, "the WebSocket is closed")
		})
	})
}

// A canceled Dial leaves nothing behind, at whatever step it was canceled.
func TestDialGivenUp(t *testing.T) {
	silent := func(http.ResponseWriter, *http.Request) io.Closer { return nil }
	accept := func(then ...byte) func(http.ResponseWriter, *http.Request) io.Closer {
		return func(w http.ResponseWriter, r *http.Request) io.Closer {
			conn, _, _, err := ws.UpgradeHTTP(r, w)
			if err != nil {
				return nil
			}
			if len(then) > 0 {
				_, _ = conn.Write(then)
			}
			return conn
		}
	}
	for name, tt := range map[string]struct {
		transport engineio.Transport
		answer    func(http.ResponseWriter, *http.Request) io.Closer
	}{
		"no answer to a poll": {engineio.Polling, silent},
		"half an answer to a poll": {engineio.Polling, func(w http.ResponseWriter, _ *http.Request) io.Closer {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "0{")
			_ = http.NewResponseController(w).Flush()
			return nil
		}},
		"no answer to a handshake":   {engineio.WebSocket, silent},
		"a WebSocket without a word": {engineio.WebSocket, accept()},
		"half a frame":               {engineio.WebSocket, accept(0x81, 100, '0')},
	} {
		t.Run(name, func(t *testing.T) {
			wrap := func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if conn := tt.answer(w, r); conn != nil {
						time.Sleep(time.Minute)
						_ = conn.Close()
						return
					}
					<-r.Context().Done()
				})
			}
			inBubbleBehind(t, wrap, echoHandler, nil, func(t *testing.T, ts *testServer) {
				ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
				defer cancel()
				start := time.Now()
				_, err := engineio.Dial(ctx, "http://pipe", &engineio.DialOptions{Transports: []engineio.Transport{tt.transport}, HTTPClient: ts.client})
				require.ErrorIs(t, err, context.DeadlineExceeded)
				require.Equal(t, 3*time.Second, time.Since(start))
				time.Sleep(time.Minute)
			})
		})
	}
}
