package engineio_test

import (
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

func TestOrigin(t *testing.T) {
	ask := func(ts *testServer, origin string, header ...string) response {
		return ts.request("GET", polling4, nil, append([]string{"Origin", origin}, header...)...)
	}
	t.Run("by default the server's own host", func(t *testing.T) {
		ts := newTestServer(t, echoHandler, nil)
		host, _, _ := strings.Cut(strings.TrimPrefix(ts.base, "http://"), "/")
		require.Equal(t, 200, ask(ts, "http://"+host).status)
		require.Equal(t, 200, ask(ts, "https://app.example", "Host", "app.example").status)
		for _, host := range []string{"hub.example:8888", "hub.example", "hub", "127.0.0.1", "[::1]", "[::1]:8888"} {
			require.Equal(t, 200, ask(ts, host).status, "engine.io-client 1.x in Node.js, behind a proxy that rewrites Host")
			accepted, wc := ts.handshake("EIO=4&transport=websocket", "Origin", host)
			require.Equal(t, http.StatusSwitchingProtocols, accepted.status, host)
			require.NoError(t, wc.conn.Close())
		}
		for _, origin := range []string{
			"http://evil.example", "null", "file://", "http://" + host + ".evil.example", "http://evil.example/" + host,
			"http://" + host + "@evil.example", "http://localhost", "*", "http://", "://",
		} {
			resp := ask(ts, origin)
			require.Contains(t, []string{"403 " + forbidden, "400 " + badRequest}, resp.summary(), origin)
			require.Empty(t, resp.header.Values("Access-Control-Allow-Origin"))
			refused, wc := ts.handshake("EIO=4&transport=websocket", "Origin", origin)
			require.Equal(t, 400, refused.status, origin)
			require.NoError(t, wc.conn.Close())
		}
		require.Equal(t, "403 "+forbidden, ask(ts, "http://evil.example").summary())
		require.Equal(t, "400 "+badRequest, ask(ts, "http://[::1").summary(), "not a URL")

		// An open session does not bypass the check.
		pc := ts.openPolling(engineio.Revision4)
		require.Equal(t, "403 "+forbidden, ts.request("GET", pc.query, nil, "Origin", "http://evil.example").summary())
		require.Equal(t, "403 "+forbidden, ts.request("POST", pc.query, strings.NewReader("4x"), "Origin", "http://evil.example").summary())
		refused, wc := ts.handshake(strings.Replace(pc.query, "polling", "websocket", 1), "Origin", "http://evil.example")
		require.Equal(t, "400 Forbidden", refused.summary())
		require.NoError(t, wc.conn.Close())
		pc.requireEcho("alive")
		// Without CORS no preflight succeeds.
		resp := ts.request("OPTIONS", polling4, nil, "Origin", "http://evil.example", "Access-Control-Request-Method", "POST")
		require.Equal(t, "403 "+forbidden, resp.summary())
		require.Empty(t, resp.header.Values("Access-Control-Allow-Origin"))
	})
	t.Run("a request without Host has no own origin", func(t *testing.T) {
		ts := newTestServer(t, echoHandler, nil)
		for _, origin := range []string{"null", "file://"} {
			resp, wc := ts.sendRaw("GET /engine.io/?" + polling4 + " HTTP/1.0\r\nOrigin: " + origin + "\r\n\r\n")
			require.Equal(t, http.StatusForbidden, resp.status, origin)
			require.NoError(t, wc.conn.Close())
		}
	})
	t.Run("allowed", func(t *testing.T) {
		ts := newTestServer(t, echoHandler, &engineio.ServerOptions{AllowedOrigins: []string{"https://good.example", "https://Slash.example/"}})
		for _, origin := range []string{"https://good.example", "https://slash.example"} {
			resp := ask(ts, origin)
			require.Equal(t, 200, resp.status, origin)
			require.Equal(t, origin, resp.header.Get("Access-Control-Allow-Origin"))
			require.Equal(t, "true", resp.header.Get("Access-Control-Allow-Credentials"))
			require.Contains(t, resp.header.Values("Vary"), "Origin")
			accepted, wc := ts.handshake("EIO=4&transport=websocket", "Origin", origin)
			require.Equal(t, http.StatusSwitchingProtocols, accepted.status)
			require.NoError(t, wc.conn.Close())
		}
		for _, origin := range []string{"http://good.example", "https://good.example:444", "https://evil.example", "https://good.example.evil.example"} {
			resp := ask(ts, origin)
			require.Equal(t, "403 "+forbidden, resp.summary(), origin)
			require.Empty(t, resp.header.Values("Access-Control-Allow-Origin"))
			refused, wc := ts.handshake("EIO=4&transport=websocket", "Origin", origin)
			require.Equal(t, "400 Forbidden", refused.summary())
			require.NoError(t, wc.conn.Close())
		}
		resp := ts.request("GET", "EIO=9&transport=polling&sid=none", nil, "Origin", "https://good.example")
		require.Equal(t, "400 "+unknownSession, resp.summary(), "errors carry the headers too")
		require.Equal(t, "https://good.example", resp.header.Get("Access-Control-Allow-Origin"))

		resp = ts.request("OPTIONS", polling4, nil, "Origin", "https://good.example", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type,x-own")
		require.Equal(t, "204 ", resp.summary())
		require.Equal(t, "https://good.example", resp.header.Get("Access-Control-Allow-Origin"))
		require.Equal(t, "POST", resp.header.Get("Access-Control-Allow-Methods"))
		require.Equal(t, "content-type,x-own", resp.header.Get("Access-Control-Allow-Headers"))
		require.Contains(t, resp.header.Get("Vary"), "Access-Control-Request-Headers")
		resp = ts.request("OPTIONS", polling4, nil, "Origin", "https://evil.example", "Access-Control-Request-Method", "POST")
		require.Empty(t, resp.header.Values("Access-Control-Allow-Origin"))
	})
	t.Run("every page", func(t *testing.T) {
		ts := newTestServer(t, echoHandler, &engineio.ServerOptions{AllowedOrigins: []string{"*"}})
		for _, origin := range []string{"https://any.example", "null"} {
			resp := ask(ts, origin)
			require.Equal(t, 200, resp.status)
			require.Equal(t, "*", resp.header.Get("Access-Control-Allow-Origin"))
			require.Empty(t, resp.header.Values("Access-Control-Allow-Credentials"), "never with every page")
		}
	})
}

// A page can suppress its Referer, as it can make a frame of the origin null. The server treats both alike.
func TestPagesThatHideTheirOrigin(t *testing.T) {
	for _, c := range []struct {
		allowed []string
		status  int
	}{
		{nil, 403},
		{[]string{"https://app.example"}, 403},
		{[]string{"null"}, 200},
		{[]string{"*"}, 200},
	} {
		ts := newTestServer(t, echoHandler, &engineio.ServerOptions{AllowedOrigins: c.allowed, JSONP: true})
		require.Equal(t, c.status, ts.request("GET", polling4, nil, "Origin", "null").status, "%q", c.allowed)
		for _, site := range []string{"", "cross-site", "same-site"} {
			require.Equal(t, c.status, ts.request("GET", polling4+"&j=0", nil, "Sec-Fetch-Site", site).status, "%q, %s", c.allowed, site)
		}
		shown := ts.request("GET", polling4+"&j=0", nil, "Sec-Fetch-Site", "cross-site", "Referer", "https://evil.example/").status
		require.Equal(t, len(c.allowed) > 0 && c.allowed[0] == "*", shown == 200, "%q", c.allowed)
	}
}

// TLS may end at a proxy, so a page with https may use a server without TLS. A server that ends TLS itself has no pages
// with http.
func TestSchemesOfOrigins(t *testing.T) {
	for _, c := range []struct {
		tls     bool
		origin  string
		opts    engineio.ServerOptions
		allowed bool
	}{
		{false, "http://a.example", engineio.ServerOptions{}, true},
		{false, "https://a.example", engineio.ServerOptions{}, true},
		{true, "https://a.example", engineio.ServerOptions{}, true},
		{true, "http://a.example", engineio.ServerOptions{}, false},
		{true, "HTTP://a.example:80", engineio.ServerOptions{}, false},
		{true, "http://a.example", engineio.ServerOptions{TrustForwardedHost: true}, true},
		{true, "http://a.example", engineio.ServerOptions{AllowedOrigins: []string{"http://a.example"}}, true},
	} {
		srv := engineio.NewServer(echoHandler, &c.opts)
		r := httptest.NewRequest(http.MethodGet, "http://a.example/engine.io/?EIO=4&transport=polling", nil)
		r.Header.Set("Origin", c.origin)
		if c.tls {
			r.TLS = new(tls.ConnectionState)
		}
		resp := httptest.NewRecorder()
		srv.ServeHTTP(resp, r)
		require.Equal(t, c.allowed, resp.Code == http.StatusOK, "%v %s", c.tls, c.origin)
		require.NoError(t, srv.Close())
	}
}

func TestTrustForwardedHost(t *testing.T) {
	const page = "https://app.example"
	for _, c := range []struct {
		name, host, forwarded string
		trust                 bool
		status                int
	}{
		{"a proxy rewrites Host", "10.0.0.1:3000", "app.example", true, 200},
		{"not trusted", "10.0.0.1:3000", "app.example", false, 403},
		{"the first of several proxies", "10.0.0.1:3000", "app.example, inner.example", true, 200},
		{"another of several proxies", "10.0.0.1:3000", "outer.example, app.example", true, 403},
		{"case", "10.0.0.1:3000", "APP.example", true, 200},
		{"another host", "10.0.0.1:3000", "other.example", true, 403},
		{"instead of Host, not beside it", "app.example", "other.example", true, 403},
		{"a proxy that does not say", "app.example", "", true, 200},
		{"empty", "10.0.0.1:3000", ",", true, 403},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := newTestServer(t, echoHandler, &engineio.ServerOptions{TrustForwardedHost: c.trust, JSONP: true})
			header := []string{"Host", c.host, "Origin", page}
			if c.forwarded != "" {
				header = append(header, "X-Forwarded-Host", c.forwarded)
			}
			require.Equal(t, c.status, ts.request("GET", polling4, nil, header...).status)
			header[2], header[3] = "Referer", page+"/"
			require.Equal(t, c.status, ts.request("GET", polling4+"&j=0", nil, header...).status)
		})
	}
}

