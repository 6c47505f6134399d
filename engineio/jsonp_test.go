package engineio_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func TestJSONP(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		ts := newTestServer(t, echoHandler, jsonpOptions())
		jc := ts.openJSONP(rev, "7", "7")
		for _, text := range []string{
			"", "hello", "a\nb", `a\nb`, `a\\nb`, `\`, "\n\n", `\n` + "\n" + `\n`, "a&d=b;c%41+ +", `"quoted"`,
			"\u2028 and \u2029", "</script><script>alert(1)</script>", "<!--", "€😀", "\r", "\x00", "'); alert(1); ('",
		} {
			resp := jc.post(jc.lengthened("4" + text))
			require.Equal(t, "200 ok", resp.summary(), "%q", text)
			require.Equal(t, "text/html", resp.header.Get("Content-Type"), "an iframe shows it")
			require.Equal(t, "2", resp.header.Get("Content-Length"))
			require.Equal(t, jc.lengthened("4"+text), jc.poll(), "%q", text)
		}
		// Binary messages are base64, although the client did not ask for it with b64.
		b64 := map[engineio.Revision]string{3: "b4AQID+w==", 4: "bAQID+w=="}[rev]
		require.Equal(t, "200 ok", jc.post(jc.lengthened(b64, "4text")).summary())
		got := jc.poll()
		if got == jc.lengthened(b64) { // the echo came before the text
			require.Equal(t, jc.lengthened("4text"), jc.poll())
		} else {
			require.Equal(t, jc.lengthened(b64, "4text"), got)
		}
	})
}

// The response is a script in a page of another origin: all data of a peer must be inside the script's one string.
func TestJSONPAnswersHoldNothingThatEndsAScript(t *testing.T) {
	ts := newTestServer(t, echoHandler, jsonpOptions())
	jc := ts.openJSONP(engineio.Revision4, "0", "0")
	for _, text := range []string{"</script>", "<!--<script>", "-->", "\u2028\u2029", "&lt;", "\x7f\x00\r\n\t", `\"`, `*/`} {
		require.Equal(t, "200 ok", jc.post("4"+text).summary())
		resp := jc.pollingClient.poll()
		for _, evil := range []string{"<", ">", "&", "\u2028", "\u2029", "\n", "\r", "\x00"} {
			require.NotContains(t, resp.body, evil, "%q", text)
		}
		require.Equal(t, "4"+text, unwrap(t, "0", resp))
	}
}

func TestJSONPCallbackIsTheHandshakesDigits(t *testing.T) {
	ts := newTestServer(t, echoHandler, jsonpOptions())
	for j, number := range map[string]string{
		"0": "0", "12": "12", "": "", "a1b2": "12", "]alert(1)//": "1", "%3C/script%3E": "", "-1": "1", "1.5": "15",
		"%D9%A1": "", // a digit that is not ASCII
	} {
		ts.openJSONP(engineio.Revision4, j, number)
	}
	require.Equal(t, "2", ts.openJSONP(engineio.Revision4, "1&j=2", "2").number, "the last one counts")

	jc := ts.openJSONP(engineio.Revision4, "3", "3")
	later := jc
	later.pollingClient = &pollingClient{ts: ts, rev: engineio.Revision4, query: strings.Replace(jc.query, "j=3", "j=9", 1)}
	require.Equal(t, "200 ok", later.post("4x").summary())
	require.Equal(t, "4x", later.poll())
	later.pollingClient = &pollingClient{ts: ts, rev: engineio.Revision4, query: strings.Replace(jc.query, "j=3", "", 1)}
	require.Equal(t, "200 ok", later.post("4y").summary())
	require.Equal(t, "4y", later.poll())

	plain := ts.openPolling(engineio.Revision4)
	plain.query += "&j=5"
	plain.requireEcho("j is ignored on a session without JSONP")
}

func TestJSONPForms(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, jsonpOptions())
	jc := ts.openJSONP(engineio.Revision4, "0", "0")
	for _, body := range []string{"", "e=4x", "d", "D=4x", "4x", "d=4x&d=4y", "&&", "ed=4x"} {
		require.Equal(t, "200 ok", jc.form(body).summary(), "%q: nothing happens", body)
	}
	for body, want := range map[string]string{
		"d=4x": "4x", "d=4+%2B%20": "4 + ", "a=1&d=4=&b": "4=", "&d=4x&": "4x", `d=4a\nb`: "4a\nb", `d=4a\\nb`: `4a\nb`,
		`d=4\\\n`: `4\\n`, "d=4%5Cn": "4\n", `d=4\t\\`: `4\t\\`,
	} {
		require.Equal(t, "200 ok", jc.form(body).summary(), "%q", body)
		require.Equal(t, want, jc.poll(), "%q", body)
	}
	// An invalid payload ends the session, as in any other session.
	for _, body := range []string{"d=", "d=abc", "d=%zz", "d=7x", "d=4x%1e"} {
		jc := ts.openJSONP(engineio.Revision4, "0", "0")
		require.Equal(t, "400 ", jc.form(body).summary(), "%q", body)
		require.Equal(t, "remote "+engineio.ReasonParseError, h.awaitEnd(jc.sid))
	}
	binary := ts.openJSONP(engineio.Revision4, "0", "0")
	require.Equal(t, "400 ", binary.pollingClient.post("d=4x", "Content-Type", "application/octet-stream").summary())
	require.Equal(t, remoteError, h.awaitEnd(binary.sid))
}

