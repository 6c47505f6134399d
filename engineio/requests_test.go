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
			w := newSite(t, echoHandler, c.opts)
			a := w.ask(c.method, c.query, nil)
			require.NoError(t, a.err)
			require.Equal(t, http.StatusBadRequest, a.status)
			require.Equal(t, "application/json", a.header.Get("Content-Type"))
			require.Equal(t, c.body, a.body)
			require.Empty(t, w.srv.Sockets())
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
			w := newSite(t, echoHandler, c.opts)
			a, l := w.shake(c.query, c.header...)
			require.NoError(t, a.err)
			require.Equal(t, http.StatusBadRequest, a.status, "refused before 101, so that clients see an error")
			require.Equal(t, "text/html", a.header.Get("Content-Type"))
			require.Equal(t, fmt.Sprint(len(c.body)), a.header.Get("Content-Length"))
			require.Equal(t, "close", a.header.Get("Connection"))
			require.Equal(t, c.body, a.body)
			_, err := l.r.ReadByte()
			require.ErrorIs(t, err, io.EOF, "the connection is closed")
			require.NoError(t, l.conn.Close())
			require.Empty(t, w.srv.Sockets())
		})
	}
}

// A handshake that violates RFC 6455 is also rejected before the 101, and opens no session.
func TestBrokenWebSocketHandshakes(t *testing.T) {
	good := (&site{t: t, base: "http://pipe/engine.io/"}).handshakeText("EIO=4&transport=websocket")
	for name, raw := range map[string]string{
		"no key":          strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"short key":       strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1),
		"another version": strings.Replace(good, "Version: 13", "Version: 8", 1),
		"no version":      strings.Replace(good, "Sec-WebSocket-Version: 13\r\n", "", 1),
		"HTTP/1.0":        strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1),
		"POST":            strings.Replace(good, "GET ", "POST ", 1),
	} {
		t.Run(name, func(t *testing.T) {
			inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
				a, l := w.send(raw)
				defer func() { require.NoError(t, l.conn.Close()) }()
				require.NoError(t, a.err)
				require.GreaterOrEqual(t, a.status, 400)
				require.Less(t, a.status, 600)
				_, err := l.r.ReadByte()
				require.ErrorIs(t, err, io.EOF, "the connection is closed")
				synctest.Wait()
				requireNothingLeft(t, w.srv)
			})
		})
	}
}

// A request with Upgrade but without Connection is an ordinary request. Both header fields are lists, which a proxy may
// send in several lines.
func TestUpgradeIsNamedByConnection(t *testing.T) {
	w := newSite(t, echoHandler, nil)
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
		if text := w.handshakeText(polling4); !strings.Contains(text, replaced) {
			t.Fatalf("%q lacks %q", text, replaced)
		}
		a, l := w.send(strings.Replace(w.handshakeText("EIO=4&transport=websocket"), replaced, header, 1))
		require.NoError(t, a.err)
		require.Equal(t, want, a.status, header)
		if want == 400 {
			require.Equal(t, badRequest, a.body)
		}
		require.NoError(t, l.conn.Close())
		a, l = w.send(strings.Replace(w.handshakeText(polling4), replaced, header, 1))
		require.NoError(t, a.err)
		require.Equal(t, want == 101, a.status == 101, header)
		require.NoError(t, l.conn.Close())
	}
}

