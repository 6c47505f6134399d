package engineio_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/wtstream"
)

// noWebSocket rejects WebSockets in front of a server that offers them.
var noWebSocket = intercept(func(w http.ResponseWriter, r *http.Request) bool {
	if isUpgrade(r) {
		http.Error(w, "not here", http.StatusBadGateway)
	}
	return isUpgrade(r)
})

func TestTryAllTransports(t *testing.T) {
	both, reverse := []engineio.Transport{engineio.Polling, engineio.WebSocket}, []engineio.Transport{engineio.WebSocket, engineio.Polling}
	t.Run("the second one works", func(t *testing.T) {
		for _, only := range both {
			for _, order := range [][]engineio.Transport{both, reverse} {
				inBubble(t, echoHandler, &engineio.ServerOptions{Transports: []engineio.Transport{only}}, func(t *testing.T, ts *testServer) {
					s := ts.connect(&engineio.DialOptions{Transports: order, TryAllTransports: true})
					require.Equal(t, only, s.Transport())
					requireEcho(t, s, engineio.Text("x"))
					require.NoError(t, s.Close())

					s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Transports: order, HTTPClient: ts.client})
					if order[0] == only {
						require.NoError(t, err)
						require.NoError(t, s.Close())
						return
					}
					var refused *engineio.HandshakeError
					require.ErrorAs(t, err, &refused)
					require.Equal(t, engineio.HandshakeError{400, engineio.CodeUnknownTransport, "Transport unknown"}, *refused)
				})
			}
		}
	})
	t.Run("a failed upgrade does not count", func(t *testing.T) {
		var requests recorder[*http.Request]
		wrap := func(h http.Handler) http.Handler { return recordRequests(&requests)(noWebSocket(h)) }
		inBubbleBehind(t, wrap, echoHandler, nil, func(t *testing.T, ts *testServer) {
			s := ts.connect(&engineio.DialOptions{Transports: reverse, TryAllTransports: true})
			requireEcho(t, s, engineio.Text("x"))
			synctest.Wait()
			require.Equal(t, engineio.Polling, s.Transport())
			require.Equal(t, 1, kinds(&requests)["websocket"])
			require.NoError(t, s.Close())
		})
	})
	t.Run("none works", func(t *testing.T) {
		refuse := intercept(func(w http.ResponseWriter, r *http.Request) bool {
			w.WriteHeader(http.StatusForbidden)
			_, _ = io.WriteString(w, `{"code":4,"message":"no `+r.URL.Query().Get("transport")+`"}`)
			return true
		})
		inBubbleBehind(t, refuse, echoHandler, nil, func(t *testing.T, ts *testServer) {
			_, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Transports: reverse, TryAllTransports: true, HTTPClient: ts.client})
			var refused *engineio.HandshakeError
			require.ErrorAs(t, err, &refused)
			require.Equal(t, engineio.HandshakeError{403, engineio.CodeForbidden, "no websocket"}, *refused)
			require.ErrorContains(t, err, "websocket: engineio: handshake rejected: no websocket (code 4, HTTP status 403)")
			require.ErrorContains(t, err, "polling: engineio: handshake rejected: no polling")
		})
	})
	t.Run("the first one hangs", func(t *testing.T) {
		inBubbleBehind(t, hangingWebSockets, echoHandler, nil, func(t *testing.T, ts *testServer) {
			start := time.Now()
			o := &engineio.DialOptions{Transports: reverse, TryAllTransports: true, HTTPClient: ts.client, UpgradeTimeout: 3 * time.Second}
			s, err := engineio.Dial(t.Context(), "http://pipe", o)
			require.NoError(t, err)
			require.Equal(t, 3*time.Second, time.Since(start))
			requireEcho(t, s, engineio.Text("x"))
			require.NoError(t, s.Close())

			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			_, err = engineio.Dial(ctx, "http://pipe", o)
			require.ErrorIs(t, err, context.DeadlineExceeded)
			require.NotContains(t, err.Error(), "polling:", "after the end of the context there are no further attempts")
			require.Equal(t, 4*time.Second, time.Since(start))
		})
	})
}

