package gateway

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPage(t *testing.T) {
	types := map[string]string{"html": "text/html", "css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
	for path := range usual.pages {
		kind := path[strings.LastIndexByte(path, '.')+1:]
		if path == "/" {
			kind = "html"
		}
		got := request(t, http.MethodGet, path, "")
		require.Equal(t, http.StatusOK, got.StatusCode, path)
		require.Equal(t, types[kind]+"; charset=utf-8", got.Header.Get("Content-Type"), path)
		require.Equal(t, "nosniff", got.Header.Get("X-Content-Type-Options"))
		require.Empty(t, got.Header.Get("Access-Control-Allow-Origin"), "it is no other page's")
		require.Contains(t, got.Header.Get("Content-Security-Policy"), "default-src 'none'; script-src 'self'")
		require.Contains(t, got.Header.Get("Content-Security-Policy"), "frame-ancestors 'none'")
		require.NotEmpty(t, body(t, got))
		same := request(t, http.MethodGet, path, got.Header.Get("Etag"))
		require.Equal(t, http.StatusNotModified, same.StatusCode)
		require.Equal(t, got.Header.Get("Content-Security-Policy"), same.Header.Get("Content-Security-Policy"))
		require.Equal(t, http.StatusMethodNotAllowed, request(t, http.MethodPost, path, "").StatusCode)
		require.True(t, Serves(path, true))
		require.False(t, Serves(path, false))

		w := httptest.NewRecorder()
		Handler("", false).ServeHTTP(w, httptest.NewRequest(http.MethodGet, path, http.NoBody))
		require.Equal(t, http.StatusNotFound, w.Code)
	}
	require.Equal(t, http.StatusNotFound, request(t, http.MethodGet, "/page/index.html", "").StatusCode)
}

// TestPageLoadsItsOwnFilesOnly checks that each file that the page refers to is a file of the page.
func TestPageLoadsItsOwnFilesOnly(t *testing.T) {
	reference := regexp.MustCompile(`(?:src|href)="([^"]*)"|import .* from '([^']*)'|url\(([^)]*)\)`)
	found := 0
	for path, f := range usual.pages {
		text := string(f.content)
		if path == "/page/code.js" {
			text, _, _ = strings.Cut(text, "function snippets") // other pages load the files in its snippets
		}
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			at, err := url.Parse("http://hub" + path)
			require.NoError(t, err)
			u, err := at.Parse(m[1] + m[2] + m[3])
			require.NoError(t, err)
			require.Equal(t, "hub", u.Host, m[0])
			require.True(t, Serves(u.Path, true), "%s in %s", m[0], path)
			found++
		}
		if path == "/" {
			require.NotRegexp(t, `(?s)<script[^>]*>[^<]|<style| style=| on[a-z]+=`, text, "the policy keeps this from working")
		}
	}
	require.Greater(t, found, 15)
}

func TestPageMayTalkToTheHubOfItsAddressOnly(t *testing.T) {
	for hub, want := range map[string]string{
		"":                               "",
		"/a/engine.io/":                  "",
		"./a/engine.io/":                 "",
		"localhost":                      " http://localhost:8888 ws://localhost:8888",
		"localhost:7777":                 " http://localhost:7777 ws://localhost:7777",
		" 10.0.0.1:80 ":                  " http://10.0.0.1:80 ws://10.0.0.1:80",
		"http://hub.example.com":         " http://hub.example.com ws://hub.example.com",
		"ws://hub.example.com/x/":        " http://hub.example.com ws://hub.example.com",
		"HTTPS://hub.example.com:8443/?": " https://hub.example.com:8443 wss://hub.example.com:8443",
		"wss://hub":                      " https://hub wss://hub",
		"http://[::1]:8888":              " http: ws:",
		"https://[::1]":                  " https: wss:",
		"http://*":                       "",
		"http://*.example.com":           "",
		"http://a;script-src *":          "",
		"http://a'b":                     "",
		"http://a,b":                     "",
		"http://a b":                     "",
		"http://a%3Bb":                   "",
		"http://ä":                       "",
		"javascript://x":                 "",
		"data://x":                       "",
		"http://":                        "",
		"http://a:port":                  "",
		"http://a\r\nX-Header: 1":        "",
	} {
		require.Equal(t, want, origins(hub), hub)
		r := httptest.NewRequest(http.MethodGet, "/?"+url.Values{"hub": {hub}}.Encode(), http.NoBody)
		w := httptest.NewRecorder()
		Handler("", true).ServeHTTP(w, r)
		require.Equal(t, policy(hub), w.Header().Get("Content-Security-Policy"))
		require.Contains(t, policy(hub), "; connect-src 'self'"+want+"; base-uri 'none'")
	}
}
