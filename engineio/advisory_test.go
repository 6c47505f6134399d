package engineio

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"math/bits"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/packet"
)

// The tests of this file are named by published faults of other implementations.

func TestAdvisory_CVE_2020_36048_payloadOfTinyPackets(t *testing.T) {
	w := newSite(t, idle, bothRevisions())
	others := w.bystandersOf(2)
	for _, c := range []struct {
		name, contentType, packet string
		rev                       Revision
	}{
		{"revision 3 text", "text/plain", "1:6", Revision3},
		{"revision 3 binary", "application/octet-stream", "\x00\x01\xff6", Revision3},
		{"revision 4", "text/plain", "6\x1e", Revision4},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := w.open(c.rev)
			post := func(n int) answer {
				body := strings.TrimSuffix(strings.Repeat(c.packet, n), "\x1e")
				return w.ask("POST", v.query, strings.NewReader(body), "Content-Type", c.contentType)
			}
			require.Equal(t, "200 ok", post(packet.MaxPackets).brief(), "bursts of stock clients pass")
			before := allocated()
			require.Equal(t, "400 ", post(1_000_000/len(c.packet)).brief())
			require.Less(t, allocated()-before, uint64(16<<20), "bytes allocated for it")
			require.Len(t, w.srv.Sockets(), others)
		})
	}
	a := w.ask("POST", w.open(Revision3).query, io.LimitReader(endless{}, 100<<20))
	if a.err == nil {
		require.Equal(t, "413 ", a.brief())
	}
}

// allocated is what was ever allocated, in bytes.
func allocated() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// bystandersOf opens n sessions and returns n.
func (w *site) bystandersOf(n int) int {
	for range n {
		w.open(Revision4)
	}
	return n
}

func TestAdvisory_CVE_2022_21676_reservedBits(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, nil)
	others := w.bystanders()
	for _, first := range []byte{0xa1, 0x91, 0xb1, 0xc1, 0xf1, 0xa0, 0xaa, 0xa9} {
		l, sid := w.session(Revision4)
		_, err := io.WriteString(l.conn, masked(first, "4x"))
		require.NoError(t, err)
		require.Equal(t, "close 1002", l.ending())
		h.end(sid)
		others.requireUnharmed()
	}
}

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

// The origin is checked on every transport, and on every request of a session; what fails leaves nothing.
func TestAdvisory_engineio_6_6_7_checksOnEveryTransport(t *testing.T) {
	w := newSite(t, echo, nil)
	v := w.open(Revision4)
	before := runtime.NumGoroutine()
	for range 50 {
		for _, query := range []string{"EIO=4&transport=websocket", polling4, v.query, strings.Replace(v.query, "polling", "websocket", 1)} {
			a, l := w.shake(query, "Origin", "https://evil.example")
			require.Equal(t, "400 Forbidden", a.brief())
			require.NoError(t, l.conn.Close())
			require.Equal(t, "403 "+forbidden, w.ask("GET", strings.Replace(query, "websocket", "polling", 1), nil, "Origin", "https://evil.example").brief())
		}
	}
	require.Len(t, w.srv.Sockets(), 1)
	v.requireEcho("alive")
	w.client.CloseIdleConnections()
	ctx := testContext(t)
	for runtime.NumGoroutine() > before+4 {
		require.NoError(t, ctx.Err(), "%d goroutines, %d before", runtime.NumGoroutine(), before)
		runtime.Gosched()
	}
}

// AllowRequest is asked on every transport, before anything of a session exists.
func TestAdvisory_engineio_6_6_7_allowRequestOnEveryTransport(t *testing.T) {
	opts := jsonpOptions()
	opts.AllowRequest = func(*http.Request) error { return errors.New("no ticket") }
	opts.GenerateID = func(*http.Request) (string, error) {
		t.Error("a session was begun")
		return "", nil
	}
	opts.Cookie = &http.Cookie{}
	w := newSite(t, echo, opts)
	for _, rev := range []string{"EIO=3", "EIO=4"} {
		for _, query := range []string{"&transport=polling", "&transport=polling&j=0"} {
			a := w.ask("GET", rev+query, nil)
			require.Equal(t, `403 {"code":4,"message":"no ticket"}`, a.brief())
			require.Empty(t, a.header.Values("Set-Cookie"))
			b, l := w.shake(rev + query)
			require.Equal(t, "400 no ticket", b.brief())
			require.NoError(t, l.conn.Close())
		}
		a, l := w.shake(rev + "&transport=websocket")
		require.Equal(t, "400 no ticket", a.brief())
		require.Empty(t, a.header.Values("Set-Cookie"))
		require.NoError(t, l.conn.Close())
	}
}

