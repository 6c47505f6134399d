package engineio_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// through returns a client whose requests go through a proxy.
func through(proxy string) (*http.Client, error) {
	u, err := url.Parse(proxy)
	return &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(u)}}, err
}

func dialThrough(t *testing.T, proxy, url string) (*engineio.ProxyError, error) {
	t.Helper()
	client, err := through(proxy)
	require.NoError(t, err)
	_, err = engineio.Dial(testContext(t), url, &engineio.DialOptions{HTTPClient: client})
	client.CloseIdleConnections()
	require.Error(t, err)
	require.NotContains(t, err.Error(), "s3cret")
	found, _ := errors.AsType[*engineio.ProxyError](err)
	return found, err
}

func TestErrorNamesTheForwardProxy(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	closed := l.Addr().String()
	require.NoError(t, l.Close())
	for _, server := range []string{"http://hub.example", "https://hub.example", "wss://hub.example:8443"} {
		for _, scheme := range []string{"http", "socks5"} {
			p, err := dialThrough(t, scheme+"://u:s3cret@"+closed, server)
			require.NotNil(t, p, "%v", err)
			require.True(t, p.Unreachable)
			require.Equal(t, scheme+"://"+closed, p.Proxy)
			require.Empty(t, p.Variable)
			require.ErrorContains(t, err, "through the proxy "+scheme+"://"+closed)
		}
	}

	// This proxy responds itself.
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "no way out", http.StatusForbidden)
	}))
	defer refusing.Close()
	p, err := dialThrough(t, refusing.URL, "https://hub.example")
	require.NotNil(t, p, "%v", err)
	require.False(t, p.Unreachable)
	require.ErrorContains(t, err, "Forbidden")
	_, err = dialThrough(t, refusing.URL, "http://hub.example")
	require.ErrorContains(t, err, "no way out (through the proxy "+refusing.URL)

	// This proxy does not respond.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, silent.Close()) }()
	accepted := make(chan net.Conn, 1)
	go func() {
		conn, _ := silent.Accept()
		accepted <- conn
	}()
	ctx, cancel := context.WithCancel(testContext(t))
	go func() {
		conn := <-accepted
		_, _ = io.ReadAtLeast(conn, make([]byte, 1), 1)
		cancel()
		_ = conn.Close()
	}()
	client, err := through("http://" + silent.Addr().String())
	require.NoError(t, err)
	_, err = engineio.Dial(ctx, "http://hub.example", &engineio.DialOptions{HTTPClient: client})
	require.ErrorIs(t, err, context.Canceled)
	require.ErrorContains(t, err, "through the proxy http://"+silent.Addr().String())
}

// The error of a server's response does not name the proxy.
func TestAnswerOfTheServerDoesNotNameTheProxy(t *testing.T) {
	opts := &engineio.ServerOptions{AllowRequest: func(*http.Request) error { return errors.New("not you") }}
	proxy := newTestServer(t, echoHandler, opts) // it serves every host
	_, err := dialThrough(t, proxy.url, "http://hub.example")
	require.EqualError(t, err, "engineio: handshake rejected: not you (code 4, HTTP status 403)")
}

func TestProxyVariable(t *testing.T) {
	for _, c := range []struct{ name, value, scheme, host, want string }{
		{"HTTP_PROXY", "http://u:p@proxy.example:3128", "http", "proxy.example:3128", "HTTP_PROXY"},
		{"http_proxy", "proxy.example:3128", "http", "proxy.example:3128", "http_proxy"},
		{"HTTPS_PROXY", "socks5://proxy.example", "https", "proxy.example", "HTTPS_PROXY"},
		{"HTTP_PROXY", "http://proxy.example", "https", "proxy.example", ""},
		{"HTTP_PROXY", "http://other.example", "http", "proxy.example", ""}, // the transport's own
	} {
		for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy"} {
			t.Setenv(name, "")
		}
		t.Setenv(c.name, c.value)
		require.Equal(t, c.want, engineio.ProxyVariable(c.scheme, c.host), "%v", c)
	}
}
