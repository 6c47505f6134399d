package engineio_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// The tests of this file cover published faults of other implementations. docs/security.md lists them all.
// These tests send HTTP requests.

// A reset at any byte of a handshake, or of a rejected handshake, causes no panic and leaves no session and no file
// descriptor.
// Advisories: CVE-2022-41940
func TestResetDuringHandshake(t *testing.T) {
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, PerMessageDeflate: true})
	others := ts.bystanders()
	pc, v3 := ts.openPolling(engineio.Revision4), ts.openPolling(engineio.Revision3)
	fds := openFiles(t)
	upgrade := func(pc *pollingClient) string {
		query := strings.Replace(pc.query, "polling", "websocket", 1)
		return ts.handshakeText(query, "Sec-WebSocket-Extensions", "permessage-deflate")
	}
	for name, raw := range map[string]string{
		"accepted":            ts.handshakeText("EIO=4&transport=websocket"),
		"accepted, 3":         ts.handshakeText("EIO=3&transport=websocket"),
		"refused":             ts.handshakeText("EIO=4&transport=tobi"),
		"forbidden":           ts.handshakeText("EIO=4&transport=websocket", "Origin", "http://evil.example"),
		"no session":          ts.handshakeText("EIO=4&transport=websocket&sid=none"),
		"upgrade":             upgrade(pc) + masked(0x81, "2probe"),
		"upgrade, 3":          upgrade(v3) + masked(0x81, "2probe"),
		"a message, no probe": upgrade(pc) + masked(0x81, "4x"),
		"polling":             "GET /engine.io/?" + polling4 + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		for n := range len(raw) + 1 {
			conn := ts.dial()
			_, err := io.WriteString(conn, raw[:n])
			require.NoError(t, err, "%s %d", name, n)
			reset(conn)
		}
	}
	// Only a reset after the last byte may leave an open session.
	for _, s := range ts.srv.Sockets() {
		if s.ID() != pc.sid && s.ID() != v3.sid && s.ID() != others.v.sid && s.Transport() == engineio.Polling {
			s.Abort(nil)
		}
	}
	for _, pc := range []*pollingClient{pc, v3} {
		pc.requireEcho("alive")
		require.Equal(t, "200 ok", pc.post(pc.payload("1")).summary())
	}
	ts.awaitSockets(2)
	others.requireUnharmed()
	ts.client.CloseIdleConnections()
	for range 1000 {
		if openFiles(t) <= fds+2 { // the client's own connections come and go
			return
		}
		runtime.Gosched()
		_ = ts.request("GET", "", nil) // the server closes the connections that it finds reset
	}
	require.LessOrEqual(t, openFiles(t), fds+2)
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if runtime.GOOS != "linux" {
		return 0 // this system does not count them
	}
	require.NoError(t, err)
	return len(all)
}

// The server responds with status 400 to a query with hostile values, and causes no panic.
// Advisories: CVE-2023-31125
func TestHostileQueryParameters(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	long := strings.Repeat("A", 64<<10)
	hostile := []string{"__proto__", "constructor", "toString", "hasOwnProperty", "", "%00", "%ff", "%F0%9F%98%80", "null", "undefined", "NaN", "-1", "[]", "polling%00", "%2e%2e%2f", long}
	for _, name := range []string{"transport", "EIO", "sid"} {
		for _, value := range hostile {
			for _, repeat := range []int{1, 3} {
				query := map[string]string{"transport": "transport=polling", "EIO": "EIO=4", "sid": "sid=none"}
				query[name] = strings.TrimSuffix(strings.Repeat(name+"="+value+"&", repeat), "&")
				if name != "sid" {
					delete(query, "sid")
				}
				var all []string
				for _, part := range query {
					all = append(all, part)
				}
				resp := ts.request("GET", strings.Join(all, "&"), nil)
				require.NoError(t, resp.err)
				served := name == "EIO" || name == "sid" && value == "" // EIO is 4, and otherwise 3
				if !served {
					require.Equal(t, 400, resp.status, "%s=%.20q", name, value)
					require.Contains(t, resp.body, `{"code":`)
				}
				b, wc := ts.handshake(strings.Replace(strings.Join(all, "&"), "transport=polling", "transport=websocket", 1))
				if !served {
					require.Equal(t, 400, b.status, "%s=%.20q", name, value)
				}
				require.NoError(t, wc.conn.Close())
			}
		}
	}
	strict := newTestServer(t, echoHandler, nil) // revision 4 only, so every other EIO is rejected
	for _, value := range append(hostile, "3", "5", "4.0", "04", "4e0", "+4", "4 ", "0x4") {
		query := "transport=polling&EIO=" + strings.ReplaceAll(value, "+", "%2B")
		require.Equal(t, "400 "+badRevision, strict.request("GET", strings.ReplaceAll(query, " ", "%20"), nil).summary(), "%.20q", value)
		resp, wc := strict.handshake(strings.ReplaceAll(strings.Replace(query, "polling", "websocket", 1), " ", "%20"))
		require.Equal(t, "400 Unsupported protocol version", resp.summary(), "%.20q", value)
		require.NoError(t, wc.conn.Close())
	}
	for _, query := range []string{"sid[]=x&transport[]=polling&EIO[]=4", "transport=polling&EIO=4&sid=x&sid=__proto__", strings.Repeat("a=b&", 5000) + "transport=tobi"} {
		require.Equal(t, 400, ts.request("GET", query, nil).status)
	}
}

