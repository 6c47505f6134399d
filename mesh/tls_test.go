package mesh_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// writeCertificate writes a self-signed certificate for this machine and its key into two files.
func writeCertificate(t testing.TB, dir string, serial int64) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{"localhost"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	require.NoError(t, err)
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	require.NoError(t, err)
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	require.NoError(t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}), 0o600))
	require.NoError(t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return certFile, keyFile
}

func TestAHubSpeaksTLS(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), 1)
	hub := listen(t, mesh.Options{CertFile: cert, KeyFile: key})
	require.True(t, strings.HasPrefix(hub.URL(), "https://localhost:"), hub.URL())
	heard := listenTo(t, hub, "e")
	for _, transports := range [][]engineio.Transport{nil, {engineio.Polling}, {engineio.WebSocket}} {
		c := connect(t, hub, mesh.Options{CAFile: cert, Transports: transports})
		atClient := listenTo(t, c, "back")
		require.NoError(t, c.Emit("e", 1))
		require.Equal(t, c.ID(), heard.Next().From)
		require.NoError(t, hub.Emit("back", nil))
		atClient.Next()
		require.NoError(t, c.Close())
	}

	_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.URL()})
	require.ErrorAs(t, err, new(x509.UnknownAuthorityError), "verified by default")
	_, err = mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.Addr()})
	require.ErrorContains(t, err, "HTTP request to an HTTPS server")
}

func TestStartWithTLSMakesHubsAndClients(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), 1)
	o := mesh.Options{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: key, CAFile: cert}
	first := listen(t, o)
	for _, addr := range []string{first.Addr(), first.URL()} {
		o.Addr = addr
		second, err := mesh.Start(meshtest.Context(t), &o)
		require.NoError(t, err)
		require.Equal(t, mesh.RoleClient, second.Role())
		require.NoError(t, second.Close())
	}
}

func TestANewCertificateIsTakenOver(t *testing.T) {
	dir := t.TempDir()
	var logs meshtest.Log
	cert, key := writeCertificate(t, dir, 1)
	hub := listen(t, mesh.Options{CertFile: cert, KeyFile: key, Logger: logs.Logger()})
	serial := func() string {
		conn, err := tls.Dial("tcp", hub.Addr(), &tls.Config{InsecureSkipVerify: true}) // the test checks the certificate itself
		require.NoError(t, err)
		defer conn.Close()
		require.Empty(t, conn.ConnectionState().NegotiatedProtocol)
		return conn.ConnectionState().PeerCertificates[0].SerialNumber.String()
	}
	later := func(d time.Duration) { require.NoError(t, os.Chtimes(cert, time.Time{}, time.Now().Add(d))) }
	require.Equal(t, "1", serial())
	require.NoError(t, os.WriteFile(cert, []byte("half"), 0o600))
	later(time.Minute)
	require.Equal(t, "1", serial())
	require.Equal(t, "1", serial())
	require.Equal(t, 1, strings.Count(logs.String(), "the new certificate cannot be used"))
	writeCertificate(t, dir, 2)
	later(2 * time.Minute)
	require.Equal(t, "2", serial())
}

func TestTLSOptionsAreChecked(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, 1)
	for want, o := range map[string]mesh.Options{
		"mesh: Options.CertFile: a certificate and its key go together":         {CertFile: cert},
		"mesh: Options.Addr: the address says http, but there is a certificate": {Addr: "http://localhost:1", CertFile: cert, KeyFile: key},
		"mesh: Options.CertFile: ":                {CertFile: key, KeyFile: key},
		"needs CertFile and KeyFile":              {Addr: "https://localhost:1"},
		"no PEM certificate found":                {CAFile: key},
		"mesh: Options.CAFile: open ":             {CAFile: filepath.Join(dir, "none")},
		"excludes HTTPClient":                     {CAFile: cert, HTTPClient: http.DefaultClient},
		"mesh: Options.Token: only visible ASCII": {Token: "tainted\r\nX: y"},
	} {
		_, err := mesh.Listen(meshtest.Context(t), &o)
		require.ErrorContains(t, err, want)
		require.NotContains(t, err.Error(), "tainted")
	}
}

