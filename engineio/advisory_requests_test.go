package engineio

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The tests of this file are named by published faults of other implementations; docs/security.md lists them all. These are
// about HTTP requests.

// A reset at every byte of the handshake, also of one that is refused: no panic, no session, no file descriptor.
func TestAdvisory_CVE_2022_41940_resetDuringTheHandshake(t *testing.T) {
	w := newSite(t, echo, nil)
	others := w.bystanders()
	v := w.open(Revision4)
	fds := openFiles(t)
	for name, raw := range map[string]string{
		"accepted":  w.handshakeText("EIO=4&transport=websocket"),
		"refused":   w.handshakeText("EIO=4&transport=tobi"),
		"forbidden": w.handshakeText("EIO=4&transport=websocket", "Origin", "http://evil.example"),
		"upgrade":   w.handshakeText(strings.Replace(v.query, "polling", "websocket", 1)),
		"polling":   "GET /engine.io/?" + polling4 + " HTTP/1.1\r\nHost: x\r\n\r\n",
	} {
		for n := range len(raw) + 1 {
			conn := w.connect()
			_, err := io.WriteString(conn, raw[:n])
			require.NoError(t, err, "%s %d", name, n)
			reset(conn)
		}
	}
	// The sessions that were opened after all are of the last byte only.
	for _, s := range w.srv.Sockets() {
		if s.ID() != v.sid && s.ID() != others.v.sid && s.Transport() == Polling {
			s.Abort(nil)
		}
	}
	v.requireEcho("alive")
	require.Equal(t, "200 ok", v.post("1").brief())
	w.awaitSockets(2)
	others.requireUnharmed()
	w.client.CloseIdleConnections()
	for range 1000 {
		if openFiles(t) <= fds+2 { // the client's own connections come and go
			return
		}
		runtime.Gosched()
		_ = w.ask("GET", "", nil) // the server closes what it finds reset
	}
	require.LessOrEqual(t, openFiles(t), fds+2)
}

// awaitSockets waits until n sessions are left.
func (w *site) awaitSockets(n int) {
	w.t.Helper()
	ctx := testContext(w.t)
	for len(w.srv.Sockets()) != n {
		require.NoError(w.t, ctx.Err(), "%d sessions, not %d", len(w.srv.Sockets()), n)
		runtime.Gosched()
	}
}

func openFiles(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc/self/fd")
	if runtime.GOOS != "linux" {
		return 0 // nobody counts there
	}
	require.NoError(t, err)
	return len(all)
}

func TestAdvisory_CVE_2023_31125_hostileParameters(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
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
				a := w.ask("GET", strings.Join(all, "&"), nil)
				require.NoError(t, a.err)
				served := name == "EIO" || name == "sid" && value == "" // EIO is 4 or else 3
				if !served {
					require.Equal(t, 400, a.status, "%s=%.20q", name, value)
					require.Contains(t, a.body, `{"code":`)
				}
				b, l := w.shake(strings.Replace(strings.Join(all, "&"), "transport=polling", "transport=websocket", 1))
				if !served {
					require.Equal(t, 400, b.status, "%s=%.20q", name, value)
				}
				require.NoError(t, l.conn.Close())
			}
		}
	}
	for _, query := range []string{"sid[]=x&transport[]=polling&EIO[]=4", "transport=polling&EIO=4&sid=x&sid=__proto__", strings.Repeat("a=b&", 5000) + "transport=tobi"} {
		require.Equal(t, 400, w.ask("GET", query, nil).status)
	}
}

func TestAdvisory_CVE_2026_59725_binaryPostOnRevision4(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, nil)
	v := w.open(Revision4)
	a, l := w.send(fmt.Sprintf("POST /engine.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Type: application/octet-stream\r\nContent-Length: 3\r\n\r\n4xy", v.query))
	require.Equal(t, "400 ", a.brief(), "answered at once")
	require.NoError(t, l.conn.Close())
	require.Equal(t, remoteError, h.end(v.sid))
}

func TestAdvisory_GHSA_5v72_xg48_5rpm_CVE_2021_32640_CVE_2024_37890_hostileHandshakeHeaders(t *testing.T) {
	w := newSite(t, echo, nil)
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
			start := time.Now()
			a, l := w.shake("EIO=4&transport=websocket", header...)
			require.NoError(t, a.err)
			require.Contains(t, []int{101, 400, 431}, a.status)
			require.Less(t, time.Since(start), 5*time.Second)
			for name, values := range a.header {
				require.Less(t, len(strings.Join(values, "")), 200, name)
			}
			require.Empty(t, a.header.Values("Sec-WebSocket-Extensions"))
			require.NoError(t, l.conn.Close())
		})
	}
}
