package engineio_test

import (
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

const (
	unknownTransport = `{"code":0,"message":"Transport unknown"}`
	unknownSession   = `{"code":1,"message":"Session ID unknown"}`
	badMethod        = `{"code":2,"message":"Bad handshake method"}`
	badRequest       = `{"code":3,"message":"Bad request"}`
	forbidden        = `{"code":4,"message":"Forbidden"}`
	badRevision      = `{"code":5,"message":"Unsupported protocol version"}`
)

// polling4 is the query of a handshake by polling.
const polling4 = "EIO=4&transport=polling"

func TestRefusedRequests(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	both := bothRevisions()
	for _, c := range []struct {
		name, method, query, body string
		opts                      *engineio.ServerOptions
	}{
		{"no query", "GET", "", unknownTransport, nil},
		{"no transport", "GET", "EIO=4", unknownTransport, nil},
		{"empty transport", "GET", "EIO=4&transport=", unknownTransport, nil},
		{"unknown transport", "GET", "EIO=4&transport=tobi", unknownTransport, nil},
		{"transport in another case", "GET", "EIO=4&transport=Polling", unknownTransport, nil},
		{"webtransport over HTTP", "GET", "EIO=4&transport=webtransport", unknownTransport, nil},
		{"property of objects as transport", "GET", "EIO=4&transport=__proto__", unknownTransport, nil},
		{"constructor as transport", "GET", "EIO=4&transport=constructor", unknownTransport, nil},
		{"long transport", "GET", "EIO=4&transport=" + long, unknownTransport, nil},
		{"the last transport counts", "GET", "transport=polling&EIO=4&transport=tobi", unknownTransport, nil},
		{"polling disabled", "GET", polling4, unknownTransport, &engineio.ServerOptions{Transports: []engineio.Transport{engineio.WebSocket}}},
		{"websocket disabled", "GET", "EIO=4&transport=websocket", unknownTransport, &engineio.ServerOptions{Transports: []engineio.Transport{engineio.Polling}}},

		{"unknown sid", "GET", polling4 + "&sid=none", unknownSession, nil},
		{"unknown sid of a POST", "POST", polling4 + "&sid=none", unknownSession, nil},
		{"unknown sid with websocket", "GET", "EIO=4&transport=websocket&sid=none", unknownSession, nil},
		{"property of objects as sid", "GET", polling4 + "&sid=__proto__", unknownSession, nil},
		{"long sid", "GET", polling4 + "&sid=" + long, unknownSession, nil},

		{"POST", "POST", polling4, badMethod, nil},
		{"PUT", "PUT", polling4, badMethod, nil},
		{"DELETE", "DELETE", polling4, badMethod, nil},
		{"OPTIONS without CORS", "OPTIONS", polling4, badMethod, nil},
		{"HEAD", "HEAD", polling4, "", nil},
		{"an unknown method", "BREW", polling4, badMethod, nil},

		{"websocket without an upgrade", "GET", "EIO=4&transport=websocket", badRequest, nil},

		{"revision 3 unasked", "GET", "EIO=3&transport=polling", badRevision, nil},
		{"no revision", "GET", "transport=polling", badRevision, nil},
		{"revision 5", "GET", "EIO=5&transport=polling", badRevision, nil},
		{"revision is a text", "GET", "EIO=04&transport=polling", badRevision, nil},
		{"the last revision counts", "GET", "EIO=4&EIO=3&transport=polling", badRevision, nil},
		{"revision 4 disabled", "GET", polling4, badRevision, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}}},
		{"bad escapes are no value", "GET", "EIO=4&transport=polling%zz", unknownTransport, nil},

		{"order: transport before sid", "GET", "EIO=4&transport=tobi&sid=none", unknownTransport, nil},
		{"order: transport before method", "POST", "EIO=4&transport=tobi", unknownTransport, nil},
		{"order: sid before revision", "GET", "EIO=9&transport=polling&sid=none", unknownSession, nil},
		{"order: method before revision", "POST", "EIO=3&transport=polling", badMethod, nil},
		{"order: method before the lack of an upgrade", "POST", "EIO=4&transport=websocket", badMethod, nil},
		{"order: the lack of an upgrade before revision", "GET", "EIO=3&transport=websocket", badRequest, nil},
		{"empty sid is a handshake", "POST", polling4 + "&sid=", badMethod, both},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := newTestServer(t, echoHandler, c.opts)
			resp := ts.request(c.method, c.query, nil)
			require.NoError(t, resp.err)
			require.Equal(t, http.StatusBadRequest, resp.status)
			require.Equal(t, "application/json", resp.header.Get("Content-Type"))
			require.Equal(t, c.body, resp.body)
			require.Empty(t, ts.srv.Sockets())
		})
	}
}