// Subprotocols and extensions are lists too.
func TestListsOverSeveralLines(t *testing.T) {
	w := newSite(t, echoHandler, &engineio.ServerOptions{PerMessageDeflate: true, CompressionThreshold: 1})
	a, l := w.shake("EIO=4&transport=websocket", "Sec-WebSocket-Protocol", "one, two", "Sec-WebSocket-Protocol", "three",
		"Sec-WebSocket-Extensions", "x-unknown", "Sec-WebSocket-Extensions", "permessage-deflate; client_no_context_takeover; server_no_context_takeover")
	require.Equal(t, http.StatusSwitchingProtocols, a.status)
	require.Equal(t, "one", a.header.Get("Sec-WebSocket-Protocol"))
	require.Contains(t, a.header.Get("Sec-WebSocket-Extensions"), "permessage-deflate")
	require.NoError(t, l.conn.Close())
	c := w.ask("GET", polling4, nil, "Accept-Encoding", "x-none", "Accept-Encoding", "gzip")
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
		w := newSite(t, echoHandler, &engineio.ServerOptions{Path: c.option})
		host, _, _ := strings.Cut(strings.TrimPrefix(w.base, "http://"), "/")
		for _, p := range append(append([]string{}, c.served...), c.not...) {
			t.Run(fmt.Sprintf("%q %s", c.option, p), func(t *testing.T) {
				a, l := w.send("GET " + p + "?" + polling4 + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
				require.NoError(t, l.conn.Close())
				if slices.Contains(c.served, p) {
					require.Equal(t, http.StatusOK, a.status)
				} else {
					require.Equal(t, http.StatusNotFound, a.status)
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
			w := newSite(t, echoHandler, c.opts)
			var got string
			if c.transport == engineio.WebSocket {
				l := w.line(fmt.Sprintf("EIO=%d&transport=websocket", c.rev))
				got = l.text()
				require.NoError(t, l.conn.Close())
			} else {
				a := w.ask("GET", fmt.Sprintf("EIO=%d&transport=polling", c.rev), nil)
				require.Equal(t, 200, a.status)
				require.Equal(t, "text/plain; charset=UTF-8", a.header.Get("Content-Type"))
				require.Equal(t, fmt.Sprint(len(a.body)), a.header.Get("Content-Length"))
				require.Equal(t, "no-store", a.header.Get("Cache-Control"))
				got = a.body
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
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		t.Run(fmt.Sprint("revision ", rev), func(t *testing.T) {
			w := newSite(t, echoHandler, bothRevisions())
			v := w.open(rev)
			a := v.post(v.framed("4hello", "4world"))
			require.Equal(t, "200 ok", a.brief())
			require.Equal(t, "text/html", a.header.Get("Content-Type"))
			require.Equal(t, "2", a.header.Get("Content-Length"))
			got := ""
			for got != v.framed("4hello", "4world") {
				a = v.poll()
				require.Equal(t, 200, a.status)
				require.Equal(t, "text/plain; charset=UTF-8", a.header.Get("Content-Type"))
				require.Equal(t, fmt.Sprint(len(a.body)), a.header.Get("Content-Length"))
				require.Equal(t, "no-store", a.header.Get("Cache-Control"))
				if got != "" && rev == engineio.Revision4 {
					got += "\x1e"
				}
				got += a.body
			}
			// Every content type but one means text.
			for _, ct := range []string{"", "application/json", "application/x-www-form-urlencoded", "application/octet-stream; charset=UTF-8"} {
				require.Equal(t, "200 ok", v.post(v.framed("4x"), "Content-Type", ct).brief())
				require.Equal(t, "200 "+v.framed("4x"), v.poll().brief())
			}
		})
	}
}

func TestTheLastValueOfAQueryCounts(t *testing.T) {
	w := newSite(t, echoHandler, bothRevisions())
	a := w.ask("GET", "EIO=3&EIO=4&transport=polling&sid=", nil)
	require.Equal(t, 200, a.status)
	require.True(t, strings.HasPrefix(a.body, "0{"), a.body)
	v := w.open(engineio.Revision4)
	v.query = "sid=other&t=1&" + v.query + "&t=2"
	v.requireEcho("x")
}

// A faulty request with a sid does not affect the session.
func TestRequestsThatDoNotFitTheSession(t *testing.T) {
	inSite(t, echoHandler, bothRevisions(), func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		for _, c := range []struct{ name, method, query, want string }{
			{"another revision", "GET", strings.Replace(v.query, "EIO=4", "EIO=3", 1), "400 " + badRequest},
			{"no revision", "GET", strings.Replace(v.query, "EIO=4", "", 1), "400 " + badRequest},
			{"another transport", "GET", strings.Replace(v.query, "polling", "websocket", 1), "400 " + badRequest},
			{"PUT", "PUT", v.query, "500 "},
			{"OPTIONS", "OPTIONS", v.query, "500 "},
			{"DELETE", "DELETE", v.query, "500 "},
			{"HEAD", "HEAD", v.query, "500 "},
		} {
			require.Equal(t, c.want, w.ask(c.method, c.query, nil).brief(), c.name)
		}
		v.requireEcho("alive")

		l, sid := w.session(engineio.Revision4)
		for _, query := range []string{polling4, "EIO=4&transport=websocket"} {
			require.Equal(t, "400 "+badRequest, w.ask("GET", query+"&sid="+sid, nil).brief())
			require.Equal(t, "400 "+badRequest, w.ask("POST", query+"&sid="+sid, nil).brief())
		}
		l.requireEcho("alive")
		require.NoError(t, l.conn.Close())
	})
}

func TestWebSocketHandshakeDetails(t *testing.T) {
	w := newSite(t, echoHandler, bothRevisions())
	const ws4 = "EIO=4&transport=websocket"

	a, l := w.shake(ws4, "Sec-WebSocket-Protocol", "chat, superchat", "Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
	require.Equal(t, http.StatusSwitchingProtocols, a.status)
	require.Equal(t, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", a.header.Get("Sec-WebSocket-Accept"))
	require.Equal(t, "chat", a.header.Get("Sec-WebSocket-Protocol"), "the first one offered")
	require.Empty(t, a.header.Values("Sec-WebSocket-Extensions"))
	require.NoError(t, l.conn.Close())

	a, l = w.shake(ws4)
	require.Equal(t, http.StatusSwitchingProtocols, a.status)
	require.Empty(t, a.header.Values("Sec-WebSocket-Protocol"))
	require.NoError(t, l.conn.Close())

	// Polling with an upgrade's header fields is accepted and closed, as in the reference.
	l = w.line(polling4)
	require.Equal(t, "close", l.ending())
	v := w.open(engineio.Revision4)
	require.Equal(t, "close", w.line(v.query).ending())
	v.requireEcho("alive")
}

// Frames that come in the same write as the handshake are not lost.
func TestFramesBehindTheHandshake(t *testing.T) {
	w := newSite(t, echoHandler, nil)
	a, l := w.send(w.handshakeText("EIO=4&transport=websocket") + "\x81\x82\x00\x00\x00\x004x")
	require.Equal(t, http.StatusSwitchingProtocols, a.status)
	require.True(t, strings.HasPrefix(l.text(), "0{"))
	require.Equal(t, "4x", l.text())
	require.NoError(t, l.conn.Close())
}

func TestBase64OverWebSocket(t *testing.T) {
	w := newSite(t, echoHandler, bothRevisions())
	for rev, want := range map[engineio.Revision]string{engineio.Revision3: "b4AQIDBA==", engineio.Revision4: "bAQIDBA=="} {
		l := w.line(fmt.Sprintf("EIO=%d&transport=websocket&b64=1", rev))
		_ = l.text()
		l.say(want)
		require.Equal(t, want, l.text())
		require.NoError(t, l.conn.Close())
	}
}

// A closed server rejects new sessions with status 503, and its old sessions are unknown.
func TestClosedServerRefuses(t *testing.T) {
	w := newSite(t, echoHandler, nil)
	v := w.open(engineio.Revision4)
	require.NoError(t, w.srv.Close())
	require.Equal(t, http.StatusServiceUnavailable, w.ask("GET", polling4, nil).status)
	a, l := w.shake("EIO=4&transport=websocket")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NoError(t, l.conn.Close())
	require.Equal(t, "400 "+unknownSession, v.poll().brief())
}

func TestDrainRefusesNewSessionsOnly(t *testing.T) {
	inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
		v, other := w.open(engineio.Revision4), w.open(engineio.Revision4)
		w.srv.Drain()
		require.Equal(t, http.StatusServiceUnavailable, w.ask("GET", polling4, nil).status)
		a, l := w.shake("EIO=4&transport=websocket")
		require.Equal(t, http.StatusServiceUnavailable, a.status)
		require.NoError(t, l.conn.Close())
		v.requireEcho("goes on")
		poll := later(other.poll)
		l = other.upgrade()
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.Equal(t, "200 6", (<-poll).brief())
		l.say("5")
		l.say("4moves on")
		require.Equal(t, "4moves on", l.text())
		require.NoError(t, l.conn.Close())
		require.NoError(t, w.srv.Close())
	})
}

// An error response contains no part of the request.
func TestErrorsDoNotReflectTheRequest(t *testing.T) {
	w := newSite(t, echoHandler, nil)
	for _, query := range []string{"EIO=4&transport=%3Cscript%3E", polling4 + "&sid=%3Cscript%3E", "EIO=%3Cscript%3E&transport=polling"} {
		a := w.ask("GET", query, nil)
		require.NotContains(t, a.body, "script")
		for _, values := range a.header {
			require.NotContains(t, strings.Join(values, ""), "script")
		}
	}
}
