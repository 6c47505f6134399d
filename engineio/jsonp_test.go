package engineio_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// jsonpOptions returns options that serve JSONP to every origin, and to requests that show no origin.
func jsonpOptions() *engineio.ServerOptions {
	return &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3, engineio.Revision4}, JSONP: true, AllowedOrigins: []string{"*"}}
}

// unwrap parses the script that a poll returns. The script must call ___eio[number] with one string, which unwrap
// returns.
func unwrap(t *testing.T, number string, a answer) string {
	t.Helper()
	require.NoError(t, a.err)
	require.Equal(t, http.StatusOK, a.status, a.body)
	require.Equal(t, "text/javascript; charset=UTF-8", a.header.Get("Content-Type"))
	require.Equal(t, "nosniff", a.header.Get("X-Content-Type-Options"))
	require.Equal(t, "no-store", a.header.Get("Cache-Control"))
	literal, ok := strings.CutPrefix(a.body, "___eio["+number+"](")
	require.True(t, ok, a.body)
	literal, ok = strings.CutSuffix(literal, ");")
	require.True(t, ok, a.body)
	var payload string
	require.NoError(t, json.Unmarshal([]byte(literal), &payload), literal)
	return payload
}

// scripted is a session by JSONP.
type scripted struct {
	*visit
	number string
}

func (w *site) openJSONP(rev engineio.Revision, j, number string, extra ...string) scripted {
	w.t.Helper()
	query := strings.Join(append([]string{fmt.Sprintf("EIO=%d&transport=polling&j=%s", rev, j)}, extra...), "&")
	open := unwrap(w.t, number, w.ask("GET", query, nil))
	sid := sidOf(w.t, open)
	return scripted{&visit{w: w, rev: rev, sid: sid, query: query + "&sid=" + sid}, number}
}

func (v scripted) poll() string { return unwrap(v.w.t, v.number, v.visit.poll()) }

// post sends a payload as a browser's form does: it escapes newlines as engine.io-client does, and then escapes the
// payload as a form does.
func (v scripted) post(payload string) answer {
	payload = strings.ReplaceAll(payload, `\n`, "\\\n")
	payload = strings.ReplaceAll(payload, "\n", `\n`)
	return v.form("d=" + url.QueryEscape(payload))
}

func (v scripted) form(body string) answer {
	return v.visit.post(body, "Content-Type", "application/x-www-form-urlencoded")
}

// lengthened writes packets as a payload of the session's revision; in revision 3 lengths count UTF-16 units.
func (v scripted) lengthened(packets ...string) string {
	if v.rev == engineio.Revision4 {
		return strings.Join(packets, "\x1e")
	}
	var b strings.Builder
	for _, p := range packets {
		units := 0
		for _, r := range p {
			units += max(1, utf8.RuneLen(r)/4+1)
		}
		fmt.Fprintf(&b, "%d:%s", units, p)
	}
	return b.String()
}

