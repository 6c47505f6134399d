package engineio_test

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// The tests of this file cover published faults of other implementations. docs/security.md lists them all.
// These tests check who may open a session, and which information the server reveals to whom.

// The server checks the origin on every transport and on every request of a session. A rejected request leaves no
// session behind.
// Advisories: GHSA-gr94-w7qr-f4j3, engine.io 6.6.7
func TestOriginOnEveryTransport(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	pc := ts.openPolling(engineio.Revision4)
	for range 50 {
		for _, query := range []string{"EIO=3&transport=websocket", "EIO=4&transport=websocket", polling4, pc.query, strings.Replace(pc.query, "polling", "websocket", 1)} {
			resp, wc := ts.handshake(query, "Origin", "https://evil.example")
			require.Equal(t, "400 Forbidden", resp.summary())
			require.NoError(t, wc.conn.Close())
			require.Equal(t, "403 "+forbidden, ts.request("GET", strings.Replace(query, "websocket", "polling", 1), nil, "Origin", "https://evil.example").summary())
		}
	}
	require.Len(t, ts.srv.Sockets(), 1)
	pc.requireEcho("alive")
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
	ts := newTestServer(t, echoHandler, opts)
	for _, rev := range []string{"EIO=3", "EIO=4"} {
		for _, query := range []string{"&transport=polling", "&transport=polling&j=0"} {
			resp := ts.request("GET", rev+query, nil)
			require.Equal(t, `403 {"code":4,"message":"no ticket"}`, resp.summary())
			require.Empty(t, resp.header.Values("Set-Cookie"))
			b, wc := ts.handshake(rev + query)
			require.Equal(t, "400 no ticket", b.summary())
			require.NoError(t, wc.conn.Close())
		}
		resp, wc := ts.handshake(rev + "&transport=websocket")
		require.Equal(t, "400 no ticket", resp.summary())
		require.Empty(t, resp.header.Values("Set-Cookie"))
		require.NoError(t, wc.conn.Close())
	}
}

// The server rejects an ID that another session has, and an ID that would break the syntax of the open packet, the
// cookie or a log line.
// Advisories: CVE-2017-16031
func TestUnsafeGeneratedIDs(t *testing.T) {
	id := "first"
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{GenerateID: func(*http.Request) (string, error) { return id, nil }, Cookie: &http.Cookie{}})
	resp := ts.request("GET", polling4, nil)
	pc := &pollingClient{ts: ts, rev: engineio.Revision4, sid: id, query: polling4 + "&sid=" + id}
	require.Equal(t, id, sidOf(t, resp.body))
	for _, id = range []string{"first", "", "x; Domain=evil.example", "x\r\nSet-Cookie: a=b", `x","upgrades":[]`, "x&sid=first", "ä"} {
		resp := ts.request("GET", polling4, nil)
		require.Equal(t, "400 "+badRequest, resp.summary(), "%q", id)
		require.Empty(t, resp.header.Values("Set-Cookie"))
	}
	require.Len(t, ts.srv.Sockets(), 1)
	pc.requireEcho("still its own")
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
	ts := newTestServer(t, echoHandler, nil)
	for _, method := range []string{"GET", "POST", "OPTIONS"} {
		resp := ts.request(method, polling4, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		require.Equal(t, 403, resp.status)
		for name := range resp.header {
			require.False(t, strings.HasPrefix(name, "Access-Control"), name)
		}
	}
	require.Empty(t, ts.srv.Sockets())
}

// A page of another origin can open no session and use no visitor's session, also if its origin looks like an allowed
// origin.
// Advisories: CVE-2019-13611
func TestCrossSiteWebSocketHijacking(t *testing.T) {
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, AllowedOrigins: []string{"https://good.example"}})
	pc, v3 := ts.openPolling(engineio.Revision4), ts.openPolling(engineio.Revision3)
	for _, origin := range []string{"https://evil.example", "null", "https://good.example.evil.example", "http://good.example", "https://good.example:8443", "https://good.example@evil.example", "https://evilgood.example", "HTTPS://GOOD.EXAMPLE.EVIL"} {
		for _, query := range []string{"EIO=3&transport=polling", polling4, pc.query, v3.query} {
			resp, wc := ts.handshake(strings.Replace(query, "polling", "websocket", 1), "Origin", origin)
			require.Equal(t, "400 Forbidden", resp.summary(), origin)
			require.NoError(t, wc.conn.Close())
			for _, method := range []string{"GET", "POST"} {
				require.Equal(t, 403, ts.request(method, query, nil, "Origin", origin).status, origin)
			}
		}
	}
	require.Len(t, ts.srv.Sockets(), 2)
	pc.requireEcho("alive")
	v3.requireEcho("alive")
}