// The limit counts the bytes of the form, with its escapes.
func TestJSONPLimit(t *testing.T) {
	opts := jsonpOptions()
	opts.MaxPayload = 100
	ts := newTestServer(t, echoHandler, opts)
	jc := ts.openJSONP(engineio.Revision4, "0", "0")
	require.Equal(t, "200 ok", jc.form("d=4"+strings.Repeat("x", 97)).summary())
	require.Equal(t, "4"+strings.Repeat("x", 97), jc.poll())
	require.Equal(t, "413 ", jc.form("d=4"+strings.Repeat("x", 98)).summary())
	jc = ts.openJSONP(engineio.Revision4, "0", "0")
	require.Equal(t, "413 ", jc.form("d=4"+strings.Repeat("%41", 33)).summary())
}

// Revision 3 has two dialects of text. Clients with parser 1.x, recognized by their timestamps, encode text in UTF-8
// twice.
func TestJSONPInBothDialects(t *testing.T) {
	twice := func(text string) string {
		return string(packet.AppendPayload(nil, engineio.Revision3, packet.TextDoubleUTF8, packet.Packet{Type: packet.Message, Data: []byte(text)}))
	}
	once := func(text string) string {
		return string(packet.AppendPayload(nil, engineio.Revision3, packet.Text, packet.Packet{Type: packet.Message, Data: []byte(text)}))
	}
	for _, text := range []string{"€ and 😀", "\u2028", `ü\n` + "\nü"} {
		t.Run(fmt.Sprintf("%+q", text), func(t *testing.T) {
			ts := newTestServer(t, echoHandler, jsonpOptions())
			old := ts.openJSONP(engineio.Revision3, "0", "0", "t=1395794813200-0")
			require.Equal(t, "200 ok", old.post(twice(text)).summary())
			require.Equal(t, twice(text), old.poll())

			witness := ts.openJSONP(engineio.Revision3, "0", "0") // text that is meaningful only when it is decoded twice
			require.Equal(t, "200 ok", witness.post(twice(text)).summary())
			require.Equal(t, twice(text), witness.poll())

			recent := ts.openJSONP(engineio.Revision3, "0", "0", "t=Q85tEHY")
			require.Equal(t, "200 ok", recent.post(once(text)).summary())
			require.Equal(t, once(text), recent.poll())
		})
	}
}

func TestJSONPSessionsEndLikeOthers(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for name, end := range map[string]func(t *testing.T, jc jsonpClient, h *endRecorder){
			"overlap": func(t *testing.T, jc jsonpClient, h *endRecorder) {
				first := inBackground(jc.pollingClient.poll)
				synctest.Wait()
				require.Equal(t, "400 ", jc.pollingClient.poll().summary())
				require.Equal(t, jc.payload("1"), unwrap(t, "0", <-first))
				require.Equal(t, remoteError, h.awaitEnd(jc.sid))
			},
			"the client closes": func(t *testing.T, jc jsonpClient, h *endRecorder) {
				poll := inBackground(jc.pollingClient.poll)
				synctest.Wait()
				require.Equal(t, "200 ok", jc.post(jc.payload("1")).summary())
				require.Equal(t, jc.payload("6"), unwrap(t, "0", <-poll))
				require.Equal(t, remoteClose, h.awaitEnd(jc.sid))
				require.Equal(t, "400 "+unknownSession, jc.pollingClient.poll().summary(), "an error is JSON, which a script tag reports as such")
			},
			"the server closes": func(t *testing.T, jc jsonpClient, _ *endRecorder) {
				closed := make(chan error, 1)
				s := jc.socket()
				go func() { closed <- s.Close() }()
				synctest.Wait()
				require.Equal(t, jc.payload("6", "1"), jc.poll())
				require.NoError(t, <-closed)
			},
		} {
			t.Run(fmt.Sprintf("revision %d, %s", rev, name), func(t *testing.T) {
				h := newEndRecorder()
				inBubble(t, h, jsonpOptions(), func(t *testing.T, ts *testServer) { end(t, ts.openJSONP(rev, "0", "0"), h) })
			})
		}
	}
}