func TestRefusedOriginIsLoggedWithTheOptionThatAdmitsIt(t *testing.T) {
	for _, c := range []struct{ name, want, query, header, value string }{
		{"another origin", "option=AllowedOrigins origin=https://app.example", polling4, "Accept", "*/*"},
		{"own page behind a proxy", "option=TrustForwardedHost origin=https://app.example", polling4, "X-Forwarded-Host", "app.example"},
		{"JSONP", "the option JSONP admits it", polling4 + "&j=0", "Origin", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log interoptest.Buffer
			ts := newTestServer(t, echoHandler, &engineio.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
			header := []string{c.header, c.value}
			if c.header != "Origin" {
				header = append(header, "Origin", "https://app.example")
			}
			require.NotEqual(t, 200, ts.request("GET", c.query, nil, header...).status)
			require.Contains(t, log.String(), c.want)
			require.Equal(t, 1, strings.Count(log.String(), "\n"))
		})
	}
}

func TestAFloodOfRefusedPagesIsALineASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log interoptest.Buffer
		srv := engineio.NewServer(echoHandler, &engineio.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		defer func() { require.NoError(t, srv.Close()) }()
		for range 3 {
			for range 100 {
				for _, query := range []string{polling4, polling4 + "&j=0"} {
					r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/engine.io/?"+query, http.NoBody)
					if query == polling4 {
						r.Header.Set("Origin", "https://"+strings.Repeat("x", 60_000))
					}
					srv.ServeHTTP(httptest.NewRecorder(), r)
				}
			}
			time.Sleep(time.Second)
		}
		for _, option := range []string{"option=AllowedOrigins", "the option JSONP"} {
			for times, lines := range map[string]int{"times=1\n": 1, "times=100\n": 2} {
				require.Len(t, regexp.MustCompile(option+".*"+times).FindAllString(log.String(), -1), lines, log.String())
			}
		}
		require.Less(t, len(log.String()), 3000)
	})
}

