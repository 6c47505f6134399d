package engineio

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

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
