package main_test

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/webtransport"
)

func requireEcho(t *testing.T, url string, opts *engineio.DialOptions) {
	t.Helper()
	s, err := engineio.Dial(testContext(t), url, opts)
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), engineio.Text("hello")))
	m, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "hello", string(m.Data))
	require.Equal(t, opts.Transports[0], s.Transport())
	require.NoError(t, s.Close())
}

// Without a certificate the server makes one, and prints the hash by which a page recognises it.
func TestWebTransportWithItsOwnCertificate(t *testing.T) {
	url, lines, _, end := startLines(t, 2, "--webtransport")
	printed, ok := strings.CutPrefix(lines[0], "echo: the certificate for WebTransport has the sha-256 hash ")
	require.True(t, ok, lines[0])
	want, err := base64.StdEncoding.DecodeString(printed)
	require.NoError(t, err)
	dialer := &webtransport.Dialer{TLSConfig: &tls.Config{
		InsecureSkipVerify: true, // like a page that has the hash
		VerifyConnection: func(state tls.ConnectionState) error {
			got := sha256.Sum256(state.PeerCertificates[0].Raw)
			require.Equal(t, want, got[:])
			return nil
		},
	}}
	requireEcho(t, url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.WebTransport}, WebTransport: dialer.Dial})
	requireEcho(t, url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.Polling}})
	end(os.Interrupt)
}

// With a certificate the server serves HTTPS too.
func TestWebTransportWithACertificate(t *testing.T) {
	certificate, _, err := webtransport.SelfSigned("127.0.0.1")
	require.NoError(t, err)
	key, err := x509.MarshalPKCS8PrivateKey(certificate.PrivateKey)
	require.NoError(t, err)
	dir := t.TempDir()
	cert, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), 0o600))
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600))
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	config := &tls.Config{RootCAs: pool}

	url, end := start(t, "--webtransport", "--cert", cert, "--key", keyFile)
	require.True(t, strings.HasPrefix(url, "https://"), url)
	requireEcho(t, url, &engineio.DialOptions{
		Transports: []engineio.Transport{engineio.WebTransport}, WebTransport: (&webtransport.Dialer{TLSConfig: config}).Dial,
	})
	web := &http.Transport{TLSClientConfig: config}
	defer web.CloseIdleConnections()
	requireEcho(t, url, &engineio.DialOptions{
		Transports: []engineio.Transport{engineio.Polling}, HTTPClient: &http.Client{Transport: web},
	})
	end(os.Interrupt)
}
