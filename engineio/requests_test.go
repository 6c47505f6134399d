package engineio

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/packet"
)

const (
	unknownTransport = `{"code":0,"message":"Transport unknown"}`
	unknownSession   = `{"code":1,"message":"Session ID unknown"}`
	badMethod        = `{"code":2,"message":"Bad handshake method"}`
	badRequest       = `{"code":3,"message":"Bad request"}`
	forbidden        = `{"code":4,"message":"Forbidden"}`
	badRevision      = `{"code":5,"message":"Unsupported protocol version"}`
)

// polling4 is what a handshake over polling has in its query.
const polling4 = "EIO=4&transport=polling"

func TestRefusedRequests(t *testing.T) {
	long := strings.Repeat("x", 64<<10)
	both := bothRevisions()
	for _, c := range []struct {
		name, method, query, body string
		opts                      *ServerOptions
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
		{"polling disabled", "GET", polling4, unknownTransport, &ServerOptions{Transports: []Transport{WebSocket}}},
		{"websocket disabled", "GET", "EIO=4&transport=websocket", unknownTransport, &ServerOptions{Transports: []Transport{Polling}}},

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
		{"a method of its own", "BREW", polling4, badMethod, nil},

		{"websocket without an upgrade", "GET", "EIO=4&transport=websocket", badRequest, nil},

		{"revision 3 unasked", "GET", "EIO=3&transport=polling", badRevision, nil},
		{"no revision", "GET", "transport=polling", badRevision, nil},
		{"revision 5", "GET", "EIO=5&transport=polling", badRevision, nil},
		{"revision is a text", "GET", "EIO=04&transport=polling", badRevision, nil},
		{"the last revision counts", "GET", "EIO=4&EIO=3&transport=polling", badRevision, nil},
		{"revision 4 disabled", "GET", polling4, badRevision, &ServerOptions{Revisions: []Revision{Revision3}}},
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
			w := newSite(t, echo, c.opts)
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
		opts              *ServerOptions
		header            []string
	}{
		{"no transport", "EIO=4", "Transport unknown", nil, nil},
		{"unknown transport", "EIO=4&transport=tobi", "Transport unknown", nil, nil},
		{"websocket disabled", ws4, "Transport unknown", &ServerOptions{Transports: []Transport{Polling}}, nil},
		{"unknown sid", ws4 + "&sid=none", "Session ID unknown", nil, nil},
		{"property of objects as sid", ws4 + "&sid=__proto__", "Session ID unknown", nil, nil},
		{"revision 3 unasked", "EIO=3&transport=websocket", "Unsupported protocol version", nil, nil},
		{"no revision", "transport=websocket", "Unsupported protocol version", nil, nil},
		{"another origin", ws4, "Forbidden", nil, []string{"Origin", "http://evil.example"}},
		{"another origin, sid unknown", ws4 + "&sid=none", "Forbidden", nil, []string{"Origin", "http://evil.example"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newSite(t, echo, c.opts)
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

// A handshake that is none by RFC 6455 is refused before 101 too, and opens no session.
func TestBrokenWebSocketHandshakes(t *testing.T) {
	good := (&site{t: t, base: "http://pipe/engine.io/"}).handshakeText("EIO=4&transport=websocket")
	for name, raw := range map[string]string{
		"no key":          strings.Replace(good, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1),
		"short key":       strings.Replace(good, "dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ=", 1),
		"another version": strings.Replace(good, "Version: 13", "Version: 8", 1),
		"no version":      strings.Replace(good, "Sec-WebSocket-Version: 13\r\n", "", 1),
		"no Connection":   strings.Replace(good, "Connection: Upgrade\r\n", "", 1),
		"HTTP/1.0":        strings.Replace(good, "HTTP/1.1", "HTTP/1.0", 1),
		"POST":            strings.Replace(good, "GET ", "POST ", 1),
	} {
		t.Run(name, func(t *testing.T) {
			inSite(t, echo, nil, func(t *testing.T, w *site) {
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
		w := newSite(t, echo, &ServerOptions{Path: c.option})
		host, _, _ := strings.Cut(strings.TrimPrefix(w.base, "http://"), "/")
		for _, p := range append(append([]string{}, c.served...), c.not...) {
			t.Run(fmt.Sprintf("%q %s", c.option, p), func(t *testing.T) {
				a, l := w.send("GET " + p + "?" + polling4 + " HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\n\r\n")
				require.NoError(t, l.conn.Close())
				if want := len(w.srv.Sockets()); want >= 0 && contains(c.served, p) {
					require.Equal(t, http.StatusOK, a.status)
				} else {
					require.Equal(t, http.StatusNotFound, a.status)
				}
			})
		}
	}
}

func contains(all []string, one string) bool {
	return slices.Contains(all, one)
}

func TestOpenPacket(t *testing.T) {
	for _, c := range []struct {
		name, want string
		rev        Revision
		transport  Transport
		opts       *ServerOptions
	}{
		{"revision 4", `0{"sid":"SID","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, Revision4, Polling, bothRevisions()},
		{"revision 3", `0{"sid":"SID","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, Revision3, Polling, bothRevisions()},
		{"no upgrade", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, Revision4, Polling, &ServerOptions{NoUpgrade: true}},
		{"polling only", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, Revision4, Polling, &ServerOptions{Transports: []Transport{Polling}}},
		{"options", `0{"sid":"SID","upgrades":["websocket"],"pingInterval":300,"pingTimeout":200,"maxPayload":77}`, Revision4, Polling,
			&ServerOptions{PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond, MaxPayload: 77}},
		{"websocket revision 4", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, Revision4, WebSocket, bothRevisions()},
		{"websocket revision 3", `0{"sid":"SID","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`, Revision3, WebSocket, bothRevisions()},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newSite(t, echo, c.opts)
			var got string
			if c.transport == WebSocket {
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
			if c.rev == Revision3 && c.transport == Polling { // the length counts the sid
				want = fmt.Sprintf("%d:%s", len(c.want)-len("SID")+len(sid), c.want)
			}
			require.Equal(t, want, before+`"sid":"SID"`+rest)
		})
	}
}

func TestPostAndPollHeaders(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		t.Run(fmt.Sprint("revision ", rev), func(t *testing.T) {
			w := newSite(t, echo, bothRevisions())
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
				if got != "" && rev == Revision4 {
					got += "\x1e"
				}
				got += a.body
			}
			// Any content type is text, but for exactly one.
			for _, ct := range []string{"", "application/json", "application/x-www-form-urlencoded", "application/octet-stream; charset=UTF-8"} {
				require.Equal(t, "200 ok", v.post(v.framed("4x"), "Content-Type", ct).brief())
				require.Equal(t, "200 "+v.framed("4x"), v.poll().brief())
			}
		})
	}
}

// A binary message goes out as base64 in revision 4, and in revision 3 as a binary payload unless the client asked for text.
func TestBinaryOverPolling(t *testing.T) {
	w := newSite(t, echo, bothRevisions())

	v := w.open(Revision4)
	require.Equal(t, "200 ok", v.post("bAQIDBA==").brief())
	require.Equal(t, "200 bAQIDBA==", v.poll().brief())
	require.Equal(t, "200 ok", v.post("bAQIDBA").brief(), "padding is not needed")
	require.Equal(t, "200 bAQIDBA==", v.poll().brief())
	require.Equal(t, "200 ok", v.post("b").brief())
	require.Equal(t, "200 b", v.poll().brief())

	v = w.open(Revision3)
	const binary = "\x01\x05\xff\x04\x01\x02\x03\x04"
	require.Equal(t, "200 ok", v.post("10:b4AQIDBA==").brief())
	a := v.poll()
	require.Equal(t, "application/octet-stream", a.header.Get("Content-Type"))
	require.Equal(t, "200 "+binary, a.brief())
	require.Equal(t, "200 ok", w.ask("POST", v.query, strings.NewReader(binary), "Content-Type", "application/octet-stream").brief())
	require.Equal(t, "200 "+binary, v.poll().brief())

	v = w.open(Revision3, "b64=1")
	require.Equal(t, "200 ok", v.post("10:b4AQIDBA==").brief())
	require.Equal(t, "200 10:b4AQIDBA==", v.poll().brief())
}

func TestTheLastValueOfAQueryCounts(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
	a := w.ask("GET", "EIO=3&EIO=4&transport=polling&sid=", nil)
	require.Equal(t, 200, a.status)
	require.True(t, strings.HasPrefix(a.body, "0{"), a.body)
	v := w.open(Revision4)
	v.query = "sid=other&t=1&" + v.query + "&t=2"
	v.requireEcho("x")
}

// What a request with a sid can get wrong about it leaves the session alone.
func TestRequestsThatDoNotFitTheSession(t *testing.T) {
	inSite(t, echo, bothRevisions(), func(t *testing.T, w *site) {
		v := w.open(Revision4)
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

		l, sid := w.session(Revision4)
		for _, query := range []string{polling4, "EIO=4&transport=websocket"} {
			require.Equal(t, "400 "+badRequest, w.ask("GET", query+"&sid="+sid, nil).brief())
			require.Equal(t, "400 "+badRequest, w.ask("POST", query+"&sid="+sid, nil).brief())
		}
		l.requireEcho("alive")
		require.NoError(t, l.conn.Close())
	})
}

func TestSecondPollEndsTheSession(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		h := newWitness()
		inSite(t, h, bothRevisions(), func(t *testing.T, w *site) {
			v := w.open(rev)
			first := later(v.poll)
			synctest.Wait()
			require.Equal(t, "400 ", v.poll().brief())
			require.Equal(t, "200 "+v.framed("1"), (<-first).brief())
			require.Equal(t, "400 "+unknownSession, v.poll().brief())
			e := <-h.of(v.sid)
			require.Equal(t, ReasonTransportError, e.Reason)
			require.True(t, e.Remote)
			require.ErrorContains(t, e, "overlap from client")
		})
	}
}

func TestSecondPostEndsTheSession(t *testing.T) {
	for name, head := range halfPosts {
		t.Run(name, func(t *testing.T) {
			h := newWitness()
			inSite(t, h, nil, func(t *testing.T, w *site) {
				v := w.open(Revision4)
				start := time.Now()
				conn := w.connect()
				_, err := fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: pipe\r\n%s", v.query, head)
				require.NoError(t, err)
				synctest.Wait()
				require.Equal(t, "400 ", v.post("4x").brief())
				first, err := io.ReadAll(conn) // the first one ends at once too
				require.NoError(t, err)
				require.NotContains(t, string(first), "200 OK")
				require.Zero(t, time.Since(start))
				require.NoError(t, conn.Close())
				require.Equal(t, "400 "+unknownSession, v.poll().brief())
				e := <-h.of(v.sid)
				require.Equal(t, ReasonTransportError, e.Reason)
				require.ErrorContains(t, e, "data request overlap from client")
			})
		})
	}
}

// halfPosts are the rest of a POST's head and the begin of its body.
var halfPosts = map[string]string{
	"declared": "Content-Length: 10\r\n\r\n4ha",
	"chunked":  "Transfer-Encoding: chunked\r\n\r\n3\r\n4ha\r\n",
}

// A body that never ends is waited for as long as a silent peer is.
func TestSlowBody(t *testing.T) {
	for name, head := range halfPosts {
		t.Run(name, func(t *testing.T) {
			h := newWitness()
			inSite(t, h, &ServerOptions{PingInterval: time.Hour}, func(t *testing.T, w *site) {
				v := w.open(Revision4)
				start := time.Now()
				conn := w.connect()
				_, err := fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: pipe\r\n%s", v.query, head)
				require.NoError(t, err)
				_, err = io.Copy(io.Discard, conn)
				require.NoError(t, err)
				require.Equal(t, time.Hour+20*time.Second, time.Since(start))
				require.NoError(t, conn.Close())
				requireNothingLeft(t, w.srv)
			})
		})
	}
	t.Run("declared too large", func(t *testing.T) {
		inSite(t, echo, &ServerOptions{MaxPayload: 100}, func(t *testing.T, w *site) {
			v := w.open(Revision4)
			conn := w.connect()
			_, err := fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: pipe\r\nContent-Length: 1000\r\n\r\n4", v.query)
			require.NoError(t, err)
			go v.poll()
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Contains(t, string(got), "413 Request Entity Too Large")
			require.NoError(t, conn.Close())
		})
	})
}

func TestAbortedPollEndsTheSession(t *testing.T) {
	h := newWitness()
	inSite(t, h, nil, func(t *testing.T, w *site) {
		v := w.open(Revision4)
		conn := w.connect()
		_, err := fmt.Fprintf(conn, "GET /engine.io/?%s HTTP/1.1\r\nHost: pipe\r\n\r\n", v.query)
		require.NoError(t, err)
		synctest.Wait()
		require.NotNil(t, v.socket())
		require.NoError(t, conn.Close())
		e := <-h.of(v.sid)
		require.Equal(t, ReasonTransportError, e.Reason)
		require.ErrorContains(t, e, "poll connection closed prematurely")
		require.Equal(t, "400 "+unknownSession, v.poll().brief())
	})
}

func TestAbortedPostEndsTheSession(t *testing.T) {
	for name, head := range halfPosts {
		t.Run(name, func(t *testing.T) {
			h := newWitness()
			inSite(t, h, nil, func(t *testing.T, w *site) {
				v := w.open(Revision4)
				conn := w.connect()
				_, err := fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: pipe\r\n%s", v.query, head)
				require.NoError(t, err)
				synctest.Wait()
				require.NotNil(t, v.socket())
				require.NoError(t, conn.Close())
				e := <-h.of(v.sid)
				require.Equal(t, ReasonTransportError, e.Reason)
				require.ErrorContains(t, e, "data request connection closed prematurely")
			})
		})
	}
}

// The limit is of bytes and inclusive, for both kinds of bodies, and what is above it is not delivered in part.
func TestPostLimit(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("revision %d chunked %v", rev, chunked), func(t *testing.T) {
				opts := bothRevisions()
				opts.MaxPayload = 100
				w := newSite(t, echo, opts)
				v := w.open(rev)
				post := func(size int) answer {
					payload := ""
					for n := size; len(payload) != size; n-- { // the length prefix of revision 3 counts too
						payload = v.framed("4" + strings.Repeat("x", n))
					}
					var body io.Reader = strings.NewReader(payload)
					if chunked {
						body = io.MultiReader(body) // of no length that net/http would know
					}
					return w.ask("POST", v.query, body)
				}
				require.Equal(t, "200 ok", post(100).brief())
				require.Len(t, v.poll().body, 100)
				require.Equal(t, "413 ", post(101).brief())
				require.Equal(t, "413 ", post(102).brief())
				if chunked && rev == Revision4 { // net/http lingers for half a second
					require.Equal(t, "413 ", post(300_000).brief())
				}
				v.requireEcho("the session lives on")
			})
		}
	}
}

func TestBinaryPostOnRevision4EndsTheSession(t *testing.T) {
	h := newWitness()
	inSite(t, h, nil, func(t *testing.T, w *site) {
		v := w.open(Revision4)
		first := later(v.poll)
		synctest.Wait()
		require.Equal(t, "400 ", v.w.ask("POST", v.query, strings.NewReader("4x"), "Content-Type", "application/octet-stream").brief())
		require.Equal(t, "200 1", (<-first).brief())
		e := <-h.of(v.sid)
		require.Equal(t, ReasonTransportError, e.Reason)
		require.ErrorContains(t, e, "invalid content")
	})
}

func TestPostsThatAreNoPayload(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		bodies := map[Revision][]string{
			Revision4: {"", "abc", "7x", "\x1e", "4a\x1e", "\x1e4a", "4a\x1e\x1e4b", "b!!", "4\xff\xfe", "\x00", "bA"},
			Revision3: {"", "abc", "7x", ":", "1:", "2:4", "3:4a", "-1:4", "0:", "1:7", "99999999999999999999:4", "2:4a3:4b", "2:4\xff", "1:4x", "2:b5"},
		}[rev]
		for _, body := range bodies {
			t.Run(fmt.Sprintf("revision %d %q", rev, body), func(t *testing.T) {
				h := newWitness()
				inSite(t, h, bothRevisions(), func(t *testing.T, w *site) {
					v := w.open(rev)
					first := later(v.poll)
					synctest.Wait()
					require.Equal(t, "400 ", v.post(body).brief())
					require.Equal(t, "200 "+v.framed("1"), (<-first).brief())
					require.Equal(t, "remote "+ReasonParseError, h.end(v.sid))
					require.Equal(t, "400 "+unknownSession, v.poll().brief())
				})
			})
		}
	}
}

// Packets that mean nothing to a server are ignored.
func TestIgnoredPackets(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		w := newSite(t, echo, bothRevisions())
		v := w.open(rev)
		require.Equal(t, "200 ok", v.post(v.framed("0x", "5", "6")).brief())
		v.requireEcho("alive")
	}
}

func TestClosePacketOverPolling(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		h := newWitness()
		inSite(t, h, bothRevisions(), func(t *testing.T, w *site) {
			v := w.open(rev)
			pending := later(v.poll)
			synctest.Wait()
			require.Equal(t, "200 ok", v.post(v.framed("1")).brief())
			require.Equal(t, "200 "+v.framed("6"), (<-pending).brief())
			require.Equal(t, "remote "+ReasonTransportClose, h.end(v.sid))
			require.Equal(t, "400 "+unknownSession, v.poll().brief())
		})
	}
}