// A browser omits the default port, and a proxy may add it: nginx does so with "Host $host:$server_port".
func TestDefaultPortsAreNoDifference(t *testing.T) {
	for _, c := range []struct {
		origin, host string
		own          bool
	}{
		{"http://app.example", "app.example:80", true},
		{"https://app.example", "app.example:443", true},
		{"https://app.example", "app.example:80", true}, // TLS ended before the proxy that wrote this
		{"http://app.example:80", "app.example", true},
		{"https://app.example:443", "app.example", true},
		{"https://APP.example", "App.Example:443", true},
		{"http://[::1]", "[::1]:80", true},
		{"http://app.example:443", "app.example:443", true},
		{"http://app.example:443", "app.example", false},
		{"https://app.example:80", "app.example:443", false},
		{"http://app.example:8080", "app.example:80", false},
		{"http://app.example", "app.example:8080", false},
		{"http://app.example", "app.example:", false},
		{"http://app.example", ":80", false},
		{"http://app.example", "", false},
		{"null", ":80", false},
	} {
		t.Run(c.origin+" "+c.host, func(t *testing.T) {
			want := http.StatusForbidden
			if c.own {
				want = http.StatusOK
			}
			if c.host != "" {
				ts := newTestServer(t, echoHandler, nil)
				require.Equal(t, want, ts.request("GET", polling4, nil, "Origin", c.origin, "Host", c.host).status)
			}
			ts := newTestServer(t, echoHandler, &engineio.ServerOptions{TrustForwardedHost: true})
			require.Equal(t, want, ts.request("GET", polling4, nil, "Origin", c.origin, "Host", "10.0.0.1:3000", "X-Forwarded-Host", c.host).status)
		})
	}
}

