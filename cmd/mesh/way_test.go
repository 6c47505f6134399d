package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// These tests have a forward proxy, which the environment names, or a redirect between a command and its hub.

func TestForwardProxyIsNamed(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no way out", http.StatusForbidden)
	}))
	t.Cleanup(refusing.Close)
	const remedy = ". If the hub needs no proxy, add its host to NO_PROXY"
	for _, c := range []struct{ name, env, addr, want string }{
		{"unreachable", "HTTP_PROXY=http://u:s3cret@" + closed, "hub.example:8888",
			"cannot reach the proxy http://" + closed + ", which HTTP_PROXY names: the connection was refused" + remedy},
		{"lower case", "http_proxy=" + closed, "hub.example:8888",
			"cannot reach the proxy http://" + closed + ", which http_proxy names: the connection was refused" + remedy},
		{"for https", "HTTPS_PROXY=socks5://u:s3cret@" + closed, "https://hub.example",
			"cannot reach the proxy socks5://" + closed + ", which HTTPS_PROXY names: the connection was refused" + remedy},
		{"no such host", "HTTP_PROXY=http://proxy.invalid:3128", "hub.example:8888",
			`cannot reach the proxy http://proxy.invalid:3128, which HTTP_PROXY names: there is no host called "proxy.invalid"` + remedy},
		{"several addresses", "HTTP_PROXY=http://" + closed, "one.example:1,two.example:2",
			"no hub at one.example:1 (cannot reach the proxy http://" + closed + ", which HTTP_PROXY names: the connection was refused), " +
				"nor at two.example:2 (cannot reach the proxy http://" + closed + ", which HTTP_PROXY names: the connection was refused)"},
		{"an answer of the proxy", "HTTP_PROXY=" + refusing.URL, "hub.example:8888",
			"the server at hub.example:8888 is not a hub (no way out (through the proxy " + refusing.URL + ", which HTTP_PROXY names)): check --addr, and its path if it is a URL"},
		{"a refusal of the proxy", "HTTPS_PROXY=" + refusing.URL, "https://hub.example",
			"no hub at https://hub.example: through the proxy " + refusing.URL + ", which HTTPS_PROXY names: Forbidden. Is it the right --addr?"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, stderr, code := execute(t, []string{c.env}, "emit", "x", "--addr", c.addr)
			require.Equal(t, 1, code)
			require.Equal(t, "mesh: "+c.want+"\n", stderr)
		})
	}
}

// The hub is behind a proxy that redirects all visitors to https, or to its other name.
func TestRedirectOfAHub(t *testing.T) {
	hub := spawn(t, nil, "listen", "--addr", anyPort).is().url
	at := strings.TrimSuffix(hub, "/engine.io/")
	front := func(status int, to string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.RequestURI(), status)
		}))
		t.Cleanup(s.Close)
		return s.URL
	}
	for _, status := range []int{301, 302, 303, 307, 308} {
		_, stderr, code := execute(t, nil, "emit", "x", "--addr", front(status, at))
		require.Zero(t, code, stderr)
	}
	elsewhere := front(301, strings.Replace(at, "127.0.0.1", "localhost", 1))
	_, stderr, code := execute(t, nil, "emit", "x", "--addr", elsewhere)
	require.Equal(t, 1, code)
	require.Equal(t, "mesh: "+elsewhere+" is a redirect to "+strings.Replace(hub, "127.0.0.1", "localhost", 1)+": give --addr that address if the hub is there\n", stderr)

	secure := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(secure.Close)
	_, stderr, code = execute(t, nil, "emit", "x", "--addr", front(308, secure.URL))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "give --ca FILE")
	require.Contains(t, stderr, "redirects to "+secure.URL+"/engine.io/")
}

func TestArgumentThatBeginsWithAMinus(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"emit", "temp", "-5"}, "-5 is not a flag. If it is an argument, put it after all flags and a --: 'mesh emit temp -- -5'"},
		{[]string{"emit", "temp", "-1.5e3"}, "'mesh emit temp -- -1.5e3'"},
		{[]string{"on", "-x"}, "'mesh on -- -x'"},
		{[]string{"nodes", "-v"}, "-v is not a flag; 'mesh nodes --help'"},
	} {
		_, stderr, code := execute(t, nil, c.args...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, c.want)
	}
	hub := spawn(t, nil, "listen", "--addr", anyPort, "--on", "temp")
	_, stderr, code := execute(t, nil, "emit", "--addr", hub.is().url, "temp", "--", "-5")
	require.Zero(t, code, stderr)
	require.JSONEq(t, "-5", string(hub.hears().Payload))
}