// What a client posts before its goodbye still reaches the handler.
func TestMessagesBeforeAClosePacketArrive(t *testing.T) {
	got := make(chan string, 10)
	h := collect(got)
	w := newSite(t, h, nil)
	v := w.open(Revision4)
	require.Equal(t, "200 ok", v.post("4a\x1e4b\x1e1\x1e4c").brief())
	require.Equal(t, []string{"a", "b", "end"}, []string{<-got, <-got, <-got})
}

func TestServerClosesAPollingSession(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		h := newWitness()
		inSite(t, h, bothRevisions(), func(t *testing.T, w *site) {
			v := w.open(rev)
			pending := later(v.poll)
			synctest.Wait()
			require.NoError(t, v.socket().Close())
			require.Equal(t, "200 "+v.framed("1"), (<-pending).brief(), "a poll that waits")
			require.Equal(t, "local "+ReasonForcedClose, h.end(v.sid))

			v = w.open(rev)
			s := v.socket()
			done := make(chan error, 1)
			go func() { done <- s.Close() }()
			time.Sleep(29 * time.Second)
			require.Equal(t, "200 "+v.framed("6", "1"), v.poll().brief(), "a poll that comes later")
			require.NoError(t, <-done)
			require.Equal(t, "400 "+unknownSession, v.poll().brief())

			v = w.open(rev)
			start := time.Now()
			require.NoError(t, v.socket().Close(), "no poll comes")
			require.Equal(t, 30*time.Second, time.Since(start))
		})
	}
}