// A client rejects a server whose certificate it does not trust, on each transport.
// Advisories: CVE-2016-10536
func TestClientsVerifyCertificates(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil, overTLS(false))
	for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
		for _, scheme := range []string{"https", "wss"} {
			url := strings.Replace(ts.url, "https", scheme, 1)
			_, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{Transports: []engineio.Transport{transport}})
			require.ErrorContains(t, err, "certificate")
			s, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{Transports: []engineio.Transport{transport}, HTTPClient: ts.client})
			require.NoError(t, err)
			require.NoError(t, s.Write(testContext(t), engineio.Text("x")))
			m, err := s.Read(testContext(t))
			require.NoError(t, err)
			require.Equal(t, "x", string(m.Data))
			require.NotNil(t, ts.srv.Sockets()[0].Request().TLS)
			require.NoError(t, s.Close())
		}
	}
}

// Old versions of engine.io copied the number of a JSONP function unchanged into the response; newer versions take only
// its digits.
// Advisories: engine.io JSONP
func TestJSONPCallbackInjection(t *testing.T) {
	ts := newTestServer(t, echoHandler, jsonpOptions())
	for _, j := range []string{"](0)%3Balert(1)%3B//", "%5D%28%29%3Balert%281%29%2F%2F", "%3Cscript%3E", "%E2%80%A8alert(1)", "0%0Aalert(1)", "0%00", "window.top"} {
		resp := ts.request("GET", polling4+"&j="+j, nil)
		require.Equal(t, 200, resp.status)
		require.Regexp(t, `^___eio\[[0-9]*\]\("0\{\\"sid\\":\\"[A-Za-z0-9_-]{24}\\",[ -~]*"\);$`, resp.body)
		require.NotContains(t, resp.body, "alert")
		require.NotContains(t, resp.body, "script")
		require.Equal(t, "nosniff", resp.header.Get("X-Content-Type-Options"))
		require.Equal(t, "text/javascript; charset=UTF-8", resp.header.Get("Content-Type"))
	}
}

// A foreign page's script tag is a request without an Origin header.
// Advisories: CVE-2019-13611
func TestCrossSiteJSONP(t *testing.T) {
	opts := jsonpOptions()
	opts.AllowedOrigins = []string{"https://good.example"}
	ts := newTestServer(t, echoHandler, opts)
	for _, header := range [][]string{
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Referer", "https://evil.example/?https://good.example/"},
		{"Sec-Fetch-Site", "cross-site", "Referer", "https://good.example.evil.example/"},
		{"Origin", "https://evil.example", "Referer", "https://good.example/"},
		nil,
	} {
		require.Equal(t, "403 "+forbidden, ts.request("GET", polling4+"&j=0", nil, header...).summary(), "%q", header)
	}
	require.Empty(t, ts.srv.Sockets())
}

// A client that knows a sid controls the session. So no log, no error and no response to another client contains a sid.
// Advisories: CVE-2026-33247
func TestSessionIDsAreNotShown(t *testing.T) {
	logged := new(interoptest.Buffer)
	h := newEndRecorder()
	opts := bothRevisions()
	opts.Logger = slog.New(slog.NewTextHandler(logged, &slog.HandlerOptions{Level: slog.LevelDebug}))
	ts := newTestServer(t, h, opts)
	var sids []string
	for _, body := range []string{"nonsense", "1", "2"} {
		pc := ts.openPolling(engineio.Revision4)
		sids = append(sids, pc.sid)
		_ = ts.request("GET", pc.query, nil, "Origin", "https://evil.example")
		_ = ts.request("PUT", pc.query, nil)
		_ = pc.post(body)
		e := <-h.ends(pc.sid)
		require.NotContains(t, e.Error(), pc.sid)
		require.NotContains(t, pc.poll().body, pc.sid)
	}
	wc, sid := ts.openWebSocket(engineio.Revision4)
	sids = append(sids, sid)
	wc.sendText("nonsense")
	require.Equal(t, "close", wc.readEnd())
	<-h.ends(sid)
	pc := ts.openPolling(engineio.Revision4)
	sids = append(sids, pc.sid)
	wc = ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1))
	wc.sendText("nonsense")
	_ = wc.readEnd()
	require.Eventually(t, func() bool { return strings.Contains(logged.String(), "an upgrade was given up") }, receivelimit.SlowSenderTimeout, time.Millisecond)
	pc.socket().Abort(nil)
	s, err := engineio.Dial(testContext(t), ts.base, &engineio.DialOptions{Logger: opts.Logger})
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
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{Transports: []engineio.Transport{engineio.Polling}})
	pc := ts.openPolling(engineio.Revision4)
	for _, query := range []string{"EIO=4&transport=websocket", strings.Replace(pc.query, "polling", "websocket", 1), "EIO=4&transport=webtransport"} {
		resp, wc := ts.handshake(query)
		require.Equal(t, "400 Transport unknown", resp.summary())
		require.NoError(t, wc.conn.Close())
	}
	pc.requireEcho("alive")
	ts = newTestServer(t, echoHandler, &engineio.ServerOptions{Transports: []engineio.Transport{engineio.WebSocket}})
	wc, sid := ts.openWebSocket(engineio.Revision4)
	require.Equal(t, "400 "+unknownTransport, ts.request("GET", polling4+"&sid="+sid, nil).summary())
	wc.requireEcho("alive")
	require.NoError(t, wc.conn.Close())
}
