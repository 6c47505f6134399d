package engineio_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestAllowRequest(t *testing.T) {
	opts := bothRevisions()
	asked := 0
	opts.AllowRequest = func(r *http.Request) error {
		asked++
		return map[string]error{"yes": nil, "no": errors.New("the message"), "": errors.New("")}[r.Header.Get("X-Ticket")]
	}
	ts := newTestServer(t, echoHandler, opts)
	for i, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		query := fmt.Sprintf("EIO=%d&transport=polling", rev)
		resp := ts.request("GET", query, nil, "X-Ticket", "no")
		require.Equal(t, `403 {"code":4,"message":"the message"}`, resp.summary())
		require.Equal(t, "application/json", resp.header.Get("Content-Type"))
		require.Equal(t, "403 "+forbidden, ts.request("GET", query, nil).summary(), "no text")

		resp, wc := ts.handshake(strings.Replace(query, "polling", "websocket", 1), "X-Ticket", "no")
		require.Equal(t, "400 the message", resp.summary(), "before 101")
		require.NoError(t, wc.conn.Close())
		resp, wc = ts.handshake(query, "X-Ticket", "no") // polling with an upgrade's header fields
		require.Equal(t, "400 the message", resp.summary())
		require.NoError(t, wc.conn.Close())
		require.Len(t, ts.srv.Sockets(), i, "those of the turn before")

		wc = ts.webSocket(strings.Replace(query, "polling", "websocket", 1), "X-Ticket", "yes")
		require.True(t, strings.HasPrefix(wc.readText(), "0{"))
		wc.sendText("1")
		require.Equal(t, "close", wc.readEnd())
		resp = ts.request("GET", query, nil, "X-Ticket", "yes")
		require.Equal(t, 200, resp.status)

		before := asked
		pc := &pollingClient{ts: ts, rev: rev, sid: sidOf(t, resp.body), query: query + "&sid=" + sidOf(t, resp.body)}
		pc.requireEcho("not asked for open sessions")
		wc = ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1))
		require.NoError(t, wc.conn.Close())
		require.Equal(t, before, asked)
	}
}

// The order of the checks determines the response to a request with several faults.
func TestAllowRequestIsAskedBehindTheServersOwnChecks(t *testing.T) {
	no := func(*http.Request) error { return errors.New("no") }
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{AllowRequest: no, GenerateID: func(*http.Request) (string, error) {
		t.Error("GenerateID asked for a request that is not allowed")
		return "", nil
	}})
	require.Equal(t, "400 "+unknownTransport, ts.request("GET", "EIO=4&transport=tobi", nil).summary())
	require.Equal(t, "400 "+badRequest, ts.request("GET", polling4, nil, "Origin", "http://%zz").summary())
	require.Equal(t, "403 "+forbidden, ts.request("GET", polling4, nil, "Origin", "http://evil.example").summary())
	require.Equal(t, "400 "+unknownSession, ts.request("GET", polling4+"&sid=x", nil).summary())
	require.Equal(t, "400 "+badMethod, ts.request("POST", polling4, nil).summary())
	require.Equal(t, "400 "+badRequest, ts.request("GET", "EIO=4&transport=websocket", nil).summary())
	const refused = `403 {"code":4,"message":"no"}`
	require.Equal(t, refused, ts.request("GET", "EIO=3&transport=polling", nil).summary(), "before the revision")
	require.Equal(t, refused, ts.request("GET", polling4, nil).summary(), "before the ID")
}

func TestGenerateID(t *testing.T) {
	opts := bothRevisions()
	opts.GenerateID = func(r *http.Request) (string, error) {
		id := r.Header.Get("X-ID")
		if id == "none" {
			return "unused", errors.New("no ID")
		}
		return id, nil
	}
	ts := newTestServer(t, echoHandler, opts)
	resp := ts.request("GET", polling4, nil, "X-ID", "my-ID_1")
	require.Equal(t, "my-ID_1", sidOf(t, resp.body))
	pc := &pollingClient{ts: ts, rev: engineio.Revision4, sid: "my-ID_1", query: polling4 + "&sid=my-ID_1"}
	require.Equal(t, "my-ID_1", pc.socket().ID())
	wc := ts.webSocket("EIO=3&transport=websocket", "X-ID", "2")
	require.Equal(t, "2", sidOf(t, wc.readText()))

	for _, id := range []string{"none", "", "my-ID_1", "2", "a b", "a/b", `"`, "é", "a\x00", "a.b", strings.Repeat("a", 100) + "="} {
		if !strings.Contains(id, "\x00") {
			require.Equal(t, "400 "+badRequest, ts.request("GET", polling4, nil, "X-ID", id).summary(), "%q", id)
		} else {
			require.False(t, engineio.ValidID(id))
		}
	}
	refused, other := ts.handshake("EIO=4&transport=websocket", "X-ID", "my-ID_1")
	require.Equal(t, "400 Bad request", refused.summary(), "before 101")
	require.NoError(t, other.conn.Close())
	require.Len(t, ts.srv.Sockets(), 2)
	pc.requireEcho("the session that has the ID lives on")
	wc.requireEcho("and so does the other")
	require.NoError(t, wc.conn.Close())
}