// collect hands the text of all messages and then "end" to got.
func collect(got chan<- string) Handler {
	return HandlerFunc(func(ctx context.Context, s *Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				got <- "end"
				return
			}
			got <- string(m.Data)
		}
	})
}

// The heartbeat starts at the handshake, not at the first poll.
func TestSilenceEndsASessionThatNeverPolled(t *testing.T) {
	for _, rev := range []Revision{Revision3, Revision4} {
		h := newWitness()
		inSite(t, h, &ServerOptions{Revisions: []Revision{3, 4}, PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}, func(t *testing.T, w *site) {
			v := w.open(rev)
			time.Sleep(500*time.Millisecond - 1)
			require.NotNil(t, v.socket())
			time.Sleep(1)
			require.Equal(t, "remote "+ReasonPingTimeout, h.end(v.sid))
			require.Equal(t, "400 "+unknownSession, v.poll().brief())
		})
	}
}

func TestHeartbeatOnTheWire(t *testing.T) {
	h := newWitness()
	inSite(t, h, bothRevisions(), func(t *testing.T, w *site) {
		// Revision 4: the server pings an interval after the last pong.
		v := w.open(Revision4)
		start := time.Now()
		require.Equal(t, "200 2", v.poll().brief())
		require.Equal(t, 25*time.Second, time.Since(start))
		time.Sleep(10 * time.Second)
		require.Equal(t, "200 ok", v.post("3").brief())
		require.Equal(t, "200 2", v.poll().brief())
		require.Equal(t, 60*time.Second, time.Since(start))
		// What is no pong gives one more timeout, once.
		time.Sleep(19 * time.Second)
		require.Equal(t, "200 ok", v.post("4x").brief())
		require.Equal(t, "200 4x", v.poll().brief())
		time.Sleep(19 * time.Second)
		require.Equal(t, "200 ok", v.post("4x").brief())
		require.Equal(t, "200 4x", v.poll().brief())
		pending := later(v.poll)
		require.Equal(t, "remote "+ReasonPingTimeout, h.end(v.sid))
		require.Equal(t, (60+19+20)*time.Second, time.Since(start))
		require.Equal(t, "200 1", (<-pending).brief())

		// Revision 3: only a ping counts, and its data is not echoed.
		v = w.open(Revision3)
		start = time.Now()
		time.Sleep(40 * time.Second)
		require.Equal(t, "200 ok", v.post("6:2probe").brief())
		require.Equal(t, "200 1:3", v.poll().brief())
		time.Sleep(30 * time.Second)
		require.Equal(t, "200 ok", v.post("2:4x").brief())
		require.Equal(t, "200 2:4x", v.poll().brief())
		require.Equal(t, "remote "+ReasonPingTimeout, h.end(v.sid))
		require.Equal(t, 85*time.Second, time.Since(start))

		// The wrong side pings.
		v = w.open(Revision4)
		require.Equal(t, "200 ok", v.post("2").brief())
		e := <-h.of(v.sid)
		require.Equal(t, ReasonTransportError, e.Reason)
		require.ErrorContains(t, e, "invalid heartbeat direction")
		v = w.open(Revision3)
		require.Equal(t, "200 ok", v.post("1:3").brief())
		require.Equal(t, "remote "+ReasonTransportError, h.end(v.sid))
	})
}