func TestJSONPSessionMovesToAWebSocket(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		inBubble(t, echoHandler, jsonpOptions(), func(t *testing.T, ts *testServer) {
			jc := ts.openJSONP(rev, "0", "0")
			poll := inBackground(jc.pollingClient.poll)
			synctest.Wait()
			query := fmt.Sprintf("EIO=%d&transport=websocket&sid=%s", rev, jc.sid)
			wc := ts.webSocket(query)
			wc.probe()
			require.Equal(t, jc.payload("6"), unwrap(t, "0", <-poll), "as a script too")
			wc.sendText("5")
			wc.requireEcho("moved")
			require.NoError(t, wc.conn.Close())
		})
	})
}

func TestJSONPIsCompressed(t *testing.T) {
	ts := newTestServer(t, say(engineio.Text(strings.Repeat("hello ", 500))), jsonpOptions())
	jc := ts.openJSONP(engineio.Revision4, "0", "0")
	resp := ts.request("GET", jc.query, nil, "Accept-Encoding", "deflate")
	require.Equal(t, "deflate", resp.header.Get("Content-Encoding"))
	resp.body = unpack(t, resp)
	require.Equal(t, "4"+strings.Repeat("hello ", 500), unwrap(t, "0", resp))
}

// Without the option the server rejects a JSONP request, so that the client tries another transport at once.
func TestJSONPIsOffByDefault(t *testing.T) {
	ts := newTestServer(t, echoHandler, nil)
	for _, query := range []string{polling4 + "&j=0", polling4 + "&j="} {
		require.Equal(t, "400 "+unknownTransport, ts.request("GET", query, nil).summary())
	}
	wc := ts.webSocket("EIO=4&transport=websocket&j=0")
	require.True(t, strings.HasPrefix(wc.readText(), "0{"), "j says nothing about a WebSocket")
	require.NoError(t, wc.conn.Close())
}

// A script tag sends no Origin header, so other headers must show the page's origin. A page can suppress these headers.
func TestJSONPOfOtherOriginsNeedsAllowedOrigins(t *testing.T) {
	opts := jsonpOptions()
	opts.AllowedOrigins = []string{"https://good.example"}
	ts := newTestServer(t, echoHandler, opts)
	host := strings.TrimPrefix(strings.TrimSuffix(ts.base, "/engine.io/"), "http://")
	for _, c := range []struct {
		name   string
		status int
		header []string
	}{
		{"own page", 200, []string{"Sec-Fetch-Site", "same-origin"}},
		{"typed by the user", 200, []string{"Sec-Fetch-Site", "none"}},
		{"own page of an old browser", 200, []string{"Referer", "http://" + host + "/index.html"}},
		{"own page's form", 200, []string{"Origin", "http://" + host}},
		{"allowed page", 200, []string{"Sec-Fetch-Site", "cross-site", "Referer", "https://good.example/"}},
		{"allowed page of an old browser", 200, []string{"Referer", "https://good.example/page?q#f"}},
		{"allowed page's form", 200, []string{"Origin", "https://good.example"}},
		{"other page", 403, []string{"Sec-Fetch-Site", "cross-site", "Referer", "https://evil.example/"}},
		{"other page of an old browser", 403, []string{"Referer", "https://evil.example/"}},
		{"other page's form", 403, []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}},
		{"sibling domain", 403, []string{"Sec-Fetch-Site", "same-site", "Referer", "https://evil.good.example/"}},
		{"no referrer", 403, []string{"Sec-Fetch-Site", "cross-site"}},
		{"sandboxed frame", 403, []string{"Origin", "null"}},
		{"no sign at all", 403, nil},
		{"name before an at sign", 403, []string{"Referer", "https://good.example@evil.example/"}},
		{"no URL", 403, []string{"Referer", "https://%zz"}},
		{"no host", 403, []string{"Referer", "about:blank"}},
		{"host and port only", 403, []string{"Referer", "evil.example:80"}},
		{"another scheme", 403, []string{"Referer", "http://good.example/"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			require.Equal(t, c.status, ts.request("GET", polling4+"&j=0", nil, c.header...).status)
		})
	}
	// Requests of an open session are checked too.
	open := unwrap(t, "0", ts.request("GET", polling4+"&j=0", nil, "Sec-Fetch-Site", "same-origin"))
	query := polling4 + "&j=0&sid=" + sidOf(t, open)
	for _, method := range []string{"GET", "POST"} {
		require.Equal(t, "403 "+forbidden, ts.request(method, query, strings.NewReader("d=4x"), "Referer", "https://evil.example/").summary())
	}
}

func FuzzFormPayload(f *testing.F) {
	f.Add([]byte(`d=4a\nb%20+&e=1`))
	f.Add([]byte("d=%"))
	f.Add([]byte("&d=&"))
	f.Fuzz(func(t *testing.T, form []byte) {
		payload, ok, err := engineio.FormPayload(form)
		if !ok && (payload != nil || err != nil) {
			t.Errorf("%q: no payload, but %q, %v", form, payload, err)
		}
		if len(payload) > len(form) {
			t.Errorf("%q: %d bytes became %d", form, len(form), len(payload))
		}
	})
}
