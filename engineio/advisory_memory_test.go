package engineio_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// The tests of this file cover published faults of other implementations. docs/security.md lists them all.
// These tests check how much memory a peer can make a server use.

// The server rejects a POST with too many tiny packets, and allocates little memory for it.
// Advisories: CVE-2020-36048
func TestPayloadOfTinyPackets(t *testing.T) {
	ts := newTestServer(t, idle, bothRevisions())
	others := ts.bystandersOf(2)
	for _, c := range []struct {
		name, contentType, packet string
		rev                       engineio.Revision
	}{
		{"revision 3 text", "text/plain", "1:6", engineio.Revision3},
		{"revision 3 binary", "application/octet-stream", "\x00\x01\xff6", engineio.Revision3},
		{"revision 4", "text/plain", "6\x1e", engineio.Revision4},
	} {
		t.Run(c.name, func(t *testing.T) {
			pc := ts.openPolling(c.rev)
			post := func(n int) response {
				body := strings.TrimSuffix(strings.Repeat(c.packet, n), "\x1e")
				return ts.request("POST", pc.query, strings.NewReader(body), "Content-Type", c.contentType)
			}
			require.Equal(t, "200 ok", post(packet.MaxPackets).summary(), "bursts of stock clients pass")
			interoptest.RequireAllocates(t, 16<<20, func() { require.Equal(t, "400 ", post(1_000_000/len(c.packet)).summary()) })
			require.Len(t, ts.srv.Sockets(), others)
		})
	}
	resp := ts.request("POST", ts.openPolling(engineio.Revision3).query, io.LimitReader(endless{}, 100<<20))
	if resp.err == nil {
		require.Equal(t, "413 ", resp.summary())
	}
}

// A body in many chunks costs no more than its bytes.
// Advisories: engine.io 6.6.13
func TestManyChunks(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	pc := ts.openPolling(engineio.Revision4)
	conn := ts.dial()
	const chunks = 50_000
	_, err := fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n4\r\n", pc.query)
	require.NoError(t, err)
	interoptest.RequireAllocates(t, 4<<20, func() { // the test's own bytes too
		_, err = io.WriteString(conn, strings.Repeat("1\r\nx\r\n", chunks)+"0\r\n\r\n")
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
	})
	require.Equal(t, "200 4"+strings.Repeat("x", chunks), pc.poll().summary())
	require.NoError(t, conn.Close())
}

// bystandersOf opens n sessions and returns n.
func (ts *testServer) bystandersOf(n int) int {
	for range n {
		ts.openPolling(engineio.Revision4)
	}
	return n
}

// The server does not allocate memory for a claimed length before the bytes arrive.
// Advisories: CVE-2020-36049
func TestClaimedLengthOfMessages(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	pc := ts.openPolling(engineio.Revision4)
	const n = 100
	lines := make([]*webSocketClient, n)
	for i := range lines {
		if rev := engineio.Revision3 + engineio.Revision(i%2); i%4 < 2 {
			lines[i], _ = ts.openWebSocket(rev)
		} else {
			lines[i] = ts.webSocket(strings.Replace(ts.openPolling(rev).query, "polling", "websocket", 1))
		}
	}
	claim := masked(0x81, "4"+strings.Repeat("x", 999_998))[:15] // the length is 999,999 bytes; one byte is sent
	interoptest.RequireHeapGrows(t, n*2*80<<10, func() {
		for _, wc := range lines {
			_, err := io.WriteString(wc.conn, claim)
			require.NoError(t, err)
			conn := ts.sendHead("POST", ts.openPolling(engineio.Revision4).query, "Content-Length: 999999\r\n\r\n4")
			t.Cleanup(func() { _ = conn.Close() })
		}
		pc.requireEcho("the hub has received the earlier messages")
	})
	for _, wc := range lines {
		require.NoError(t, wc.conn.Close())
	}
}