func TestWebSocketHandshakeDetails(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
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

	// polling with the headers of an upgrade: accepted and closed, as by the reference
	l = w.line(polling4)
	require.Equal(t, "close", l.ending())
	v := w.open(Revision4)
	require.Equal(t, "close", w.line(v.query).ending())
	v.requireEcho("alive")
}

// Frames that come behind the handshake in one write are not lost.
func TestFramesBehindTheHandshake(t *testing.T) {
	w := newSite(t, echo, nil)
	a, l := w.send(w.handshakeText("EIO=4&transport=websocket") + "\x81\x82\x00\x00\x00\x004x")
	require.Equal(t, http.StatusSwitchingProtocols, a.status)
	require.True(t, strings.HasPrefix(l.text(), "0{"))
	require.Equal(t, "4x", l.text())
	require.NoError(t, l.conn.Close())
}

func TestBase64OverWebSocket(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
	for rev, want := range map[Revision]string{Revision3: "b4AQIDBA==", Revision4: "bAQIDBA=="} {
		l := w.line(fmt.Sprintf("EIO=%d&transport=websocket&b64=1", rev))
		_ = l.text()
		l.say(want)
		require.Equal(t, want, l.text())
		require.NoError(t, l.conn.Close())
	}
}

func TestOrigin(t *testing.T) {
	ask := func(w *site, origin string, header ...string) answer {
		return w.ask("GET", polling4, nil, append([]string{"Origin", origin}, header...)...)
	}
	t.Run("by default the server's own host", func(t *testing.T) {
		w := newSite(t, echo, nil)
		host, _, _ := strings.Cut(strings.TrimPrefix(w.base, "http://"), "/")
		require.Equal(t, 200, ask(w, "http://"+host).status)
		require.Equal(t, 200, ask(w, "https://app.example", "Host", "app.example").status)
		require.Equal(t, 200, ask(w, "hub.example:8888").status, "engine.io-client 1.x in Node.js, behind a proxy that rewrites Host")
		for _, origin := range []string{
			"http://evil.example", "null", "file://", "http://" + host + ".evil.example", "http://evil.example/" + host,
			"http://" + host + "@evil.example", "http://localhost", "evil", "*", "http://", "://",
		} {
			a := ask(w, origin)
			require.Contains(t, []string{"403 " + forbidden, "400 " + badRequest}, a.brief(), origin)
			require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
			refused, l := w.shake("EIO=4&transport=websocket", "Origin", origin)
			require.Equal(t, 400, refused.status, origin)
			require.NoError(t, l.conn.Close())
		}
		require.Equal(t, "403 "+forbidden, ask(w, "http://evil.example").brief())
		require.Equal(t, "400 "+badRequest, ask(w, "http://[::1").brief(), "what is no URL")

		// A session that is open already is no way around it.
		v := w.open(Revision4)
		require.Equal(t, "403 "+forbidden, w.ask("GET", v.query, nil, "Origin", "http://evil.example").brief())
		require.Equal(t, "403 "+forbidden, w.ask("POST", v.query, strings.NewReader("4x"), "Origin", "http://evil.example").brief())
		refused, l := w.shake(strings.Replace(v.query, "polling", "websocket", 1), "Origin", "http://evil.example")
		require.Equal(t, "400 Forbidden", refused.brief())
		require.NoError(t, l.conn.Close())
		v.requireEcho("alive")
		// Without CORS no preflight succeeds.
		a := w.ask("OPTIONS", polling4, nil, "Origin", "http://evil.example", "Access-Control-Request-Method", "POST")
		require.Equal(t, "403 "+forbidden, a.brief())
		require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
	})
	t.Run("a request without Host has no own origin", func(t *testing.T) {
		w := newSite(t, echo, nil)
		for _, origin := range []string{"null", "file://"} {
			a, l := w.send("GET /engine.io/?" + polling4 + " HTTP/1.0\r\nOrigin: " + origin + "\r\n\r\n")
			require.Equal(t, http.StatusForbidden, a.status, origin)
			require.NoError(t, l.conn.Close())
		}
	})
	t.Run("allowed", func(t *testing.T) {
		w := newSite(t, echo, &ServerOptions{AllowedOrigins: []string{"https://good.example", "https://Slash.example/"}})
		for _, origin := range []string{"https://good.example", "https://slash.example"} {
			a := ask(w, origin)
			require.Equal(t, 200, a.status, origin)
			require.Equal(t, origin, a.header.Get("Access-Control-Allow-Origin"))
			require.Equal(t, "true", a.header.Get("Access-Control-Allow-Credentials"))
			require.Contains(t, a.header.Values("Vary"), "Origin")
			accepted, l := w.shake("EIO=4&transport=websocket", "Origin", origin)
			require.Equal(t, http.StatusSwitchingProtocols, accepted.status)
			require.NoError(t, l.conn.Close())
		}
		for _, origin := range []string{"http://good.example", "https://good.example:444", "https://evil.example", "https://good.example.evil.example"} {
			a := ask(w, origin)
			require.Equal(t, "403 "+forbidden, a.brief(), origin)
			require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
			refused, l := w.shake("EIO=4&transport=websocket", "Origin", origin)
			require.Equal(t, "400 Forbidden", refused.brief())
			require.NoError(t, l.conn.Close())
		}
		a := w.ask("GET", "EIO=9&transport=polling&sid=none", nil, "Origin", "https://good.example")
		require.Equal(t, "400 "+unknownSession, a.brief(), "errors carry the headers too")
		require.Equal(t, "https://good.example", a.header.Get("Access-Control-Allow-Origin"))

		a = w.ask("OPTIONS", polling4, nil, "Origin", "https://good.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-own")
		require.Equal(t, "204 ", a.brief())
		require.Equal(t, "https://good.example", a.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "POST", a.header.Get("Access-Control-Allow-Methods"))
		require.Equal(t, "content-type,x-own", a.header.Get("Access-Control-Allow-Headers"))
		require.Contains(t, a.header.Get("Vary"), "Access-Control-Request-Headers")
		a = w.ask("OPTIONS", polling4, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		require.Empty(t, a.header.Values("Access-Control-Allow-Origin"))
	})
	t.Run("every page", func(t *testing.T) {
		w := newSite(t, echo, &ServerOptions{AllowedOrigins: []string{"*"}})
		for _, origin := range []string{"https://any.example", "null"} {
			a := ask(w, origin)
			require.Equal(t, 200, a.status)
			require.Equal(t, "*", a.header.Get("Access-Control-Allow-Origin"))
			require.Empty(t, a.header.Values("Access-Control-Allow-Credentials"), "never with every page")
		}
	})
}

// A closed server says so, and nobody slips in.
func TestClosedServerRefuses(t *testing.T) {
	w := newSite(t, echo, nil)
	v := w.open(Revision4)
	require.NoError(t, w.srv.Close())
	require.Equal(t, http.StatusServiceUnavailable, w.ask("GET", polling4, nil).status)
	a, l := w.shake("EIO=4&transport=websocket")
	require.Equal(t, http.StatusServiceUnavailable, a.status)
	require.NoError(t, l.conn.Close())
	require.Equal(t, "400 "+unknownSession, v.poll().brief())
}

// An error body is a payload's size and no more, whatever was asked for.
func TestErrorsDoNotReflectTheRequest(t *testing.T) {
	w := newSite(t, echo, nil)
	for _, query := range []string{"EIO=4&transport=%3Cscript%3E", polling4 + "&sid=%3Cscript%3E", "EIO=%3Cscript%3E&transport=polling"} {
		a := w.ask("GET", query, nil)
		require.NotContains(t, a.body, "script")
		for _, values := range a.header {
			require.NotContains(t, strings.Join(values, ""), "script")
		}
	}
}

// A burst of as many packets as a payload may have arrives; one more is refused.
func TestPacketsOfOnePayload(t *testing.T) {
	var read int
	done := make(chan int, 1)
	h := HandlerFunc(func(ctx context.Context, s *Socket) {
		for {
			if _, err := s.Read(ctx); err != nil {
				done <- read
				return
			}
			read++
		}
	})
	w := newSite(t, h, nil)
	v := w.open(Revision4)
	require.Equal(t, "200 ok", v.post("4x"+strings.Repeat("\x1e4x", packet.MaxPackets-1)).brief())
	require.Equal(t, "400 ", v.post("4x"+strings.Repeat("\x1e4x", packet.MaxPackets)).brief())
	require.Equal(t, packet.MaxPackets, <-done)
}
