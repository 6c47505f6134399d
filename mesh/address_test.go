package mesh

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAddresses(t *testing.T) {
	for in, want := range map[string]string{
		"localhost:8888":              "http://localhost:8888/engine.io/",
		":9000":                       "http://localhost:9000/engine.io/",
		"example.com":                 "http://example.com:8888/engine.io/",
		"127.0.0.1:80":                "http://127.0.0.1:80/engine.io/",
		"[::1]:80":                    "http://[::1]:80/engine.io/",
		"[::1]":                       "http://[::1]:8888/engine.io/",
		"::1":                         "http://[::1]:8888/engine.io/",
		"http://h":                    "http://h:80/engine.io/",
		"https://h/":                  "https://h:443/engine.io/",
		"ws://h:1":                    "http://h:1/engine.io/",
		"wss://h:1/a/b/engine.io/":    "https://h:1/a/b/engine.io/",
		"http://[::1]:8888/mesh":      "http://[::1]:8888/mesh/",
		"http://localhost:1/a%20b/c/": "http://localhost:1/a%20b/c/",
	} {
		a, err := parseAddr(in)
		require.NoError(t, err, in)
		require.Equal(t, want, a.target().URL, in)
	}
}

func TestSeveralAddresses(t *testing.T) {
	addrs, err := parseAddrs("a:1, http://b/x%2Cy/,[::1]:2")
	require.NoError(t, err)
	var urls []string
	for _, a := range addrs {
		urls = append(urls, a.target().URL)
	}
	require.Equal(t, []string{"http://a:1/engine.io/", "http://b:80/x,y/", "http://[::1]:2/engine.io/"}, urls)
}

func TestHubHasOneAddress(t *testing.T) {
	_, err := Listen(t.Context(), &Options{Addr: "localhost:0,localhost:0"})
	require.ErrorIs(t, err, errSeveral)
}

func TestInvalidAddresses(t *testing.T) {
	for _, in := range []string{
		"ftp://h", "http://user:secret@h", "http://h/?token=secret", "http://h/#secret", "user:secret@h:1", "user:secret@h", "user@h", "http://user:sec/ret@h:80", "a:b:c", "h/path",
		"http://user:secret@h:port\x7f/", "http://[::1", "http://user:secret,secret@h:1", "h,", ",", "h,,i", "h,ftp://i",
	} {
		_, err := parseAddrs(in)
		require.Error(t, err, in)
		require.NotContains(t, err.Error(), "sec", in)
	}
}
