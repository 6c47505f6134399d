package engineio_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func TestDeflateNegotiation(t *testing.T) {
	const agreed = "permessage-deflate;server_no_context_takeover;client_no_context_takeover"
	for _, on := range []bool{false, true} {
		ts := newTestServer(t, echoHandler, &engineio.ServerOptions{PerMessageDeflate: on})
		for offer, want := range map[string]string{
			"":                   "",
			"permessage-deflate": agreed,
			"permessage-deflate; client_max_window_bits":                                 agreed,
			"permessage-deflate; client_max_window_bits=9":                               agreed,
			"permessage-deflate; server_no_context_takeover":                             agreed,
			"permessage-deflate; client_no_context_takeover; server_no_context_takeover": agreed,
			"x-webkit-deflate-frame, permessage-deflate":                                 agreed,
			"permessage-deflate, permessage-deflate; client_max_window_bits":             agreed,
			"permessage-deflate; server_max_window_bits=10, permessage-deflate":          agreed,
			"permessage-deflate; server_max_window_bits=10":                              "", // our window is larger
			"x-webkit-deflate-frame":                                                     "",
			"permessage-deflate; server_max_window_bits=16":                              "",
			"permessage-deflate; server_max_window_bits":                                 "",
			"permessage-deflate; server_no_context_takeover=1":                           "",
			"permessage-deflate; no_such_parameter":                                      "",
			"permessage-deflate; no_such_parameter, permessage-deflate":                  agreed,
			"permessage-deflate; client_no_context_takeover; client_no_context_takeover": "",
		} {
			var header []string
			if offer != "" {
				header = []string{"Sec-WebSocket-Extensions", offer}
			}
			resp, wc := ts.handshake("EIO=4&transport=websocket", header...)
			require.Equal(t, http.StatusSwitchingProtocols, resp.status, offer)
			if !on {
				want = ""
			}
			require.Equal(t, want, strings.Join(resp.header.Values("Sec-WebSocket-Extensions"), "|"), offer)
			wc.readText()
			wc.requireEcho("works")
			require.NoError(t, wc.conn.Close())
		}
		resp, wc := ts.handshake("EIO=4&transport=websocket", "Sec-WebSocket-Extensions", "permessage-deflate; x=\"")
		require.Equal(t, on, resp.status == http.StatusBadRequest)
		require.NoError(t, wc.conn.Close())
	}
}

func TestDeflateAnswersToAClient(t *testing.T) {
	for answer, want := range map[string]struct{ offered, notOffered string }{
		"": {"plain", "plain"},
		"permessage-deflate; server_no_context_takeover":                                {"compressed", "refused"},
		"permessage-deflate; server_no_context_takeover; client_no_context_takeover":    {"compressed", "refused"},
		"permessage-deflate; server_no_context_takeover; server_max_window_bits=\"12\"": {"compressed", "refused"},
		"permessage-deflate": {"refused", "refused"}, // the server would keep its context, so the client would need one too
		"permessage-deflate; server_no_context_takeover; client_max_window_bits=10": {"refused", "refused"},
		"permessage-deflate; server_no_context_takeover; other":                     {"refused", "refused"},
		"permessage-deflate; server_no_context_takeover, permessage-deflate":        {"refused", "refused"},
		"x-webkit-deflate-frame": {"refused", "refused"},
		"permessage-deflate; server_no_context_takeover; server_max_window_bits=\"12\" \"": {"refused", "refused"},
	} {
		for _, offered := range []bool{false, true} {
			var offer string
			var packed bool
			wrap := func(http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					offer = r.Header.Get("Sec-WebSocket-Extensions")
					u := ws.HTTPUpgrader{Header: http.Header{}}
					if answer != "" {
						u.Header.Set("Sec-WebSocket-Extensions", answer)
					}
					conn, _, _, err := u.Upgrade(r, w)
					if err != nil {
						return
					}
					_ = ws.WriteFrame(conn, ws.NewTextFrame([]byte(`0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000}`)))
					if f, err := ws.ReadFrame(conn); err == nil {
						packed = f.Header.Rsv == rsv1
					}
					_, _ = io.Copy(io.Discard, conn)
					_ = conn.Close()
				})
			}
			inBubbleBehind(t, wrap, echoHandler, nil, func(t *testing.T, ts *testServer) {
				s, err := engineio.Dial(t.Context(), "http://pipe", &engineio.DialOptions{Transports: []engineio.Transport{engineio.WebSocket}, HTTPClient: ts.client, PerMessageDeflate: offered})
				expected, expectedOffer := want.notOffered, ""
				if offered {
					expected, expectedOffer = want.offered, "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
				}
				require.Equal(t, expectedOffer, offer)
				if expected == "refused" {
					var refused *engineio.HandshakeError
					require.ErrorAs(t, err, &refused, answer)
					require.Equal(t, http.StatusSwitchingProtocols, refused.Status)
					return
				}
				require.NoError(t, err, answer)
				require.NoError(t, s.Write(t.Context(), engineio.Text(strings.Repeat("long ", 1000))))
				synctest.Wait()
				require.Equal(t, expected == "compressed", packed)
				s.Abort(nil)
				require.NoError(t, s.Close())
			})
		}
	}
}