// A compressed message may inflate to a thousand times its size. The inflated bytes are bounded and counted like
// received bytes.
// Advisories: CVE-2026-27571
func TestInflateLimit(t *testing.T) {
	const bombs = 20
	megabyte := packed(t, strings.Repeat("x", 1<<20)) + deflateTail
	bomb := strings.TrimSuffix(packed(t, "4")+deflateTail+strings.Repeat(megabyte, 32), deflateTail)
	require.Less(t, len(bomb), 50_000)
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{
		Revisions: []engineio.Revision{3, 4}, PerMessageDeflate: true, MaxPayload: 1 << 20, ReceiveLimit: 1 << 20,
		UpgradeTimeout: time.Minute, // an abandoned upgrade gets no close frame
	})
	interoptest.RequireAllocates(t, bombs*4<<20, func() { // of 32 MB each
		for i := range bombs {
			wc := ts.openDeflated(engineio.Revision3 + engineio.Revision(i%2))
			wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: rsv1}, bomb)
			require.Equal(t, "close 1009", wc.readEnd())
		}
	})

	// Before the session has moved to a WebSocket, the limit is lower, because only a probe may come.
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		pc := ts.openPolling(rev)
		resp, wc := ts.handshake(strings.Replace(pc.query, "polling", "websocket", 1), "Sec-WebSocket-Extensions", "permessage-deflate")
		require.Equal(t, http.StatusSwitchingProtocols, resp.status)
		wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText, Rsv: rsv1}, packed(t, "2"+strings.Repeat("x", 2*receivelimit.Free)))
		require.Equal(t, "close 1009", wc.readEnd())
		pc.requireEcho("untouched")
	}
}

// By default, the server rejects a message above 1,000,000 bytes, on each transport.
// Advisories: CVE-2016-10542
func TestDefaultMessageLimit(t *testing.T) {
	opts := jsonpOptions()
	opts.Revisions = []engineio.Revision{3, 4}
	ts := newTestServer(t, echoHandler, opts)
	large := strings.Repeat("x", engineio.DefaultMaxPayload+1)
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		upgrading := ts.openPolling(rev)
		whole, _ := ts.openWebSocket(rev)
		fragments, _ := ts.openWebSocket(rev)
		probe := ts.webSocket(strings.Replace(upgrading.query, "polling", "websocket", 1))
		for _, wc := range []*webSocketClient{whole, fragments, probe} {
			go func() { // the server stops reading
				if wc == fragments {
					_ = wc.trySendFrame(ws.Header{OpCode: ws.OpBinary}, large[:engineio.DefaultMaxPayload])
					_ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpContinuation}, "x")
				} else {
					_ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpBinary}, large)
				}
			}()
			require.Equal(t, "close 1009", wc.readEnd())
		}
		upgrading.requireEcho("untouched")
		require.Equal(t, "413 ", upgrading.post(large).summary())
		require.Equal(t, "413 ", ts.openJSONP(rev, "0", "0").pollingClient.post("d="+large).summary())
	}
}

// The test opens many connections and sends messages of 1-byte fragments that it never finishes.
// Advisories: CVE-2026-48779
func TestUnfinishedFragments(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	const conns, fragments = 20, 10_000
	burst := masked(0x02, "x") + strings.Repeat(masked(0x00, "x"), fragments) + masked(0x89, "read")
	lines := make([]*webSocketClient, conns)
	for i := range lines {
		lines[i], _ = ts.openWebSocket(engineio.Revision3 + engineio.Revision(i%2))
	}
	interoptest.RequireHeapGrows(t, 2*conns*len(burst), func() { // twice the received bytes
		for _, wc := range lines {
			_, err := io.WriteString(wc.conn, burst)
			require.NoError(t, err)
			f, err := wc.readFrame()
			require.NoError(t, err)
			require.Equal(t, "read", string(f.Payload))
		}
	})
	for _, wc := range lines {
		require.NoError(t, wc.conn.Close())
	}

	// Before the session has moved to a WebSocket, the limit is lower, because a probe is short.
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		pc := ts.openPolling(rev)
		wc := ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1))
		go func() { // the server stops reading
			_, _ = io.WriteString(wc.conn, masked(0x01, "2")+strings.Repeat(masked(0x00, "x"), 2*receivelimit.Free))
		}()
		require.Equal(t, "close 1009", wc.readEnd())
		pc.requireEcho("untouched")
	}
}

// Without the extension, a compressed message is a protocol error, and the server does not inflate it.
// Advisories: CVE-2026-27571
func TestDeflateIsOffByDefault(t *testing.T) {
	ts := newTestServer(t, newEndRecorder(), nil)
	resp, wc := ts.handshake("EIO=4&transport=websocket", "Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover")
	require.Equal(t, http.StatusSwitchingProtocols, resp.status)
	require.Empty(t, resp.header.Values("Sec-WebSocket-Extensions"))
	_, err := io.WriteString(wc.conn, masked(0xc1, "\xaa\xaa\x04\x00"))
	require.NoError(t, err)
	require.Equal(t, "close 1002", wc.readEnd())
}