// An ID that another session has is not given twice, and one that would break out of the open packet, the cookie or a
// log line not at all.
func TestAdvisory_CVE_2017_16031_generatedIDsTakeNoSessionOver(t *testing.T) {
	id := "first"
	w := newSite(t, echo, &ServerOptions{GenerateID: func(*http.Request) (string, error) { return id, nil }, Cookie: &http.Cookie{}})
	a := w.ask("GET", polling4, nil)
	v := &visit{w: w, rev: Revision4, sid: id, query: polling4 + "&sid=" + id}
	require.Equal(t, id, sidOf(t, a.body))
	for _, id = range []string{"first", "", "x; Domain=evil.example", "x\r\nSet-Cookie: a=b", `x","upgrades":[]`, "x&sid=first", "ä"} {
		a := w.ask("GET", polling4, nil)
		require.Equal(t, "400 "+badRequest, a.brief(), "%q", id)
		require.Empty(t, a.header.Values("Set-Cookie"))
	}
	require.Len(t, w.srv.Sockets(), 1)
	v.requireEcho("still its own")
}

func TestAdvisory_CVE_2017_16031_sidsAreRandom(t *testing.T) {
	const n = 20_000
	seen := make(map[string]bool, n)
	var ones [18 * 8]int
	for range n {
		sid := newSID()
		b, err := base64.RawURLEncoding.DecodeString(sid)
		require.NoError(t, err)
		require.Len(t, b, 18, "144 bits")
		require.False(t, seen[sid])
		seen[sid] = true
		for i, c := range b {
			for bit := range 8 {
				ones[i*8+bit] += bits.OnesCount8(c >> bit & 1)
			}
		}
	}
	for i, k := range ones { // nothing of it is constant or a counter; 8 standard deviations
		require.InDelta(t, n/2, k, 8*71, "bit %d", i)
	}
}

func TestAdvisory_CVE_2020_28481_noCrossOriginByDefault(t *testing.T) {
	w := newSite(t, echo, nil)
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		a := w.ask(method, polling4, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		require.Equal(t, 403, a.status)
		for name := range a.header {
			require.False(t, strings.HasPrefix(name, "Access-Control"), name)
		}
	}
	require.Empty(t, w.srv.Sockets())
}

func TestAdvisory_CVE_2019_13611_crossSiteWebSocketHijacking(t *testing.T) {
	w := newSite(t, echo, &ServerOptions{AllowedOrigins: []string{"https://good.example"}})
	v := w.open(Revision4)
	for _, origin := range []string{"https://evil.example", "null", "https://good.example.evil.example", "http://good.example", "https://good.example:8443", "https://good.example@evil.example", "https://evilgood.example", "HTTPS://GOOD.EXAMPLE.EVIL"} {
		for _, query := range []string{"EIO=4&transport=websocket", strings.Replace(v.query, "polling", "websocket", 1)} {
			a, l := w.shake(query, "Origin", origin)
			require.Equal(t, "400 Forbidden", a.brief(), origin)
			require.NoError(t, l.conn.Close())
		}
		require.Equal(t, 403, w.ask("GET", polling4, nil, "Origin", origin).status, origin)
	}
	require.Len(t, w.srv.Sockets(), 1)
}