func TestIDThatIsGivenAgainBelongsToTheNewSession(t *testing.T) {
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{GenerateID: func(*http.Request) (string, error) { return "id", nil }})
	require.Equal(t, 200, ts.request("GET", polling4, nil).status)
	pc := &pollingClient{ts: ts, rev: engineio.Revision4, sid: "id", query: polling4 + "&sid=id"}
	first := pc.socket()
	first.Abort(nil)
	require.Equal(t, 200, ts.request("GET", polling4, nil).status)
	first.Abort(nil)
	require.NotSame(t, first, pc.socket())
	pc.requireEcho("the second session lives")
}

func TestInitialMessageFollowsTheOpenPacket(t *testing.T) {
	for _, c := range []struct {
		name    string
		message engineio.Message
		text    map[engineio.Revision]string // expected in a text payload
		frame   map[engineio.Revision]string
	}{
		{"text", engineio.Text("init"), map[engineio.Revision]string{3: "4init", 4: "4init"}, map[engineio.Revision]string{3: "4init", 4: "4init"}},
		{"prepared", engineio.Prepare(engineio.Text("init")), map[engineio.Revision]string{3: "4init", 4: "4init"}, map[engineio.Revision]string{3: "4init", 4: "4init"}},
		{"binary", engineio.Binary([]byte{1, 2}), map[engineio.Revision]string{3: "b4AQI=", 4: "bAQI="}, map[engineio.Revision]string{3: "\x04\x01\x02", 4: "\x01\x02"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := bothRevisions()
			opts.InitialMessage = &c.message
			ts := newTestServer(t, engineio.HandlerFunc(greet), opts)
			for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
				resp := ts.request("GET", fmt.Sprintf("EIO=%d&transport=polling&b64=1", rev), nil)
				open := resp.body[strings.Index(resp.body, "0{") : strings.Index(resp.body, "}")+1]
				require.Equal(t, asciiPayload(rev, open, c.text[rev]), resp.body, "in the same payload")
				pc := &pollingClient{ts: ts, rev: rev, query: fmt.Sprintf("EIO=%d&transport=polling&sid=%s", rev, sidOf(t, resp.body))}
				require.Equal(t, "200 "+pc.payload("4from the handler"), pc.poll().summary())

				wc := ts.webSocket(fmt.Sprintf("EIO=%d&transport=websocket", rev))
				require.True(t, strings.HasPrefix(wc.readText(), "0{"))
				f, err := wc.readFrame()
				require.NoError(t, err)
				require.Equal(t, c.frame[rev], string(f.Payload))
				require.Equal(t, "4from the handler", wc.readText())
				require.NoError(t, wc.conn.Close())
			}
		})
	}
	t.Run("messages that a transport cannot carry", func(t *testing.T) {
		for _, m := range []engineio.Message{engineio.Text("\xff"), engineio.Text("a\x1eb")} {
			require.Panics(t, func() { engineio.NewServer(echoHandler, &engineio.ServerOptions{InitialMessage: &m}) })
		}
	})
}

func TestCookie(t *testing.T) {
	for _, c := range []struct {
		name     string
		template *http.Cookie
		want     string // SID is replaced with the session's ID
	}{
		{"none", nil, ""},
		{"default", &http.Cookie{}, "io=SID; Path=/; HttpOnly; SameSite=Lax"},
		{"the value is the session's", &http.Cookie{Name: "sticky", Value: "x", Path: "/rt", MaxAge: 60, Secure: true, SameSite: http.SameSiteStrictMode},
			"sticky=SID; Path=/rt; Max-Age=60; HttpOnly; Secure; SameSite=Strict"},
		{"no SameSite", &http.Cookie{SameSite: http.SameSiteDefaultMode}, "io=SID; Path=/; HttpOnly"},
	} {
		t.Run(c.name, func(t *testing.T) {
			opts := bothRevisions()
			opts.Cookie = c.template
			ts := newTestServer(t, echoHandler, opts)
			for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
				resp := ts.request("GET", fmt.Sprintf("EIO=%d&transport=polling", rev), nil)
				want := strings.ReplaceAll(c.want, "SID", sidOf(t, resp.body))
				require.Equal(t, want, strings.Join(resp.header.Values("Set-Cookie"), "|"))
				pc := &pollingClient{ts: ts, rev: rev, sid: sidOf(t, resp.body), query: fmt.Sprintf("EIO=%d&transport=polling&sid=%s", rev, sidOf(t, resp.body))}
				resp = pc.post(pc.payload("4x"))
				require.Empty(t, resp.header.Values("Set-Cookie"), "in the first answer only")
				require.Empty(t, pc.poll().header.Values("Set-Cookie"))
				resp, wc := ts.handshake(strings.Replace(pc.query, "polling", "websocket", 1))
				require.Equal(t, http.StatusSwitchingProtocols, resp.status)
				require.Empty(t, resp.header.Values("Set-Cookie"))
				require.NoError(t, wc.conn.Close())

				resp, wc = ts.handshake(fmt.Sprintf("EIO=%d&transport=websocket", rev))
				require.Equal(t, strings.ReplaceAll(c.want, "SID", sidOf(t, wc.readText())), strings.Join(resp.header.Values("Set-Cookie"), "|"))
				require.NoError(t, wc.conn.Close())
			}
		})
	}
	if c := (&http.Cookie{Name: "x"}); true {
		engineio.NewServer(echoHandler, &engineio.ServerOptions{Cookie: c})
		require.Equal(t, &http.Cookie{Name: "x"}, c, "the template stays the caller's")
	}
	require.Panics(t, func() { engineio.NewServer(echoHandler, &engineio.ServerOptions{Cookie: &http.Cookie{Name: "a b"}}) })
}