// The server never inflates the body of a POST, whatever its headers claim. So a compressed body cannot exhaust memory.
// Advisories: CVE-2026-27571
func TestPostsAreNotInflated(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, jsonpOptions())
	for _, coding := range []string{"gzip", "deflate"} {
		bomb := string(engineio.Compress(coding, []byte("4"+strings.Repeat("x", 900_000))))
		require.Less(t, len(bomb), 10_000)
		pc := ts.openPolling(engineio.Revision4)
		require.Equal(t, "400 ", pc.post(bomb, "Content-Encoding", coding).summary(), "taken as it is, which is no payload")
		require.Equal(t, "remote "+engineio.ReasonParseError, h.awaitEnd(pc.sid))
		j := ts.openJSONP(engineio.Revision4, "0", "0")
		require.Equal(t, "200 ok", j.pollingClient.post(bomb, "Content-Encoding", coding).summary(), "a form without a payload")
		require.Equal(t, "200 ok", j.post("4alive").summary())
		require.Equal(t, "4alive", j.poll())
	}
}

// A client inflates the response to a poll only up to its limit.
// Advisories: CVE-2026-27571
func TestPollInflateLimit(t *testing.T) {
	bomb := engineio.Compress("gzip", []byte("4"+strings.Repeat("x", 64<<20)))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sid") == "" {
			_, _ = io.WriteString(w, `0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb)
	}))
	defer web.Close()
	s, err := engineio.Dial(t.Context(), web.URL, &engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}, MaxPayload: 100_000})
	require.NoError(t, err)
	interoptest.RequireAllocates(t, 2<<20, func() {
		_, err := s.Read(t.Context())
		require.ErrorIs(t, err, engineio.ErrTooLarge)
	})
}

// A session holds at most 64 KB of the request that opened it.
// Advisories: CVE-2026-33219
func TestHandshakeHeaderLimit(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	for _, header := range [][]string{
		{"Cookie", strings.Repeat("c", 100_000)},
		strings.Split(strings.TrimSuffix(strings.Repeat("X-A,"+strings.Repeat("v", 100)+",", 900), ","), ","),
	} {
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, ts.request("GET", polling4, nil, header...).status)
		resp, wc := ts.handshake("EIO=4&transport=websocket", header...)
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, resp.status)
		require.NoError(t, wc.conn.Close())
	}
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, ts.request("GET", polling4+"&x="+strings.Repeat("q", 100_000), nil).status)
	require.Empty(t, ts.srv.Sockets())
	require.Equal(t, 200, ts.request("GET", polling4, nil, "Cookie", strings.Repeat("c", 30_000)).status)
	require.Len(t, ts.srv.Sockets()[0].Request().Header.Get("Cookie"), 30_000)
}

// A message that the peer never finishes ends with its session: the server limits its bytes, and the number of its
// fragments costs nothing. The heartbeat of the session cannot arrive before the message ends. Therefore the time of a
// message has a limit too, however slowly the peer sends.
// Advisories: CVE-2026-33151, CVE-2026-69185, CVE-2026-48804, GHSA-55mf-67qm-4wpg
func TestUnfinishedMessages(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		h := newEndRecorder()
		inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
			start := time.Now()
			wc, sid := ts.openWebSocket(rev)
			go func() { _, _ = io.Copy(io.Discard, wc.r) }()
			_, err := io.WriteString(wc.conn, masked(0x02, "begun"))
			for n := 0; err == nil; n++ {
				drip := masked(0x00, "x") + masked(0x00, "") + masked(0x89, "still here") + masked(0x8a, "")
				_, err = io.WriteString(wc.conn, strings.Repeat(drip, 100))
				time.Sleep(time.Second)
				require.LessOrEqual(t, n, 50, "the session lives")
			}
			require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(sid))
			require.LessOrEqual(t, time.Since(start), engineio.DefaultPingInterval+engineio.DefaultPingTimeout+3*time.Second)
			require.NoError(t, wc.conn.Close())
			requireNothingLeft(t, ts.srv)

			// A POST that sends slowly has the same time.
			start = time.Now()
			pc := ts.openPolling(rev)
			conn := ts.sendHead("POST", pc.query, "Content-Length: 100000\r\n\r\n")
			go func() { _, _ = io.Copy(io.Discard, conn) }()
			for n := 0; pc.socket() != nil; n++ {
				_, _ = io.WriteString(conn, "4")
				time.Sleep(time.Second)
				require.LessOrEqual(t, n, 50, "the session lives")
			}
			h.awaitEnd(pc.sid)
			require.LessOrEqual(t, time.Since(start), engineio.DefaultPingInterval+engineio.DefaultPingTimeout+3*time.Second)
			require.NoError(t, conn.Close())
		})
	})
}