// What a length claims is not allocated before it has come.
func TestAdvisory_CVE_2020_36049_nothingIsAllocatedByAClaim(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, nil)
	v := w.open(Revision4)
	const n = 100
	lines := make([]*line, n)
	for i := range lines {
		lines[i], _ = w.session(Revision4)
	}
	before := heapInUse()
	claim := masked(0x81, "4"+strings.Repeat("x", 999_998))[:15] // 999,999 bytes claimed, one sent
	for _, l := range lines {
		_, err := io.WriteString(l.conn, claim)
		require.NoError(t, err)
		conn := w.head("POST", w.open(Revision4).query, "Content-Length: 999999\r\n\r\n4")
		defer func() { _ = conn.Close() }()
	}
	v.requireEcho("what was sent before has been seen")
	require.Less(t, heapInUse()-before, int64(n*2*80<<10))
	for _, l := range lines {
		require.NoError(t, l.conn.Close())
	}
}

// Pongs and pings cost no goroutine and no timer each, whatever their number.
func TestAdvisory_CVE_2026_48802_pongFlood(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
	before := runtime.NumGoroutine()
	for rev, beat := range map[Revision]string{Revision3: "2", Revision4: "3"} {
		l, _ := w.session(rev)
		set := len(w.srv.conf.alarms.queue)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.WriteString(l.conn, strings.Repeat(masked(0x81, beat)+masked(0x8a, "pong")+masked(0x89, "ping"), 5000)+masked(0x81, "4end"))
		}()
		most := 0
		for {
			f, err := l.frame()
			require.NoError(t, err)
			most = max(most, runtime.NumGoroutine())
			if string(f.Payload) == "4end" {
				break
			}
		}
		<-done
		require.LessOrEqual(t, most, before+100, "the connection's own, the test's, and flushers that are about to end; not one of 5,000 each")
		w.srv.conf.alarms.mu.Lock()
		require.Len(t, w.srv.conf.alarms.queue, set)
		w.srv.conf.alarms.mu.Unlock()
		require.NoError(t, l.conn.Close())
	}
	v := w.open(Revision4)
	require.Equal(t, "200 ok", v.post("3"+strings.Repeat("\x1e3", 9999)).brief())
	v.requireEcho("alive")
}

func TestAdvisory_CVE_2016_10536_clientsVerifyTLS(t *testing.T) {
	srv := NewServer(echo, nil)
	web := httptest.NewUnstartedServer(srv)
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	defer func() { require.NoError(t, srv.Close()) }()
	for _, transport := range []Transport{Polling, WebSocket} {
		for _, scheme := range []string{"https", "wss"} {
			url := strings.Replace(web.URL, "https", scheme, 1)
			_, err := Dial(testContext(t), url, &DialOptions{Transports: []Transport{transport}})
			require.ErrorContains(t, err, "certificate")
			s, err := Dial(testContext(t), url, &DialOptions{Transports: []Transport{transport}, HTTPClient: web.Client()})
			require.NoError(t, err)
			require.NoError(t, s.Write(testContext(t), Text("x")))
			m, err := s.Read(testContext(t))
			require.NoError(t, err)
			require.Equal(t, "x", string(m.Data))
			require.NotNil(t, srv.Sockets()[0].Request().TLS)
			require.NoError(t, s.Close())
		}
	}
}

// What one peer sent never comes out at another: buffers are pooled.
func TestAdvisory_CVE_2016_10518_CVE_2026_45736_noStaleBytes(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
	const canary = "CANARY"
	secret := strings.Repeat(canary, 3000)
	var wg sync.WaitGroup
	for range 4 {
		talker, _ := w.session(Revision4)
		wg.Go(func() {
			defer func() { _ = talker.conn.Close() }()
			for i := range 40 {
				_ = talker.tryWrite(ws.Header{Fin: true, OpCode: ws.OpPing}, secret[:i])
				_ = talker.tryWrite(ws.Header{Fin: true, OpCode: ws.OpBinary}, secret)
				_ = talker.tryWrite(ws.Header{Fin: true, OpCode: ws.OpText}, "4"+secret[:i*100])
				for range 3 {
					if _, err := talker.frame(); err != nil {
						t.Errorf("talker: %v", err)
						return
					}
				}
			}
		})
	}
	for i := range 60 {
		l, _ := w.session(Revision4)
		for _, n := range []int{0, 1, 2, 100, 125} {
			l.write(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("p", n))
			f, err := l.frame()
			require.NoError(t, err)
			require.Equal(t, strings.Repeat("p", n), string(f.Payload))
		}
		for _, n := range []int{0, 1, 300, 5000, 20_000} {
			l.requireEcho(strings.Repeat("m", n))
		}
		// The shortest close frames, a broken one, and a frame that is cut off: the whole of what comes back is known.
		end := []string{masked(0x88, ""), masked(0x88, "\x03\xe8"), masked(0x88, "\x03"), masked(0x81, "x"), "\x81\xfe\xff"}
		_, err := io.WriteString(l.conn, end[i%len(end)])
		require.NoError(t, err)
		require.NoError(t, l.conn.(*net.TCPConn).CloseWrite())
		rest, _ := io.ReadAll(l.r)
		require.NotContains(t, string(rest), "CAN")
		require.LessOrEqual(t, len(rest), 4)
		require.NoError(t, l.conn.Close())
		v := w.open(Revision3)
		require.Equal(t, "200 ok", v.post("8:b4AQIDBA").brief())
		require.Equal(t, "200 \x01\x05\xff\x04\x01\x02\x03\x04", v.poll().brief())
		require.Equal(t, "200 ok", v.post("1:1").brief())
	}
	wg.Wait()
}