func TestRefusedWebSocketHandshakes(t *testing.T) {
	const ws4 = "EIO=4&transport=websocket"
	for _, c := range []struct {
		name, query, body string
		opts              *engineio.ServerOptions
		header            []string
	}{
		{"no transport", "EIO=4", "Transport unknown", nil, nil},
		{"unknown transport", "EIO=4&transport=tobi", "Transport unknown", nil, nil},
		{"websocket disabled", ws4, "Transport unknown", &engineio.ServerOptions{Transports: []engineio.Transport{engineio.Polling}}, nil},
		{"unknown sid", ws4 + "&sid=none", "Session ID unknown", nil, nil},
		{"property of objects as sid", ws4 + "&sid=__proto__", "Session ID unknown", nil, nil},
		{"revision 3 unasked", "EIO=3&transport=websocket", "Unsupported protocol version", nil, nil},
		{"no revision", "transport=websocket", "Unsupported protocol version", nil, nil},
		{"another origin", ws4, "Forbidden", nil, []string{"Origin", "http://evil.example"}},
		{"another origin, sid unknown", ws4 + "&sid=none", "Forbidden", nil, []string{"Origin", "http://evil.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := newTestServer(t, echoHandler, c.opts)
			resp, wc := ts.handshake(c.query, c.header...)
			require.NoError(t, resp.err)
			require.Equal(t, http.StatusBadRequest, resp.status, "refused before 101, so that clients see an error")
			require.Equal(t, "text/html", resp.header.Get("Content-Type"))
			require.Equal(t, fmt.Sprint(len(c.body)), resp.header.Get("Content-Length"))
			require.Equal(t, "close", resp.header.Get("Connection"))
			require.Equal(t, c.body, resp.body)
			_, err := wc.r.ReadByte()
			require.ErrorIs(t, err, io.EOF, "the connection is closed")
			require.NoError(t, wc.conn.Close())
			require.Empty(t, ts.srv.Sockets())
		})
	}
}

// A handshake that violates RFC 6455 is also rejected before the 101, and opens no session.
func TestBrokenWebSocketHandshakes(t *testing.T) {
	good := (&testServer{t: t, base: "http://pipe/engine.io/"}).handshakeText("EIO=4&transport=websocket")
	for name, raw := range map[string]string{
		"no key":          strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"short key":       strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1),
		"another version": strings.Replace(good, "Version: 13", "Version: 8", 1),
		"no version":      strings.Replace(good, "Sec-WebSocket-Version: 13\r\n", "", 1),
		"HTTP/1.0":        strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1),
		"POST":            strings.Replace(good, "GET ", "POST ", 1),
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
				resp, wc := ts.sendRaw(raw)
				defer func() { require.NoError(t, wc.conn.Close()) }()
				require.NoError(t, resp.err)
				require.GreaterOrEqual(t, resp.status, 400)
				require.Less(t, resp.status, 600)
				_, err := wc.r.ReadByte()
				require.ErrorIs(t, err, io.EOF, "the connection is closed")
				synctest.Wait()
				requireNothingLeft(t, ts.srv)
			})
		})
	}
}