func TestJSONP(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		t.Run(fmt.Sprint("revision ", rev), func(t *testing.T) {
			w := newSite(t, echoHandler, jsonpOptions())
			v := w.openJSONP(rev, "7", "7")
			for _, text := range []string{
				"", "hello", "a\nb", `a\nb`, `a\\nb`, `\`, "\n\n", `\n` + "\n" + `\n`, "a&d=b;c%41+ +", `"quoted"`,
				"\u2028 and \u2029", "</script><script>alert(1)</script>", "<!--", "€😀", "\r", "\x00", "'); alert(1); ('",
			} {
				a := v.post(v.lengthened("4" + text))
				require.Equal(t, "200 ok", a.brief(), "%q", text)
				require.Equal(t, "text/html", a.header.Get("Content-Type"), "an iframe shows it")
				require.Equal(t, "2", a.header.Get("Content-Length"))
				require.Equal(t, v.lengthened("4"+text), v.poll(), "%q", text)
			}
			// Binary messages are base64, although the client did not ask for it with b64.
			b64 := map[engineio.Revision]string{3: "b4AQID+w==", 4: "bAQID+w=="}[rev]
			require.Equal(t, "200 ok", v.post(v.lengthened(b64, "4text")).brief())
			got := v.poll()
			if got == v.lengthened(b64) { // the echo came before the text
				require.Equal(t, v.lengthened("4text"), v.poll())
			} else {
				require.Equal(t, v.lengthened(b64, "4text"), got)
			}
		})
	}
}

// The response is a script in a page of another origin: all data of a peer must be inside the script's one string.
func TestJSONPAnswersHoldNothingThatEndsAScript(t *testing.T) {
	w := newSite(t, echoHandler, jsonpOptions())
	v := w.openJSONP(engineio.Revision4, "0", "0")
	for _, text := range []string{"</script>", "<!--<script>", "-->", "\u2028\u2029", "&lt;", "\x7f\x00\r\n\t", `\"`, `*/`} {
		require.Equal(t, "200 ok", v.post("4"+text).brief())
		a := v.visit.poll()
		for _, evil := range []string{"<", ">", "&", "\u2028", "\u2029", "\n", "\r", "\x00"} {
			require.NotContains(t, a.body, evil, "%q", text)
		}
		require.Equal(t, "4"+text, unwrap(t, "0", a))
	}
}

func TestJSONPCallbackIsTheHandshakesDigits(t *testing.T) {
	w := newSite(t, echoHandler, jsonpOptions())
	for j, number := range map[string]string{
		"0": "0", "12": "12", "": "", "a1b2": "12", "]alert(1)//": "1", "%3C/script%3E": "", "-1": "1", "1.5": "15",
		"%D9%A1": "", // a digit that is not ASCII
	} {
		w.openJSONP(engineio.Revision4, j, number)
	}
	require.Equal(t, "2", w.openJSONP(engineio.Revision4, "1&j=2", "2").number, "the last one counts")

	v := w.openJSONP(engineio.Revision4, "3", "3")
	later := v
	later.visit = &visit{w: w, rev: engineio.Revision4, query: strings.Replace(v.query, "j=3", "j=9", 1)}
	require.Equal(t, "200 ok", later.post("4x").brief())
	require.Equal(t, "4x", later.poll())
	later.visit = &visit{w: w, rev: engineio.Revision4, query: strings.Replace(v.query, "j=3", "", 1)}
	require.Equal(t, "200 ok", later.post("4y").brief())
	require.Equal(t, "4y", later.poll())

	plain := w.open(engineio.Revision4)
	plain.query += "&j=5"
	plain.requireEcho("j is ignored on a session without JSONP")
}

func TestJSONPForms(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, jsonpOptions())
	v := w.openJSONP(engineio.Revision4, "0", "0")
	for _, body := range []string{"", "e=4x", "d", "D=4x", "4x", "d=4x&d=4y", "&&", "ed=4x"} {
		require.Equal(t, "200 ok", v.form(body).brief(), "%q: nothing happens", body)
	}
	for body, want := range map[string]string{
		"d=4x": "4x", "d=4+%2B%20": "4 + ", "a=1&d=4=&b": "4=", "&d=4x&": "4x", `d=4a\nb`: "4a\nb", `d=4a\\nb`: `4a\nb`,
		`d=4\\\n`: `4\\n`, "d=4%5Cn": "4\n", `d=4\t\\`: `4\t\\`,
	} {
		require.Equal(t, "200 ok", v.form(body).brief(), "%q", body)
		require.Equal(t, want, v.poll(), "%q", body)
	}
	// An invalid payload ends the session, as in any other session.
	for _, body := range []string{"d=", "d=abc", "d=%zz", "d=7x", "d=4x%1e"} {
		v := w.openJSONP(engineio.Revision4, "0", "0")
		require.Equal(t, "400 ", v.form(body).brief(), "%q", body)
		require.Equal(t, "remote "+engineio.ReasonParseError, h.end(v.sid))
	}
	binary := w.openJSONP(engineio.Revision4, "0", "0")
	require.Equal(t, "400 ", binary.visit.post("d=4x", "Content-Type", "application/octet-stream").brief())
	require.Equal(t, remoteError, h.end(binary.sid))
}

// The limit counts the bytes of the form, with its escapes.
func TestJSONPLimit(t *testing.T) {
	opts := jsonpOptions()
	opts.MaxPayload = 100
	w := newSite(t, echoHandler, opts)
	v := w.openJSONP(engineio.Revision4, "0", "0")
	require.Equal(t, "200 ok", v.form("d=4"+strings.Repeat("x", 97)).brief())
	require.Equal(t, "4"+strings.Repeat("x", 97), v.poll())
	require.Equal(t, "413 ", v.form("d=4"+strings.Repeat("x", 98)).brief())
	v = w.openJSONP(engineio.Revision4, "0", "0")
	require.Equal(t, "413 ", v.form("d=4"+strings.Repeat("%41", 33)).brief())
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
			w := newSite(t, echoHandler, jsonpOptions())
			old := w.openJSONP(engineio.Revision3, "0", "0", "t=1395794813200-0")
			require.Equal(t, "200 ok", old.post(twice(text)).brief())
			require.Equal(t, twice(text), old.poll())

			witness := w.openJSONP(engineio.Revision3, "0", "0") // text that is meaningful only when it is decoded twice
			require.Equal(t, "200 ok", witness.post(twice(text)).brief())
			require.Equal(t, twice(text), witness.poll())

			recent := w.openJSONP(engineio.Revision3, "0", "0", "t=Q85tEHY")
			require.Equal(t, "200 ok", recent.post(once(text)).brief())
			require.Equal(t, once(text), recent.poll())
		})
	}
}

