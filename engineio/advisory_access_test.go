package engineio_test

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// The tests of this file cover published faults of other implementations. docs/security.md lists them all.
// These tests check who may open a session, and which information the server reveals to whom.

// The server checks the origin on every transport and on every request of a session. A rejected request leaves no
// session behind.
// Advisories: GHSA-gr94-w7qr-f4j3, engine.io 6.6.7
func TestOriginOnEveryTransport(t *testing.T) {
	w := newSite(t, echoHandler, bothRevisions())
	v := w.open(engineio.Revision4)
	for range 50 {
		for _, query := range []string{"EIO=3&transport=websocket", "EIO=4&transport=websocket", polling4, v.query, strings.Replace(v.query, "polling", "websocket", 1)} {
			a, l := w.shake(query, "Origin", "https://evil.example")
			require.Equal(t, "400 Forbidden", a.brief())
			require.NoError(t, l.conn.Close())
			require.Equal(t, "403 "+forbidden, w.ask("GET", strings.Replace(query, "websocket", "polling", 1), nil, "Origin", "https://evil.example").brief())
		}
	}
	require.Len(t, w.srv.Sockets(), 1)
	v.requireEcho("alive")
}

// The server calls AllowRequest on every transport, before it creates any part of a session.
// Advisories: GHSA-gr94-w7qr-f4j3, engine.io 6.6.7
func TestAllowRequestOnEveryTransport(t *testing.T) {
	opts := jsonpOptions()
	opts.AllowRequest = func(*http.Request) error { return errors.New("no ticket") }
	opts.GenerateID = func(*http.Request) (string, error) {
		t.Error("a session was begun")
		return "", nil
	}
	opts.Cookie = &http.Cookie{}
	w := newSite(t, echoHandler, opts)
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

// The server rejects an ID that another session has, and an ID that would break the syntax of the open packet, the
// cookie or a log line.
// Advisories: CVE-2017-16031
func TestUnsafeGeneratedIDs(t *testing.T) {
	id := "first"
	w := newSite(t, echoHandler, &engineio.ServerOptions{GenerateID: func(*http.Request) (string, error) { return id, nil }, Cookie: &http.Cookie{}})
	a := w.ask("GET", polling4, nil)
	v := &visit{w: w, rev: engineio.Revision4, sid: id, query: polling4 + "&sid=" + id}
	require.Equal(t, id, sidOf(t, a.body))
	for _, id = range []string{"first", "", "x; Domain=evil.example", "x\r\nSet-Cookie: a=b", `x","upgrades":[]`, "x&sid=first", "ä"} {
		a := w.ask("GET", polling4, nil)
		require.Equal(t, "400 "+badRequest, a.brief(), "%q", id)
		require.Empty(t, a.header.Values("Set-Cookie"))
	}
	require.Len(t, w.srv.Sockets(), 1)
	v.requireEcho("still its own")
}

// A session ID has 144 bits, and of 20,000 IDs no two are equal.
// Advisories: CVE-2017-16031
func TestSessionIDsAreRandom(t *testing.T) {
	const n = 20_000
	seen := make(map[string]bool, n)
	for range n {
		sid := engineio.NewSID()
		b, err := base64.RawURLEncoding.DecodeString(sid)
		require.NoError(t, err)
		require.Len(t, b, 18, "144 bits")
		seen[sid] = true
	}
	require.Len(t, seen, n)
}

// By default, the server rejects every page of another origin, and sends no CORS header.
// Advisories: CVE-2020-28481
func TestNoCrossOriginByDefault(t *testing.T) {
	w := newSite(t, echoHandler, nil)
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		a := w.ask(method, polling4, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		require.Equal(t, 403, a.status)
		for name := range a.header {
			require.False(t, strings.HasPrefix(name, "Access-Control"), name)
		}
	}
	require.Empty(t, w.srv.Sockets())
}

// A page of another origin can open no session and use no visitor's session, also if its origin looks like an allowed
// origin.
// Advisories: CVE-2019-13611
func TestCrossSiteWebSocketHijacking(t *testing.T) {
	w := newSite(t, echoHandler, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, AllowedOrigins: []string{"https://good.example"}})
	v, v3 := w.open(engineio.Revision4), w.open(engineio.Revision3)
	for _, origin := range []string{"https://evil.example", "null", "https://good.example.evil.example", "http://good.example", "https://good.example:8443", "https://good.example@evil.example", "https://evilgood.example", "HTTPS://GOOD.EXAMPLE.EVIL"} {
		for _, query := range []string{"EIO=3&transport=polling", polling4, v.query, v3.query} {
			a, l := w.shake(strings.Replace(query, "polling", "websocket", 1), "Origin", origin)
			require.Equal(t, "400 Forbidden", a.brief(), origin)
			require.NoError(t, l.conn.Close())
			for _, method := range []string{"GET", "POST"} {
				require.Equal(t, 403, w.ask(method, query, nil, "Origin", origin).status, origin)
			}
		}
	}
	require.Len(t, w.srv.Sockets(), 2)
	v.requireEcho("alive")
	v3.requireEcho("alive")
}