func TestTransportHint(t *testing.T) {
	var broken bool
	var opened engineio.Transport // the transport with which the last session opened, or tried to open
	wrap := func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if q := r.URL.Query(); !q.Has("sid") {
				opened = engineio.Transport(q.Get("transport"))
			}
			if broken {
				noWebSocket(h).ServeHTTP(w, r)
			} else {
				h.ServeHTTP(w, r)
			}
		})
	}
	inBubbleBehind(t, wrap, echoHandler, nil, func(t *testing.T, ts *testServer) {
		var memory engineio.TransportHint
		dial := func(transports ...engineio.Transport) *engineio.Socket {
			s := ts.connect(&engineio.DialOptions{Hint: &memory, Transports: transports})
			return s
		}
		closeIt := func(s *engineio.Socket) {
			require.NoError(t, s.Close())
			time.Sleep(engineio.LastPollTimeout) // the server waits for a last poll
			synctest.Wait()
		}
		s := dial()
		require.Equal(t, engineio.Polling, opened, "the client knows no server yet")
		go func() { _, _ = s.Read(t.Context()) }()
		synctest.Wait()
		require.Equal(t, engineio.WebSocket, s.Transport())
		closeIt(s)
		s = dial()
		require.Equal(t, engineio.WebSocket, opened, "the upgrade is remembered")
		closeIt(s)
		s = dial(engineio.Polling)
		require.Equal(t, engineio.Polling, s.Transport(), "WebSocket is not among its transports")
		closeIt(s)

		broken = true
		s = dial()
		require.Equal(t, engineio.Polling, opened, "WebSocket fails now, and the session opens anyway")
		requireEcho(t, s, engineio.Text("x"))
		synctest.Wait()
		require.Equal(t, engineio.Polling, s.Transport())
		closeIt(s)
		broken = false
		s = dial()
		require.Equal(t, engineio.Polling, opened, "forgotten")
		closeIt(s)
		memory.Record(false) // the session may have been upgraded
		s = dial(engineio.WebSocket)
		closeIt(s)
		s = dial()
		require.Equal(t, engineio.WebSocket, opened, "a session that began with a WebSocket is remembered")
		go func() { _, _ = s.Read(t.Context()) }()
		synctest.Wait()
		_, server := ts.net.last()
		require.NoError(t, ws.WriteFrame(server, ws.NewTextFrame([]byte("3")))) // a server must not send a pong
		<-s.Context().Done()
		require.False(t, memory.Works(), "an error of the WebSocket forgets")
		closeIt(s)

		broken = true
		memory.Record(true)
		_, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Hint: &memory, HTTPClient: ts.client, Transports: []engineio.Transport{engineio.WebSocket}})
		var refused *engineio.HandshakeError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, http.StatusBadGateway, refused.Status)
		require.False(t, memory.Works())
		memory.Record(true)
		s, err = engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Hint: &memory, HTTPClient: ts.client, NoUpgrade: true})
		require.NoError(t, err)
		require.Equal(t, engineio.Polling, s.Transport())
		closeIt(s)
	})
}

// The memory is about WebSockets only. A session that fails on another stream does not clear it.
func TestTransportHintOutlastsAFailedWebTransport(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		var memory engineio.TransportHint
		memory.Record(true)
		opened := make(chan error, 1)
		go func() {
			_, err := far.Read(make([]byte, 100)) // the client's open packet
			if err == nil {
				const open = `0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`
				_, err = far.Write(append([]byte{byte(len(open))}, open...))
			}
			opened <- err
		}()
		s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{
			Hint: &memory, Transports: []engineio.Transport{engineio.WebTransport},
			WebTransport: func(context.Context, *http.Request) (wtstream.Stream, *http.Response, error) {
				return pipeStream{near}, nil, nil
			},
		})
		require.NoError(t, err)
		require.NoError(t, <-opened)
		require.Equal(t, engineio.WebTransport, s.Transport())
		_, err = s.Read(t.Context()) // no ping comes
		require.ErrorContains(t, err, engineio.ReasonPingTimeout)
		require.True(t, memory.Works())
		require.NoError(t, s.Close())
		require.NoError(t, far.Close())
	})
}

// pipeStream is a net.Pipe as the stream of a WebTransport session.
type pipeStream struct{ net.Conn }

func (pipeStream) CloseWrite() error { return nil }