// An entry admits the same origins in the preflight and in the request, by polling and by WebSocket.
func TestAllowedOriginsWorkAsWritten(t *testing.T) {
	for _, c := range []struct{ entry, origin, other string }{
		{"https://app.example:443", "https://app.example", "http://app.example"},
		{"http://app.example:80/", "http://app.example", "http://app.example:443"},
		{"https://app.example:0443", "https://app.example", "https://app.example:8443"},
		{"https://*.example.com", "https://a.example.com", "https://example.com"},
		{"https://*.example.com", "https://a.b.example.com", "http://a.example.com"},
		{"https://*.example.com", "https://A.Example.Com", "https://a.example.com:8443"},
		{"https://*.example.com:8443", "https://a.example.com:8443", "https://a.example.com"},
		{"HTTPS://*.Example.com:443", "https://a.example.com", "https://aexample.com"},
		{"https://*.example.com", "https://x-y.example.com", "https://a.example.com.evil.example"},
		{"http://[0:0:0:0:0:0:0:1]:3000", "http://[::1]:3000", "http://[::1]"},
		{"capacitor://localhost", "capacitor://localhost", "http://localhost"},
		{"chrome-extension://abcdef", "chrome-extension://abcdef", "chrome-extension://abcdeg"},
		{"null", "null", "file://"},
		{"file://", "file://", "null"},
	} {
		t.Run(c.entry, func(t *testing.T) {
			require.NoError(t, engineio.CheckOrigin(c.entry))
			ts := newTestServer(t, echoHandler, &engineio.ServerOptions{AllowedOrigins: []string{"https://first.example", c.entry}})
			for origin, admitted := range map[string]bool{c.origin: true, c.other: false} {
				status, upgraded, header := http.StatusForbidden, http.StatusBadRequest, ""
				if admitted {
					status, upgraded, header = http.StatusOK, http.StatusSwitchingProtocols, origin
				}
				resp := ts.request("GET", polling4, nil, "Origin", origin)
				require.Equal(t, status, resp.status, origin)
				require.Equal(t, header, resp.header.Get("Access-Control-Allow-Origin"), origin)
				resp = ts.request("OPTIONS", polling4, nil, "Origin", origin, "Access-Control-Request-Method", "POST")
				require.Equal(t, header, resp.header.Get("Access-Control-Allow-Origin"), origin)
				shaken, wc := ts.handshake("EIO=4&transport=websocket", "Origin", origin)
				require.Equal(t, upgraded, shaken.status, origin)
				require.NoError(t, wc.conn.Close())
			}
		})
	}
}

func TestOriginsThatNoBrowserSendsAreRefusedAtTheStart(t *testing.T) {
	for entry, remedy := range map[string]string{
		"":                            "such as https://example.com",
		"example.com":                 "such as https://example.com",
		"example.com:8080":            "such as https://example.com",
		"https://":                    "such as https://example.com",
		"https://example.com/app":     "write https://example.com",
		"https://example.com?x=1":     "write https://example.com",
		"https://example.com?":        "write https://example.com",
		"https://example.com#x":       "write https://example.com",
		"https://u:p@example.com:443": "write https://example.com",
		"wss://example.com":           "write https://example.com",
		"ws://example.com:80":         "write http://example.com",
		"https://*":                   "https://*.example.com",
		"https://app*.example.com":    "https://*.example.com",
		"https://*.*.example.com":     "https://*.example.com",
		"https://app.*.com":           "https://*.example.com",
		"*://example.com":             "such as https://example.com",
		"https://*.":                  "is no name",
		"https://a,https://b":         "more than one origin",
		"https://bücher.example":      "xn--",
		"https://.example.com":        "is no name",
		"https://[::1":                "such as https://example.com",
		"https://[fe80::1%25eth0]":    "IPv6",
		"https://example.com:70000":   "port",
		"https://example.com:":        "port",
		"https://example.com:*":       "such as https://example.com",
	} {
		t.Run(entry, func(t *testing.T) {
			err := engineio.CheckOrigin(entry)
			require.ErrorContains(t, err, remedy)
			require.NotContains(t, err.Error(), "u:p")
			require.PanicsWithError(t, err.Error(), func() { engineio.NewServer(echoHandler, &engineio.ServerOptions{AllowedOrigins: []string{entry}}) })
		})
	}
}