func TestJSONPSessionsEndLikeOthers(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for name, end := range map[string]func(t *testing.T, v scripted, h *witness){
			"overlap": func(t *testing.T, v scripted, h *witness) {
				first := later(v.visit.poll)
				synctest.Wait()
				require.Equal(t, "400 ", v.visit.poll().brief())
				require.Equal(t, v.framed("1"), unwrap(t, "0", <-first))
				require.Equal(t, remoteError, h.end(v.sid))
			},
			"the client closes": func(t *testing.T, v scripted, h *witness) {
				poll := later(v.visit.poll)
				synctest.Wait()
				require.Equal(t, "200 ok", v.post(v.framed("1")).brief())
				require.Equal(t, v.framed("6"), unwrap(t, "0", <-poll))
				require.Equal(t, remoteClose, h.end(v.sid))
				require.Equal(t, "400 "+unknownSession, v.visit.poll().brief(), "an error is JSON, which a script tag reports as such")
			},
			"the server closes": func(t *testing.T, v scripted, _ *witness) {
				closed := make(chan error, 1)
				s := v.socket()
				go func() { closed <- s.Close() }()
				synctest.Wait()
				require.Equal(t, v.framed("6", "1"), v.poll())
				require.NoError(t, <-closed)
			},
		} {
			t.Run(fmt.Sprintf("revision %d, %s", rev, name), func(t *testing.T) {
				h := newWitness()
				inSite(t, h, jsonpOptions(), func(t *testing.T, w *site) { end(t, w.openJSONP(rev, "0", "0"), h) })
			})
		}
	}
}

func TestJSONPSessionMovesToAWebSocket(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		t.Run(fmt.Sprint("revision ", rev), func(t *testing.T) {
			inSite(t, echoHandler, jsonpOptions(), func(t *testing.T, w *site) {
				v := w.openJSONP(rev, "0", "0")
				poll := later(v.visit.poll)
				synctest.Wait()
				query := fmt.Sprintf("EIO=%d&transport=websocket&sid=%s", rev, v.sid)
				l := w.line(query)
				l.say("2probe")
				require.Equal(t, "3probe", l.text())
				require.Equal(t, v.framed("6"), unwrap(t, "0", <-poll), "as a script too")
				l.say("5")
				l.requireEcho("moved")
				require.NoError(t, l.conn.Close())
			})
		})
	}
}

func TestJSONPIsCompressed(t *testing.T) {
	w := newSite(t, say(engineio.Text(strings.Repeat("hello ", 500))), jsonpOptions())
	v := w.openJSONP(engineio.Revision4, "0", "0")
	a := w.ask("GET", v.query, nil, "Accept-Encoding", "deflate")
	require.Equal(t, "deflate", a.header.Get("Content-Encoding"))
	a.body = unpack(t, a)
	require.Equal(t, "4"+strings.Repeat("hello ", 500), unwrap(t, "0", a))
}

// Without the option the server rejects a JSONP request, so that the client tries another transport at once.
func TestJSONPIsOffByDefault(t *testing.T) {
	w := newSite(t, echoHandler, nil)
	for _, query := range []string{polling4 + "&j=0", polling4 + "&j="} {
		require.Equal(t, "400 "+unknownTransport, w.ask("GET", query, nil).brief())
	}
	l := w.line("EIO=4&transport=websocket&j=0")
	require.True(t, strings.HasPrefix(l.text(), "0{"), "j says nothing about a WebSocket")
	require.NoError(t, l.conn.Close())
}

// A script tag sends no Origin header, so other headers must show the page's origin. A page can suppress these headers.
func TestJSONPOfOtherOriginsNeedsAllowedOrigins(t *testing.T) {
	opts := jsonpOptions()
	opts.AllowedOrigins = []string{"https://good.example"}
	w := newSite(t, echoHandler, opts)
	host := strings.TrimPrefix(strings.TrimSuffix(w.base, "/engine.io/"), "http://")
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
			require.Equal(t, c.status, w.ask("GET", polling4+"&j=0", nil, c.header...).status)
		})
	}
	// Requests of an open session are checked too.
	open := unwrap(t, "0", w.ask("GET", polling4+"&j=0", nil, "Sec-Fetch-Site", "same-origin"))
	query := polling4 + "&j=0&sid=" + sidOf(t, open)
	for _, method := range []string{"GET", "POST"} {
		require.Equal(t, "403 "+forbidden, w.ask(method, query, strings.NewReader("d=4x"), "Referer", "https://evil.example/").brief())
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
