package main

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// certificate writes a certificate for 127.0.0.1 and its key into two files.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	web := httptest.NewTLSServer(http.NotFoundHandler()) // the test server has one
	defer web.Close()
	pair := web.TLS.Certificates[0]
	secret, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}), 0o600))
	require.NoError(t, os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	return cert, key
}

func TestAHubWithTLSAndAToken(t *testing.T) {
	cert, key := certificate(t)
	token := []string{"MESH_TOKEN=s3cret-token"}
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("s3cret-token\n"), 0o600))
	listen := spawn(t, token, "listen", "--addr", anyPort, "--cert", cert, "--key", key, "--on", "x", "--log-level", "debug")
	hub := listen.is()
	require.True(t, strings.HasPrefix(hub.url, "https://127.0.0.1:"), hub.url)
	second := spawn(t, token, "start", "--addr", strings.TrimSuffix(strings.TrimPrefix(hub.url, "https://"), "/engine.io/"), "--cert", cert, "--key", key, "--ca", cert)
	require.Equal(t, "a client of the hub", second.is().role)

	emit := []string{"emit", "x", "1", "--addr", hub.url, "--ca", cert}
	_, stderr, code := execute(t, nil, append(emit, "--token-file", file)...)
	require.Zero(t, code, stderr)
	require.Equal(t, "1", string(listen.hears().Payload))
	for want, env := range map[string][]string{
		"rejected this node: it requires another token": {"MESH_TOKEN=guess"},
		"requires a password or token":                  nil,
	} {
		_, stderr, code = execute(t, env, emit...)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, want)
	}
	for addr, want := range map[string]string{
		hub.url: "this machine does not trust the certificate of " + hub.url + ": give --ca FILE",
		"http" + strings.TrimPrefix(hub.url, "https"): "uses TLS: give its address as https://",
	} {
		_, stderr, code = execute(t, token, "emit", "x", "--addr", addr)
		require.Equal(t, 1, code)
		require.Contains(t, stderr, want)
	}
	plain := spawn(t, nil, "listen", "--addr", anyPort).is()
	_, stderr, code = execute(t, nil, "emit", "x", "--addr", "https"+strings.TrimPrefix(plain.url, "http"))
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "does not use TLS: is it http:// rather than https://?")
	require.NotContains(t, second.Interrupt(os.Interrupt), "s3cret")
	require.NotContains(t, listen.Interrupt(os.Interrupt), "s3cret")
}

func TestBenchOfAHubWithTLS(t *testing.T) {
	cert, key := certificate(t)
	env := []string{"MESH_TOKEN=s3cret-token"}
	url := spawn(t, env, "listen", "--addr", anyPort, "--cert", cert, "--key", key).is().url
	args := []string{"bench", "--json", "--addr", url, "--duration", "200ms", "--rate", "100", "--subscribers", "3",
		"--transports", "websocket,polling,upgrade"}
	stdout, stderr, code := execute(t, env, append(args, "--ca", cert)...)
	require.Zero(t, code, stderr)
	var got benchReport
	require.NoError(t, json.Unmarshal([]byte(stdout), &got))
	require.Equal(t, 60, got.Received)
	_, stderr, code = execute(t, env, args...)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "give --ca FILE")
}

func TestAHubAdmitsThePagesThatItIsTold(t *testing.T) {
	url := spawn(t, nil, "listen", "--addr", anyPort, "--allow-origin", "https://app.example.com", "--allow-origin", "http://b.example:1,http://c.example").is().url
	for origin, want := range map[string]int{
		"https://app.example.com": http.StatusOK, "http://b.example:1": http.StatusOK, "http://c.example": http.StatusOK, "https://evil.example": http.StatusForbidden,
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"?EIO=4&transport=polling", nil)
		require.NoError(t, err)
		req.Header.Set("Origin", origin)
		resp, err := (&http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, origin)
	}
	for _, wrong := range []string{"app.example.com", "https://", "https://app.example.com/page", "https://u:s3cret@app.example.com", "https://app*.example.com", "wss://app.example.com"} {
		_, stderr, code := execute(t, nil, "listen", "--addr", anyPort, "--allow-origin", wrong)
		require.Equal(t, 1, code)
		require.Regexp(t, "^mesh: --allow-origin: .*https://", stderr)
		require.NotContains(t, stderr, "s3cret")
	}
}