// A request with Upgrade but without Connection is an ordinary request. Both header fields are lists, which a proxy may
// send in several lines.
func TestUpgradeIsNamedByConnection(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	const upgrade = "Upgrade: websocket\r\n"
	for header, want := range map[string]int{
		upgrade:                                400,
		upgrade + "Connection: keep-alive\r\n": 400,
		upgrade + "Connection: keep-alive, UPGRADE\r\n":                  101,
		upgrade + "Connection: keep-alive\r\nConnection: Upgrade\r\n":    101,
		upgrade + "Connection: Upgrade\r\nConnection: keep-alive\r\n":    101,
		upgrade + "Connection: close, x\r\nConnection: y ,upgrade\r\n":   101,
		upgrade + "Connection: keep-alive\r\nConnection: x-upgrade\r\n":  400,
		"Upgrade: h2c, WebSocket\r\nConnection: Upgrade\r\n":             101,
		"Upgrade: h2c\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n":  101,
		"Upgrade: h2c\r\nUpgrade: websocket2\r\nConnection: Upgrade\r\n": 400,
	} {
		replaced := "Connection: Upgrade\r\nUpgrade: websocket\r\n"
		if text := ts.handshakeText(polling4); !strings.Contains(text, replaced) {
			t.Fatalf("%q lacks %q", text, replaced)
		}
		resp, wc := ts.sendRaw(strings.Replace(ts.handshakeText("EIO=4&transport=websocket"), replaced, header, 1))
		require.NoError(t, resp.err)
		require.Equal(t, want, resp.status, header)
		if want == 400 {
			require.Equal(t, badRequest, resp.body)
		}
		require.NoError(t, wc.conn.Close())
		resp, wc = ts.sendRaw(strings.Replace(ts.handshakeText(polling4), replaced, header, 1))
		require.NoError(t, resp.err)
		require.Equal(t, want == 101, resp.status == 101, header)
		require.NoError(t, wc.conn.Close())
	}
}

// Subprotocols and extensions are lists too.
func TestListsOverSeveralLines(t *testing.T) {
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{PerMessageDeflate: true, CompressionThreshold: 1})
	resp, wc := ts.handshake("EIO=4&transport=websocket", "Sec-WebSocket-Protocol", "one, two", "Sec-WebSocket-Protocol", "three",
		"Sec-WebSocket-Extensions", "x-unknown", "Sec-WebSocket-Extensions", "permessage-deflate; client_no_context_takeover; server_no_context_takeover")
	require.Equal(t, http.StatusSwitchingProtocols, resp.status)
	require.Equal(t, "one", resp.header.Get("Sec-WebSocket-Protocol"))
	require.Contains(t, resp.header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	require.NoError(t, wc.conn.Close())
	c := ts.request("GET", polling4, nil, "Accept-Encoding", "x-none", "Accept-Encoding", "gzip")
	require.Equal(t, "gzip", c.header.Get("Content-Encoding"))
}