func TestAdvisory_CVE_2016_10542_limitByDefault(t *testing.T) {
	w := newSite(t, newWitness(), nil)
	l, _ := w.session(Revision4)
	go func() {
		_ = l.tryWrite(ws.Header{Fin: true, OpCode: ws.OpBinary}, strings.Repeat("x", DefaultMaxPayload+1))
	}()
	require.Equal(t, "close 1009", l.ending())
	require.Equal(t, "413 ", w.ask("POST", w.open(Revision4).query, strings.NewReader(strings.Repeat("4", DefaultMaxPayload+1))).brief())
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

// Messages of 1-byte fragments that are never finished, on many connections.
func TestAdvisory_CVE_2026_48779_unfinishedFragments(t *testing.T) {
	w := newSite(t, echo, nil)
	const conns, fragments = 20, 10_000
	burst := masked(0x02, "x") + strings.Repeat(masked(0x00, "x"), fragments) + masked(0x89, "read")
	lines := make([]*line, conns)
	for i := range lines {
		lines[i], _ = w.session(Revision4)
	}
	before := heapInUse()
	for _, l := range lines {
		_, err := io.WriteString(l.conn, burst)
		require.NoError(t, err)
		f, err := l.frame()
		require.NoError(t, err)
		require.Equal(t, "read", string(f.Payload))
	}
	require.Less(t, heapInUse()-before, int64(2*conns*len(burst)), "twice what was received")
	for _, l := range lines {
		require.NoError(t, l.conn.Close())
	}
}

func TestAdvisory_CVE_2020_27813_CVE_2026_27889_lengthOverflow(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, nil)
	for _, first := range []byte{0x81, 0x82, 0x01, 0x02, 0x80, 0x88, 0x89, 0x8a} {
		for _, length := range []string{
			"\xff\x80\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
			"\xff\x7f\xff\xff\xff\xff\xff\xff\xfe", "\xff\x00\x00\x00\x00\xff\xff\xff\xff", "\xff\x00\x00\x00\x00\x80\x00\x00\x00", "\xfe\xff\xff",
		} {
			for _, before := range []string{"", masked(0x01, "4x")} {
				l, sid := w.session(Revision4)
				frame := before + string(first) + length + "mask"
				if int(first) > 0x7f { // string(byte) would be a rune of two bytes
					frame = before + string([]byte{first}) + length + "mask"
				}
				_, err := io.WriteString(l.conn, frame)
				require.NoError(t, err)
				require.NoError(t, l.conn.(*net.TCPConn).CloseWrite())
				_, err = io.Copy(io.Discard, l.conn)
				require.NoError(t, err)
				require.NoError(t, l.conn.Close())
				require.Contains(t, []string{remoteError, remoteClose}, h.end(sid))
			}
		}
	}
}