// A client rejects a server whose certificate it does not trust, on each transport.
// Advisories: CVE-2016-10536
func TestClientsVerifyCertificates(t *testing.T) {
	srv := engineio.NewServer(echoHandler, nil)
	web := httptest.NewUnstartedServer(srv)
	web.Config.ErrorLog = log.New(io.Discard, "", 0)
	web.StartTLS()
	defer web.Close()
	defer func() { require.NoError(t, srv.Close()) }()
	for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
		for _, scheme := range []string{"https", "wss"} {
			url := strings.Replace(web.URL, "https", scheme, 1)
			_, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{Transports: []engineio.Transport{transport}})
			require.ErrorContains(t, err, "certificate")
			s, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{Transports: []engineio.Transport{transport}, HTTPClient: web.Client()})
			require.NoError(t, err)
			require.NoError(t, s.Write(testContext(t), engineio.Text("x")))
			m, err := s.Read(testContext(t))
			require.NoError(t, err)
			require.Equal(t, "x", string(m.Data))
			require.NotNil(t, srv.Sockets()[0].Request().TLS)
			require.NoError(t, s.Close())
		}
	}
}

// Old versions of engine.io copied the number of a JSONP function unchanged into the response; newer versions take only
// its digits.
// Advisories: engine.io JSONP
func TestJSONPCallbackInjection(t *testing.T) {
	w := newSite(t, echoHandler, jsonpOptions())
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
// Advisories: CVE-2019-13611
func TestCrossSiteJSONP(t *testing.T) {
	opts := jsonpOptions()
	opts.AllowedOrigins = []string{"https://good.example"}
	w := newSite(t, echoHandler, opts)
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

// A client that knows a sid controls the session. So no log, no error and no response to another client contains a sid.
// Advisories: CVE-2026-33247
func TestSessionIDsAreNotShown(t *testing.T) {
	logged := new(lockedBuffer)
	h := newWitness()
	opts := bothRevisions()
	opts.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	w := newSite(t, h, opts)
	var sids []string
	for _, body := range []string{"nonsense", "1", "2"} {
		v := w.open(engineio.Revision4)
		sids = append(sids, v.sid)
		_ = w.ask("GET", v.query, nil, "Origin", "https://evil.example")
		_ = w.ask("PUT", v.query, nil)
		_ = v.post(body)
		e := <-h.of(v.sid)
		require.NotContains(t, e.Error(), v.sid)
		require.NotContains(t, v.poll().body, v.sid)
	}
	l, sid := w.session(engineio.Revision4)
	sids = append(sids, sid)
	l.say("nonsense")
	require.Equal(t, "close", l.ending())
	<-h.of(sid)
	v := w.open(engineio.Revision4)
	sids = append(sids, v.sid)
	l = w.line(strings.Replace(v.query, "polling", "websocket", 1))
	l.say("nonsense")
	_ = l.ending()
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "an upgrade was given up") }, receivelimit.SlowSenderTimeout, time.Millisecond)
	v.socket().Abort(nil)
	s, err := engineio.Dial(testContext(t), w.base, &engineio.DialOptions{Logger: opts.Logger})
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

// A transport that is switched off cannot be reached in any way.
// Advisories: secnote 2026-27
func TestDisabledTransports(t *testing.T) {
	w := newSite(t, echoHandler, &engineio.ServerOptions{Transports: []engineio.Transport{engineio.Polling}})
	v := w.open(engineio.Revision4)
	for _, query := range []string{"EIO=4&transport=websocket", strings.Replace(v.query, "polling", "websocket", 1), "EIO=4&transport=webtransport"} {
		a, l := w.shake(query)
		require.Equal(t, "400 Transport unknown", a.brief())
		require.NoError(t, l.conn.Close())
	}
	v.requireEcho("alive")
	w = newSite(t, echoHandler, &engineio.ServerOptions{Transports: []engineio.Transport{engineio.WebSocket}})
	l, sid := w.session(engineio.Revision4)
	require.Equal(t, "400 "+unknownTransport, w.ask("GET", polling4+"&sid="+sid, nil).brief())
	l.requireEcho("alive")
	require.NoError(t, l.conn.Close())
}