func TestWhatIsCompressed(t *testing.T) {
	long := strings.Repeat("compressible ", 100)
	noise := make([]byte, 160_000)
	_, _ = rand.Read(noise)
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for name, tt := range map[string]struct {
			m    engineio.Message
			want bool
		}{
			"long text":            {engineio.Text(long), true},
			"long binary":          {engineio.Binary([]byte(long)), true},
			"at the threshold":     {engineio.Text(long[:1023]), true}, // 1024 bytes with the type
			"below the threshold":  {engineio.Text(long[:1022]), false},
			"short binary":         {engineio.Binary([]byte(long[:1022])), false},
			"empty":                {engineio.Text(""), false},
			"as it is":             {engineio.Message{Data: []byte(long), NoCompression: true}, false},
			"bytes as they are":    {engineio.Message{Binary: true, Data: []byte(long), NoCompression: true}, false},
			"noise":                {engineio.Binary(noise[:4000]), false},
			"larger than a batch":  {engineio.Text(strings.Repeat(long, 100)), true},
			"large and stays so":   {engineio.Binary(noise), false},
			"prepared long text":   {engineio.Prepare(engineio.Text(long)), true},
			"prepared long binary": {engineio.Prepare(engineio.Binary([]byte(long))), true},
			"prepared short text":  {engineio.Prepare(engineio.Text("x")), false},
			"prepared as it is":    {engineio.Prepare(engineio.Message{Data: []byte(long), NoCompression: true}), false},
			"prepared noise":       {engineio.Prepare(engineio.Binary(noise[:4000])), false},
		} {
			for _, how := range []string{"at once", "queued"} {
				t.Run(fmt.Sprintf("revision %d %s %s", rev, name, how), func(t *testing.T) {
					h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
						_, _ = s.Read(ctx)
						if how == "at once" {
							_ = s.Write(ctx, tt.m)
						} else {
							_ = s.TryWrite(tt.m)
						}
						_, _ = s.Read(ctx)
					})
					ts := newTestServer(t, h, &engineio.ServerOptions{PerMessageDeflate: true, Revisions: bothRevisions().Revisions})
					wc := ts.openDeflated(rev)
					wc.sendText("4go")
					f, err := wc.readFrame()
					require.NoError(t, err)
					require.True(t, f.Header.Fin)
					body := string(f.Payload)
					require.Equal(t, tt.want, f.Header.Rsv == rsv1)
					if tt.want {
						require.Less(t, len(body), len(tt.m.Data))
						body, err = unpacked(body)
						require.NoError(t, err)
					} else {
						require.Zero(t, f.Header.Rsv)
					}
					p := packet.Packet{Type: packet.Message, Binary: tt.m.Binary, Data: tt.m.Data}
					require.Equal(t, frameBody(rev, p), body)
					require.NoError(t, wc.conn.Close())
				})
			}
		}
	}
}