// Without the extension a compressed message is a protocol error; nothing is inflated.
func TestAdvisory_CVE_2026_27571_deflateIsNotNegotiated(t *testing.T) {
	w := newSite(t, newWitness(), nil)
	a, l := w.shake("EIO=4&transport=websocket", "Sec-WebSocket-Extensions", "permessage-deflate; server_no_context_takeover")
	require.Equal(t, http.StatusSwitchingProtocols, a.status)
	require.Empty(t, a.header.Values("Sec-WebSocket-Extensions"))
	_, err := io.WriteString(l.conn, masked(0xc1, "\xaa\xaa\x04\x00"))
	require.NoError(t, err)
	require.Equal(t, "close 1002", l.ending())
}

// The body of a POST is never inflated, whatever it says of itself: there is nothing for a bomb to go off in.
func TestAdvisory_CVE_2026_27571_requestsAreNotInflated(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, jsonpOptions())
	for _, coding := range httpCodings {
		bomb := string(coding.compress([]byte("4" + strings.Repeat("x", 900_000))))
		require.Less(t, len(bomb), 10_000)
		v := w.open(Revision4)
		require.Equal(t, "400 ", v.post(bomb, "Content-Encoding", coding.name).brief(), "taken as it is, which is no payload")
		require.Equal(t, "remote "+ReasonParseError, h.end(v.sid))
		j := w.openJSONP(Revision4, "0", "0")
		require.Equal(t, "200 ok", j.visit.post(bomb, "Content-Encoding", coding.name).brief(), "a form without a payload")
		require.Equal(t, "200 ok", j.post("4alive").brief())
		require.Equal(t, "4alive", j.poll())
	}
}