func TestPath(t *testing.T) {
	for _, c := range []struct {
		option string
		served []string
		not    []string
	}{
		{"", []string{"/engine.io", "/engine.io/", "/engine.io/foo", "/engine.io//"}, []string{"/", "/engine.i", "/engine.iox", "/engine.io.", "/x/engine.io/", "//engine.io/", "/socket.io/"}},
		{"/mesh/v1/", []string{"/mesh/v1", "/mesh/v1/", "/mesh/v1/x"}, []string{"/mesh", "/mesh/", "/mesh/v11", "/engine.io/"}},
		{"rt", []string{"/rt", "/rt/"}, []string{"/", "/r", "/engine.io/"}},
		{"/", []string{"/", "/x"}, nil},
	} {
		ts := newTestServer(t, echoHandler, &engineio.ServerOptions{Path: c.option})
		host, _, _ := strings.Cut(strings.TrimPrefix(ts.base, "http://"), "/")
		for _, p := range append(append([]string{}, c.served...), c.not...) {
			t.Run(fmt.Sprintf("%q %s", c.option, p), func(t *testing.T) {
				resp, wc := ts.sendRaw("GET " + p + "?" + polling4 + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
				require.NoError(t, wc.conn.Close())
				if slices.Contains(c.served, p) {
					require.Equal(t, http.StatusOK, resp.status)
				} else {
					require.Equal(t, http.StatusNotFound, resp.status)
				}
			})
		}
	}
}

func TestOpenPacket(t *testing.T) {
	for _, c := range []struct {
		name, want string
		rev        engineio.Revision
		transport  engineio.Transport
		opts       *engineio.ServerOptions
	}{
		{"revision 4", `0{"sid":"SID","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, engineio.Revision4, engineio.Polling, bothRevisions()},
		{"revision 3", `0{"sid":"SID","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, engineio.Revision3, engineio.Polling, bothRevisions()},
		{"no upgrade", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, engineio.Revision4, engineio.Polling, &engineio.ServerOptions{NoUpgrade: true}},
		{"polling only", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, engineio.Revision4, engineio.Polling, &engineio.ServerOptions{Transports: []engineio.Transport{engineio.Polling}}},
		{"options", `0{"sid":"SID","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":77}`, engineio.Revision4, engineio.Polling,
			&engineio.ServerOptions{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, MaxPayload: 77}},
		{"websocket revision 4", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, engineio.Revision4, engineio.WebSocket, bothRevisions()},
		{"websocket revision 3", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, engineio.Revision3, engineio.WebSocket, bothRevisions()},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := newTestServer(t, echoHandler, c.opts)
			var got string
			if c.transport == engineio.WebSocket {
				wc := ts.webSocket(fmt.Sprintf("EIO=%d&transport=websocket", c.rev))
				got = wc.readText()
				require.NoError(t, wc.conn.Close())
			} else {
				resp := ts.request("GET", fmt.Sprintf("EIO=%d&transport=polling", c.rev), nil)
				require.Equal(t, 200, resp.status)
				require.Equal(t, "text/plain; charset=UTF-8", resp.header.Get("Content-Type"))
				require.Equal(t, fmt.Sprint(len(resp.body)), resp.header.Get("Content-Length"))
				require.Equal(t, "no-store", resp.header.Get("Cache-Control"))
				got = resp.body
			}
			before, rest, _ := strings.Cut(got, `"sid":"`)
			sid, rest, _ := strings.Cut(rest, `"`)
			want := c.want
			if c.rev == engineio.Revision3 && c.transport == engineio.Polling { // the length prefix counts the sid
				want = fmt.Sprintf("%d:%s", len(c.want)-len("SID")+len(sid), c.want)
			}
			require.Equal(t, want, before+`"sid":"SID"`+rest)
		})
	}
}

func TestPostAndPollHeaders(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		ts := newTestServer(t, echoHandler, bothRevisions())
		pc := ts.openPolling(rev)
		resp := pc.post(pc.payload("4hello", "4world"))
		require.Equal(t, "200 ok", resp.summary())
		require.Equal(t, "text/html", resp.header.Get("Content-Type"))
		require.Equal(t, "2", resp.header.Get("Content-Length"))
		got := ""
		for got != pc.payload("4hello", "4world") {
			resp = pc.poll()
			require.Equal(t, 200, resp.status)
			require.Equal(t, "text/plain; charset=UTF-8", resp.header.Get("Content-Type"))
			require.Equal(t, fmt.Sprint(len(resp.body)), resp.header.Get("Content-Length"))
			require.Equal(t, "no-store", resp.header.Get("Cache-Control"))
			if got != "" && rev == engineio.Revision4 {
				got += "\x1e"
			}
			got += resp.body
		}
		// Every content type but one means text.
		for _, ct := range []string{"", "application/json", "application/x-www-form-urlencoded", "application/octet-stream; charset=UTF-8"} {
			require.Equal(t, "200 ok", pc.post(pc.payload("4x"), "Content-Type", ct).summary())
			require.Equal(t, "200 "+pc.payload("4x"), pc.poll().summary())
		}
	})
}

func TestTheLastValueOfAQueryCounts(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	resp := ts.request("GET", "EIO=3&EIO=4&transport=polling&sid=", nil)
	require.Equal(t, 200, resp.status)
	require.True(t, strings.HasPrefix(resp.body, "0{"), resp.body)
	pc := ts.openPolling(engineio.Revision4)
	pc.query = "sid=other&t=1&" + pc.query + "&t=2"
	pc.requireEcho("x")
}

// A faulty request with a sid does not affect the session.
func TestRequestsThatDoNotFitTheSession(t *testing.T) {
	inBubble(t, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		for _, c := range []struct{ name, method, query, want string }{
			{"another revision", "GET", strings.Replace(pc.query, "EIO=4", "EIO=3", 1), "400 " + badRequest},
			{"no revision", "GET", strings.Replace(pc.query, "EIO=4", "", 1), "400 " + badRequest},
			{"another transport", "GET", strings.Replace(pc.query, "polling", "websocket", 1), "400 " + badRequest},
			{"PUT", "PUT", pc.query, "500 "},
			{"OPTIONS", "OPTIONS", pc.query, "500 "},
			{"DELETE", "DELETE", pc.query, "500 "},
			{"HEAD", "HEAD", pc.query, "500 "},
		} {
			require.Equal(t, c.want, ts.request(c.method, c.query, nil).summary(), c.name)
		}
		pc.requireEcho("alive")

		wc, sid := ts.openWebSocket(engineio.Revision4)
		for _, query := range []string{polling4, "EIO=4&transport=websocket"} {
			require.Equal(t, "400 "+badRequest, ts.request("GET", query+"&sid="+sid, nil).summary())
			require.Equal(t, "400 "+badRequest, ts.request("POST", query+"&sid="+sid, nil).summary())
		}
		wc.requireEcho("alive")
		require.NoError(t, wc.conn.Close())
	})
}