func TestDeflateBothEnds(t *testing.T) {
	var received, sent atomic.Int64
	opts := &engineio.ServerOptions{PerMessageDeflate: true, Revisions: bothRevisions().Revisions, CompressionThreshold: 1}
	ts := newTestServer(t, echoHandler, opts, func(web *httptest.Server) {
		web.Listener = meteredListener{web.Listener, &received, &sent}
	})
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for _, base64 := range []bool{false, true} {
			s, err := engineio.Dial(testContext(t), ts.url, &engineio.DialOptions{
				Revision: rev, Transports: []engineio.Transport{engineio.WebSocket}, PerMessageDeflate: true, Base64: base64,
			})
			require.NoError(t, err)
			for _, m := range []engineio.Message{
				engineio.Text(""), engineio.Binary([]byte{}), engineio.Text("short"), engineio.Text("é€😀"), engineio.Binary([]byte{0, 255}),
				engineio.Text(strings.Repeat("é€😀", 1000)), engineio.Binary(bytes.Repeat([]byte{0, 255}, 1000)), engineio.Prepare(engineio.Text(strings.Repeat("p", 2000))),
			} {
				requireEcho(t, s, m)
			}
			received.Store(0)
			sent.Store(0)
			requireEcho(t, s, engineio.Text(strings.Repeat("0123456789", 50_000)))
			requireEcho(t, s, engineio.Binary(make([]byte, 500_000)))
			require.Less(t, received.Load(), int64(50_000))
			require.Less(t, sent.Load(), int64(50_000))
			require.NoError(t, s.Close())
		}
	}
	// An upgrade enables compression too.
	s, err := engineio.Dial(testContext(t), ts.url, &engineio.DialOptions{PerMessageDeflate: true})
	require.NoError(t, err)
	for i := 0; s.Transport() != engineio.WebSocket; i++ {
		requireEcho(t, s, engineio.Text(fmt.Sprint(i)))
	}
	requireEcho(t, s, engineio.Text("over the WebSocket")) // so the server has moved there too
	received.Store(0)
	sent.Store(0)
	requireEcho(t, s, engineio.Text(strings.Repeat("x", 5000)))
	require.Less(t, received.Load(), int64(1000))
	require.Less(t, sent.Load(), int64(1000))
	require.NoError(t, s.Close())
}

// meteredListener counts the bytes of its connections. These connections are not plain sockets.
type meteredListener struct {
	net.Listener
	received, sent *atomic.Int64
}

func (l meteredListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	return meteredConn{conn, l}, err
}

type meteredConn struct {
	net.Conn
	l meteredListener
}

func (c meteredConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.l.received.Add(int64(n))
	return n, err
}

func (c meteredConn) Write(p []byte) (int, error) {
	n, err := c.Conn.Write(p)
	c.l.sent.Add(int64(n))
	return n, err
}