// The answer to a client's poll is inflated up to its limit, whatever it would become.
func TestAdvisory_CVE_2026_27571_pollsAreInflatedUpToTheLimit(t *testing.T) {
	bomb := httpCodings[0].compress([]byte("4" + strings.Repeat("x", 64<<20)))
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("sid") == "" {
			_, _ = io.WriteString(w, `0{"sid":"x","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		_, _ = w.Write(bomb)
	}))
	defer web.Close()
	s, err := Dial(t.Context(), web.URL, &DialOptions{Transports: []Transport{Polling}, MaxPayload: 100_000})
	require.NoError(t, err)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_, err = s.Read(t.Context())
	runtime.ReadMemStats(&after)
	require.ErrorIs(t, err, ErrTooLarge)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(2<<20))
}

// engine.io reflected the number of a JSONP function as it came, in versions before it took the digits only.
func TestAdvisory_engineio_JSONP_callbackInjection(t *testing.T) {
	w := newSite(t, echo, jsonpOptions())
	for _, j := range []string{"](0)%3Balert(1)%3B//", "%5D%28%29%3Balert%281%29%2F%2F", "%3Cscript%3E", "%E2%80%A8alert(1)", "0%0Aalert(1)", "0%00", "window.top"} {
		a := w.ask("GET", polling4+"&j="+j, nil)
		require.Equal(t, 200, a.status)
		require.Regexp(t, `^___eio\[[0-9]*\]\("0\{\\"sid\\":\\"[A-Za-z0-9_-]{24}\\",[ -~]*"\);$`, a.body)
		require.NotContains(t, a.body, "alert")
		require.NotContains(t, a.body, "script")
		require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
		require.Equal(t, "text/javascript; charset=UTF-8", a.header.Get("Content-Type"))
	}
}

// A foreign page's script tag is a request without an Origin header.
func TestAdvisory_CVE_2019_13611_crossSiteJSONP(t *testing.T) {
	opts := jsonpOptions()
	opts.AllowedOrigins = []string{"https://good.example"}
	w := newSite(t, echo, opts)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Referer", "https://evil.example/?https://good.example/"},
		{"Sec-Fetch-Site", "cross-site", "Referer", "https://good.example.evil.example/"},
		{"Origin", "https://evil.example", "Referer", "https://good.example/"},
		nil,
	} {
		require.Equal(t, "403 "+forbidden, w.ask("GET", polling4+"&j=0", nil, header...).brief(), "%q", header)
	}
	require.Empty(t, w.srv.Sockets())
}

// A session keeps at most 64 KB of the request that opened it.
func TestAdvisory_CVE_2026_33219_littleIsKeptOfAHandshake(t *testing.T) {
	w := newSite(t, echo, nil)
	for _, header := range [][]string{
		{"Cookie", strings.Repeat("c", 100_000)},
		strings.Split(strings.TrimSuffix(strings.Repeat("X-A,"+strings.Repeat("v", 100)+",", 900), ","), ","),
	} {
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, w.ask("GET", polling4, nil, header...).status)
		a, l := w.shake("EIO=4&transport=websocket", header...)
		require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, a.status)
		require.NoError(t, l.conn.Close())
	}
	require.Equal(t, http.StatusRequestHeaderFieldsTooLarge, w.ask("GET", polling4+"&x="+strings.Repeat("q", 100_000), nil).status)
	require.Empty(t, w.srv.Sockets())
	require.Equal(t, 200, w.ask("GET", polling4, nil, "Cookie", strings.Repeat("c", 30_000)).status)
	require.Len(t, w.srv.Sockets()[0].Request().Header.Get("Cookie"), 30_000)
}

// A server that opens the session again and again changes nothing at a client.
func TestAdvisory_CVE_2026_29785_repeatedOpenPacket(t *testing.T) {
	_, url := fakeServer(t, func(conn net.Conn, r *http.Request) {
		open := `0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
		_, _ = io.WriteString(conn, switching(r))
		for _, text := range []string{fmt.Sprintf(open, "first"), fmt.Sprintf(open, "second"), "0", "0null", "0{}", "5", "6", "4x"} {
			_ = ws.WriteFrame(conn, ws.NewTextFrame([]byte(text)))
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	s, err := Dial(testContext(t), url, &DialOptions{Transports: []Transport{WebSocket}})
	require.NoError(t, err)
	m, err := s.Read(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "x", string(m.Data))
	require.Equal(t, "first", s.ID())
	s.Abort(nil)
	require.NoError(t, s.Close())
}

// Whoever knows a sid owns the session: none stands in a log, an error or an answer to another.
func TestAdvisory_CVE_2026_33247_sidsAreNotShown(t *testing.T) {
	logged := new(lockedBuffer)
	h := newWitness()
	opts := bothRevisions()
	opts.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w := newSite(t, h, opts)
	var sids []string
	for _, body := range []string{"nonsense", "1", "2"} {
		v := w.open(Revision4)
		sids = append(sids, v.sid)
		_ = w.ask("GET", v.query, nil, "Origin", "https://evil.example")
		_ = w.ask("PUT", v.query, nil)
		_ = v.post(body)
		e := <-h.of(v.sid)
		require.NotContains(t, e.Error(), v.sid)
		require.NotContains(t, v.poll().body, v.sid)
	}
	l, sid := w.session(Revision4)
	sids = append(sids, sid)
	l.say("nonsense")
	require.Equal(t, "close", l.ending())
	<-h.of(sid)
	s, err := Dial(testContext(t), w.base, &DialOptions{Logger: opts.Logger})
	require.NoError(t, err)
	sids = append(sids, s.ID())
	require.NoError(t, s.Close())
	_, err = s.Read(context.Background())
	require.NotContains(t, err.Error(), s.ID())
	require.NotEmpty(t, logged.String())
	for _, sid := range sids {
		require.NotContains(t, logged.String(), sid)
	}
}

// A transport that is switched off is not reached by any way.
func TestAdvisory_secnote_2026_27_disabledTransports(t *testing.T) {
	w := newSite(t, echo, &ServerOptions{Transports: []Transport{Polling}})
	v := w.open(Revision4)
	for _, query := range []string{"EIO=4&transport=websocket", strings.Replace(v.query, "polling", "websocket", 1), "EIO=4&transport=webtransport"} {
		a, l := w.shake(query)
		require.Equal(t, "400 Transport unknown", a.brief())
		require.NoError(t, l.conn.Close())
	}
	v.requireEcho("alive")
	w = newSite(t, echo, &ServerOptions{Transports: []Transport{WebSocket}})
	l, sid := w.session(Revision4)
	require.Equal(t, "400 "+unknownTransport, w.ask("GET", polling4+"&sid="+sid, nil).brief())
	l.requireEcho("alive")
	require.NoError(t, l.conn.Close())
}
