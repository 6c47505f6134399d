package engineio_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

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