func TestCompressedFramesThatAreAccepted(t *testing.T) {
	const limit = 100_000
	first := func(op ws.OpCode, fin bool) ws.Header { return ws.Header{Fin: fin, OpCode: op, Rsv: rsv1} }
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{PerMessageDeflate: true, CompressionThreshold: 1 << 20, MaxPayload: limit})
	wc := ts.openDeflated(engineio.Revision4)
	expect := func(op ws.OpCode, body string) {
		t.Helper()
		f, err := wc.readFrame()
		require.NoError(t, err)
		require.Equal(t, op, f.Header.OpCode)
		require.Equal(t, body, string(f.Payload))
	}
	text := "4" + strings.Repeat("text ", 100)
	wc.sendFrame(first(ws.OpText, true), packed(t, text))
	expect(ws.OpText, text)

	z := packed(t, text)
	wc.sendFrame(first(ws.OpText, false), z[:5])
	wc.sendFrame(ws.Header{OpCode: ws.OpContinuation}, "")
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, "between")
	wc.sendFrame(ws.Header{OpCode: ws.OpContinuation}, z[5:6])
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpContinuation}, z[6:])
	expect(ws.OpPong, "between")
	expect(ws.OpText, text)

	wc.sendText("4plain")
	expect(ws.OpText, "4plain")
	wc.sendFrame(ws.Header{OpCode: ws.OpText}, "4pl")
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpContinuation}, "ain")
	expect(ws.OpText, "4plain")

	wc.sendFrame(first(ws.OpBinary, true), "\x00") // an empty message, in the form of RFC 7692, 7.2.3.6
	expect(ws.OpBinary, "")

	// A final block with a zero byte after it, as in RFC 7692, 7.2.3.4, and a final block that ends the message.
	var b bytes.Buffer
	final, err := flate.NewWriter(&b, 1)
	require.NoError(t, err)
	_, _ = io.WriteString(final, text)
	require.NoError(t, final.Close())
	wc.sendFrame(first(ws.OpText, true), b.String()+"\x00")
	expect(ws.OpText, text)
	wc.sendFrame(first(ws.OpText, true), b.String())
	expect(ws.OpText, text)
	wc.sendFrame(first(ws.OpText, true), "\x00\x07\x00\xf8\xff4stored\x00") // a stored block
	expect(ws.OpText, "4stored")

	largest := "4" + strings.Repeat("x", limit-1)
	wc.sendFrame(first(ws.OpText, true), packed(t, largest))
	expect(ws.OpText, largest)
	require.NoError(t, wc.conn.Close())
}

func TestCompressedFramesThatAreRefused(t *testing.T) {
	const limit = 100_000
	good := packed(t, "4hello")
	for name, tt := range map[string]struct {
		plain bool // the extension is off
		send  func(wc *webSocketClient)
		want  string
	}{
		"not negotiated":  {true, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, good) }, "close 1002"},
		"RSV2":            {false, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 2}, good) }, "close 1002"},
		"RSV3":            {false, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 1}, good) }, "close 1002"},
		"RSV1 and RSV2":   {false, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 6}, good) }, "close 1002"},
		"RSV1 on a ping":  {false, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpPing, Rsv: 4}, "x") }, "close 1002"},
		"RSV1 on a close": {false, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpClose, Rsv: 4}, "") }, "close 1002"},
		"RSV1 on the second frame": {false, func(wc *webSocketClient) {
			wc.sendFrame(ws.Header{OpCode: ws.OpText, Rsv: 4}, good[:3])
			wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpContinuation, Rsv: 4}, good[3:])
		}, "close 1002"},
		"nothing": {false, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, "") }, "close 1007"},
		"garbage": {false, func(wc *webSocketClient) {
			wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, "\xff\xff\xff")
		}, "close 1007"},
		"cut off": {false, func(wc *webSocketClient) { wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, "\x04\xc1") }, "close 1007"},
		"no UTF-8": {false, func(wc *webSocketClient) {
			wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, packed(t, "4\xff"))
		}, "close 1007"},
		"no packet": {false, func(wc *webSocketClient) {
			wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, packed(t, "abc"))
		}, "close"},
		"one byte too many": {false, func(wc *webSocketClient) {
			wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, packed(t, "4"+strings.Repeat("x", limit)))
		}, "close 1009"},
		"too large compressed": {false, func(wc *webSocketClient) {
			_ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: 4}, strings.Repeat("\x00", limit+1))
		}, "close 1009"},
	} {
		t.Run(name, func(t *testing.T) {
			ts := newTestServer(t, echoHandler, &engineio.ServerOptions{PerMessageDeflate: true, MaxPayload: limit})
			wc := ts.openDeflated(engineio.Revision4)
			if tt.plain {
				require.NoError(t, wc.conn.Close())
				wc, _ = ts.openWebSocket(engineio.Revision4)
			}
			wc.requireEcho("before")
			tt.send(wc)
			require.Equal(t, tt.want, wc.readEnd())
		})
	}
}