// The header fields that a handler around the server sets are part of every response, also of the response to a
// WebSocket handshake.
func TestHeadersOfAHandlerAround(t *testing.T) {
	around := intercept(func(w http.ResponseWriter, r *http.Request) bool {
		h := w.Header()
		h.Set("X-Powered-By", "mesh")
		h.Add("Set-Cookie", "a=1")
		h.Add("Set-Cookie", "b=2")
		h["x-raw"] = []string{"as it is\r\nInjected: 1"}
		if r.Header.Get("Upgrade") != "" { // fields that the handshake itself sets
			h.Set("Connection", "close")
			h.Set("Upgrade", "h2c")
			h.Set("Content-Length", "7")
			h.Set("Transfer-Encoding", "chunked")
			h.Set("Sec-WebSocket-Accept", "mine")
			h.Set("Sec-WebSocket-Extensions", "mine")
			h["sec-websocket-protocol"] = []string{"mine"}
		}
		return false
	})
	opts := &engineio.ServerOptions{AllowedOrigins: []string{"https://good.example"}, Cookie: &http.Cookie{}}
	ts := newTestServer(t, echoHandler, opts, behind(around))

	open := ts.request("GET", polling4, nil)
	pc := &pollingClient{ts: ts, rev: engineio.Revision4, query: polling4 + "&sid=" + sidOf(t, open.body)}
	require.Len(t, open.header.Values("Set-Cookie"), 3, "beside the session's own")
	upgrade, wc := ts.handshake(strings.Replace(pc.query, "polling", "websocket", 1), "Origin", "https://good.example")
	require.Equal(t, http.StatusSwitchingProtocols, upgrade.status)
	require.NoError(t, wc.conn.Close())
	for name, resp := range map[string]response{
		"open": open, "POST": pc.post("4x"), "poll": pc.poll(), "refusal": ts.request("GET", "", nil), "upgrade": upgrade,
	} {
		require.Equal(t, "mesh", resp.header.Get("X-Powered-By"), name)
		require.Subset(t, resp.header.Values("Set-Cookie"), []string{"a=1", "b=2"}, name)
		require.Empty(t, resp.header.Values("Injected"), name)
	}
	require.Equal(t, "Upgrade", upgrade.header.Get("Connection"))
	require.Equal(t, "websocket", upgrade.header.Get("Upgrade"))
	require.Equal(t, []string{"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, upgrade.header.Values("Sec-WebSocket-Accept"))
	require.Empty(t, upgrade.header.Values("Sec-WebSocket-Extensions"))
	require.Empty(t, upgrade.header.Values("Sec-WebSocket-Protocol"))
	require.Empty(t, upgrade.header.Values("Content-Length"))
	require.Empty(t, upgrade.header.Values("Transfer-Encoding"))
	require.Equal(t, "https://good.example", upgrade.header.Get("Access-Control-Allow-Origin"), "CORS is one of them")
}

func TestAnswersToInternetExplorer(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	for ua, want := range map[string]string{
		"Mozilla/5.0 (compatible;MSIE 9.0; Windows NT 6.1)":          "0",
		"Mozilla/5.0 (Windows NT 10.0; Trident/7.0; rv:11.0) like G": "0",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Firefox/140.0":    "",
		"MSIE without the text before it in the reference's search":  "",
	} {
		open := ts.request("GET", polling4, nil, "User-Agent", ua)
		pc := &pollingClient{ts: ts, rev: engineio.Revision4, query: polling4 + "&sid=" + sidOf(t, open.body)}
		post := pc.post("4x", "User-Agent", ua)
		poll := ts.request("GET", pc.query, nil, "User-Agent", ua)
		for _, resp := range []response{open, post, poll} {
			require.Equal(t, want, resp.header.Get("X-XSS-Protection"), ua)
			require.Equal(t, "no-store", resp.header.Get("Cache-Control"))
		}
	}
}