// The server responds to a rejected POST at once, even if only a part of its body has come, and it closes the
// connection unless the body has come.
// Advisories: CVE-2026-59725, GHSA-r635-g3xr-vw7x
func TestRejectedPostIsAnsweredAtOnce(t *testing.T) {
	const binary = "Content-Type: application/octet-stream\r\n"
	for name, rest := range map[string]string{
		"whole":          binary + "Content-Length: 3\r\n\r\n4xy",
		"never comes":    binary + "Content-Length: 3\r\n\r\n",
		"comes in part":  binary + "Content-Length: 300\r\n\r\n4xy",
		"chunks":         binary + "Transfer-Encoding: chunked\r\n\r\n",
		"endless chunks": binary + "Transfer-Encoding: chunked\r\n\r\n3\r\n4xy\r\n",
		"too large":      "Content-Length: 100001\r\n\r\n4xy",
	} {
		t.Run(name, func(t *testing.T) {
			h := newEndRecorder()
			inBubble(t, h, &engineio.ServerOptions{MaxPayload: 100_000}, func(t *testing.T, ts *testServer) {
				pc := ts.openPolling(engineio.Revision4)
				start := time.Now()
				conn := ts.sendHead("POST", pc.query, rest)
				resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
				require.NoError(t, err)
				require.Zero(t, time.Since(start), "answered at once")
				if name == "too large" {
					require.Equal(t, http.StatusRequestEntityTooLarge, resp.StatusCode)
				} else {
					require.Equal(t, http.StatusBadRequest, resp.StatusCode)
				}
				require.Equal(t, remoteError, h.awaitEnd(pc.sid))
				if name != "whole" { // the missing bytes cannot be the next request
					_, err = io.Copy(io.Discard, conn)
					require.NoError(t, err)
					require.LessOrEqual(t, time.Since(start), time.Second, "closed")
				}
				require.NoError(t, conn.Close())
			})
		})
	}
}

// The server reads any other content type as text, as the reference does.
// Advisories: CVE-2026-59725, GHSA-r635-g3xr-vw7x
func TestOtherContentTypesAreText(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		pc := ts.openPolling(rev)
		for _, contentType := range []string{"", "text/plain", "application/json", "application/octet-stream; charset=x", "a b", strings.Repeat("x", 10_000)} {
			require.Equal(t, "200 ok", pc.post(pc.payload("4text"), "Content-Type", contentType).summary(), "%.20q", contentType)
			require.Equal(t, "200 "+pc.payload("4text"), pc.poll().summary())
		}
	}
	pc := ts.openPolling(engineio.Revision3) // revision 3, where the type is valid
	require.Equal(t, "200 ok", pc.post("\x00\x02\xff4x", "Content-Type", "application/octet-stream").summary())
	require.Equal(t, "200 "+pc.payload("4x"), pc.poll().summary())
}

// The server rejects the second of two simultaneous POSTs in the same way.
// Advisories: CVE-2026-59725, GHSA-r635-g3xr-vw7x
func TestOverlappingPosts(t *testing.T) {
	h := newEndRecorder()
	inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		first := ts.sendHead("POST", pc.query, "Content-Length: 3\r\n\r\n")
		synctest.Wait()
		start := time.Now()
		second := ts.sendHead("POST", pc.query, "Content-Length: 3\r\n\r\n")
		for _, conn := range []net.Conn{second, first} {
			resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, resp.StatusCode)
			require.NoError(t, conn.Close())
		}
		require.Zero(t, time.Since(start))
		require.Equal(t, remoteError, h.awaitEnd(pc.sid))
	})
}

// The server responds to a handshake with hostile headers with an expected status and few bytes.
// Advisories: GHSA-5v72-xg48-5rpm, CVE-2021-32640, CVE-2024-37890
func TestHostileHandshakeHeaders(t *testing.T) {
	var many []string
	for i := range 2000 {
		many = append(many, fmt.Sprintf("X-Flood-%d", i), "x")
	}
	for name, header := range map[string][]string{
		"2,000 headers":          many,
		"extensions of objects":  {"Sec-WebSocket-Extensions", "constructor, __proto__; toString=1, permessage-deflate; x=\"", "Sec-WebSocket-Extensions", ",;=,;="},
		"a long protocol":        {"Sec-WebSocket-Protocol", "a" + strings.Repeat(" ", 50_000) + "b"},
		"many protocols":         {"Sec-WebSocket-Protocol", strings.Repeat("a,", 25_000) + "b"},
		"many extensions":        {"Sec-WebSocket-Extensions", strings.Repeat("permessage-deflate;", 3000)},
		"protocol injection":     {"Sec-WebSocket-Protocol", "a\tb"},
		"half a megabyte":        {"Cookie", strings.Repeat("c", 500_000)},
		"2,000 of one name":      strings.Split(strings.Repeat("X-Same,x,", 2000), ",")[:4000],
		"many protocol headers":  strings.Split(strings.Repeat("Sec-WebSocket-Protocol,x,", 2000), ",")[:4000],
		"an empty protocol":      {"Sec-WebSocket-Protocol", ""},
		"commas as the protocol": {"Sec-WebSocket-Protocol", ",,,,"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, compress := range []bool{false, true} {
				ts := newTestServer(t, echoHandler, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, PerMessageDeflate: compress})
				pc := ts.openPolling(engineio.Revision4)
				for _, query := range []string{"EIO=3&transport=websocket", "EIO=4&transport=websocket", strings.Replace(pc.query, "polling", "websocket", 1)} {
					resp, wc := ts.handshake(query, header...)
					require.NoError(t, resp.err)
					require.Contains(t, []int{101, 400, 431}, resp.status)
					for name, values := range resp.header {
						require.Less(t, len(strings.Join(values, "")), 200, name)
					}
					if !compress {
						require.Empty(t, resp.header.Values("Sec-WebSocket-Extensions"))
					}
					require.NoError(t, wc.conn.Close())
				}
				pc.requireEcho("alive")
			}
		})
	}
}