func TestATokenIsPresentedInHeaderOrQuery(t *testing.T) {
	seen := make(chan mesh.Credentials, 10)
	hub := listen(t, mesh.Options{Authorize: func(ctx context.Context, c mesh.Credentials) error {
		seen <- c
		return mesh.BearerAuth("s3cret-token")(ctx, c)
	}})
	for _, transports := range [][]engineio.Transport{nil, {engineio.Polling}, {engineio.WebSocket}} {
		c := connect(t, hub, mesh.Options{Token: "s3cret-token", Transports: transports})
		require.Equal(t, "s3cret-token", (<-seen).Token)
		require.NoError(t, c.Close())
	}
	for _, token := range []string{"", "s3cret", "s3cret-token2"} {
		_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.URL(), Token: token})
		require.ErrorAs(t, err, new(*mesh.AuthError))
		require.Equal(t, token, (<-seen).Token)
	}
	for query, want := range map[string]string{
		"?token=s3cret-token": "s3cret-token", "?token=": "", "?token=a%0Ab": "", "?token=" + strings.Repeat("x", 8193): "", "?token=a&token=b": "a",
	} {
		w := meshtest.Dial(t, hub.URL()+query, nil)
		w.Send(meshtest.Table())
		require.Equal(t, want, (<-seen).Token)
	}
	for header, want := range map[string]string{"bearer  abc": "abc", "Basic abc": "", "Bearer ": "", "Bearer": ""} {
		w := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision4, Header: http.Header{"Authorization": {header}}})
		w.Send(meshtest.Table())
		require.Equal(t, want, (<-seen).Token)
	}
	require.ErrorIs(t, mesh.BearerAuth("")(context.Background(), mesh.Credentials{}), mesh.ErrUnauthorized, "an empty token is not valid")
	require.NotContains(t, fmt.Sprintf("%v %+v %#v", mesh.Credentials{Token: "tainted"}, mesh.Credentials{Token: "tainted"}, mesh.Credentials{Token: "tainted"}), "tainted")
}

// The test uses a token in all cases in which an error or a log line could show it.
// Advisories: CVE-2026-33247, CVE-2020-26149
func TestNoTokenInLogsOrErrors(t *testing.T) {
	t.Parallel() // it waits for a timer
	const token, wrong, inQuery = "tainted-token-1", "tainted-token-2", "tainted-token-3"
	var logs meshtest.Log
	var said strings.Builder
	cert, key := writeCertificate(t, t.TempDir(), 1)
	hub := listen(t, mesh.Options{
		CertFile: cert, KeyFile: key, Logger: logs.Logger(), MuteTimeout: 50 * time.Millisecond,
		Authorize: mesh.BearerAuth(token), Permit: func(p mesh.PeerInfo, _ mesh.Action, event string) bool {
			logs.Logger().Info("asked", "peer", p)
			return event == "ok"
		},
	})
	c := connect(t, hub, mesh.Options{Token: token, CAFile: cert, Logger: logs.Logger(), Transports: overWebSocket})
	require.NoError(t, c.Emit("denied", nil))
	require.NoError(t, c.Emit("ok", nil))
	flush(t, c)
	_, err := c.Nodes(meshtest.Context(t))
	fmt.Fprintln(&said, err)
	all, err := hub.Nodes(meshtest.Context(t))
	fmt.Fprintln(&said, all, err, hub.Stats(), hub.Sessions())
	for _, o := range []mesh.Options{
		{Addr: hub.URL(), Token: wrong, CAFile: cert}, {Addr: hub.URL(), Token: wrong}, {Addr: hub.Addr(), Token: wrong},
		{Addr: hub.URL() + "nowhere/", Token: wrong, CAFile: cert}, {Addr: "http://127.0.0.1:1", Token: wrong}, {Addr: hub.URL() + "?token=" + inQuery},
	} {
		o.Logger = logs.Logger()
		_, err := mesh.Connect(meshtest.Context(t), &o)
		require.Error(t, err)
		fmt.Fprintf(&said, "%v %+v %#v\n", err, err, err)
	}
	pool := x509.NewCertPool()
	raw, err := os.ReadFile(cert)
	require.NoError(t, err)
	pool.AppendCertsFromPEM(raw)
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	w := meshtest.Dial(t, hub.URL()+"?token="+inQuery, &engineio.DialOptions{Revision: engineio.Revision3, Logger: logs.Logger(), HTTPClient: &http.Client{Transport: transport}})
	w.Send(meshtest.Table(), `{"event":"x"}`, `{"event":`)
	w.AwaitEnd() // the hub mutes the peer, and then disconnects it
	require.NoError(t, hub.Close())
	_ = c.Flush(meshtest.Context(t))
	for _, secret := range []string{token, wrong, inQuery} {
		require.NotContains(t, logs.String(), secret)
		require.NotContains(t, said.String(), secret)
	}
	require.Contains(t, logs.String(), "peer refused", "the logs were looked at")
}

// TestWhoTakesTheAddressOfAHubWithTLSGetsNoCredentials checks that clients which reconnect to another program at the
// hub's address do not send it their credentials.
func TestWhoTakesTheAddressOfAHubWithTLSGetsNoCredentials(t *testing.T) {
	cert, key := writeCertificate(t, t.TempDir(), 1)
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", CertFile: cert, KeyFile: key})
	c := connect(t, hub, mesh.Options{CAFile: cert, Token: "s3cret"})
	changes := states(c)
	require.NoError(t, hub.Close())

	l, err := net.Listen("tcp", hub.Addr())
	require.NoError(t, err)
	asked := make(chan string, 100)
	rogue := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked <- r.Header.Get("Authorization") }))
	rogue.Config.ErrorLog = log.New(io.Discard, "", 0)
	require.NoError(t, rogue.Listener.Close())
	rogue.Listener = l
	rogue.StartTLS()
	defer rogue.Close()
	for {
		s := awaitStatus(t, changes, mesh.Disconnected)
		if errors.As(s.Err, new(x509.UnknownAuthorityError)) {
			break
		}
	}
	require.Empty(t, asked)
}