func TestWebSocketHandshakeDetails(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	const ws4 = "EIO=4&transport=websocket"

	resp, wc := ts.handshake(ws4, "Sec-WebSocket-Protocol", "chat, superchat", "Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
	require.Equal(t, http.StatusSwitchingProtocols, resp.status)
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", resp.header.Get("Sec-WebSocket-Accept"))
	require.Equal(t, "chat", resp.header.Get("Sec-WebSocket-Protocol"), "the first one offered")
	require.Empty(t, resp.header.Values("Sec-WebSocket-Extensions"))
	require.NoError(t, wc.conn.Close())

	resp, wc = ts.handshake(ws4)
	require.Equal(t, http.StatusSwitchingProtocols, resp.status)
	require.Empty(t, resp.header.Values("Sec-WebSocket-Protocol"))
	require.NoError(t, wc.conn.Close())

	// Polling with an upgrade's header fields is accepted and closed, as in the reference.
	wc = ts.webSocket(polling4)
	require.Equal(t, "close", wc.readEnd())
	pc := ts.openPolling(engineio.Revision4)
	require.Equal(t, "close", ts.webSocket(pc.query).readEnd())
	pc.requireEcho("alive")
}

// Frames that come in the same write as the handshake are not lost.
func TestFramesBehindTheHandshake(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	resp, wc := ts.sendRaw(ts.handshakeText("EIO=4&transport=websocket") + "\x81\x82\x00\x00\x00\x004x")
	require.Equal(t, http.StatusSwitchingProtocols, resp.status)
	require.True(t, strings.HasPrefix(wc.readText(), "0{"))
	require.Equal(t, "4x", wc.readText())
	require.NoError(t, wc.conn.Close())
}

func TestBase64OverWebSocket(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	for rev, want := range map[engineio.Revision]string{engineio.Revision3: "b4AQIDBA==", engineio.Revision4: "bAQIDBA=="} {
		wc := ts.webSocket(fmt.Sprintf("EIO=%d&transport=websocket&b64=1", rev))
		_ = wc.readText()
		wc.sendText(want)
		require.Equal(t, want, wc.readText())
		require.NoError(t, wc.conn.Close())
	}
}

// A closed server rejects new sessions with status 503, and its old sessions are unknown.
func TestClosedServerRefuses(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	pc := ts.openPolling(engineio.Revision4)
	require.NoError(t, ts.srv.Close())
	require.Equal(t, http.StatusServiceUnavailable, ts.request("GET", polling4, nil).status)
	resp, wc := ts.handshake("EIO=4&transport=websocket")
	require.Equal(t, http.StatusServiceUnavailable, resp.status)
	require.NoError(t, wc.conn.Close())
	require.Equal(t, "400 "+unknownSession, pc.poll().summary())
}

func TestDrainRefusesNewSessionsOnly(t *testing.T) {
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc, other := ts.openPolling(engineio.Revision4), ts.openPolling(engineio.Revision4)
		ts.srv.Drain()
		require.Equal(t, http.StatusServiceUnavailable, ts.request("GET", polling4, nil).status)
		resp, wc := ts.handshake("EIO=4&transport=websocket")
		require.Equal(t, http.StatusServiceUnavailable, resp.status)
		require.NoError(t, wc.conn.Close())
		pc.requireEcho("goes on")
		poll := inBackground(other.poll)
		wc = other.upgrade()
		wc.probe()
		require.Equal(t, "200 6", (<-poll).summary())
		wc.sendText("5")
		wc.sendText("4moves on")
		require.Equal(t, "4moves on", wc.readText())
		require.NoError(t, wc.conn.Close())
		require.NoError(t, ts.srv.Close())
	})
}

// An error response contains no part of the request.
func TestErrorsDoNotReflectTheRequest(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	for _, query := range []string{"EIO=4&transport=%3Cscript%3E", polling4 + "&sid=%3Cscript%3E", "EIO=%3Cscript%3E&transport=polling"} {
		resp := ts.request("GET", query, nil)
		require.NotContains(t, resp.body, "script")
		for _, values := range resp.header {
			require.NotContains(t, strings.Join(values, ""), "script")
		}
	}
}
