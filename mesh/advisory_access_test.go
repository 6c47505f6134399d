package mesh_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// The tests in this file cover published faults of other implementations. docs/security.md lists them all. Tests of the
// transports are in package engineio, tests of the parser in package protocol. The tests in this file are about
// admission.

// A hub reads at most 64 KB from a peer before it admits the peer.
// Advisories: CVE-2026-33219
func TestUnadmittedPeerUsesLittleMemory(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Authorize: mesh.BasicAuth("u", "p")})
	const peers = 50
	var wires []*meshtest.Session
	for range peers {
		w := meshtest.Dial(t, hub.URL(), nil)
		w.Send(`{"event":"x"}`)
		w.Barrier()
		wires = append(wires, w)
	}
	interoptest.RequireHeapGrows(t, peers*64<<10, func() {
		for _, w := range wires {
			w.Send(`{"event":"x","headers":{"auth":{"user":"` + strings.Repeat("x", 8000) + `"}},"eventTable":{"mesh::` + strings.Repeat("x", 50_000) + `":{}}}`)
			w.Barrier()
		}
		require.Zero(t, hub.Stats().TooEarly)
		for _, w := range wires {
			w.Send(`{"event":"x","payload":"` + strings.Repeat("x", 900_000) + `"}`)
		}
		eventually(t, "the hub reads no more", func() bool { return hub.Stats().TooEarly == peers })
	})
	require.EqualValues(t, 2*peers, hub.Stats().Unauthorized, "the hub parses no packet beyond 64 KB")
	for _, w := range wires {
		w.Socket.Abort(nil) // the hub does not read from this peer, so a normal close would get no reply
	}
}

// A hub waits at most 5 s for an HTTP request that does not end and for a callback that does not return.
// Advisories: CVE-2026-33219, secnote 2026-25
func TestAdmissionTimeouts(t *testing.T) {
	t.Parallel() // it waits for a timer
	const limit = 5 * time.Second
	started := make(chan struct{}, 1)
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Authorize: func(ctx context.Context, _ mesh.Credentials) error {
		started <- struct{}{}
		<-ctx.Done()
		return nil // after the timeout
	}})
	heard := listenTo(t, hub, "e")
	start := time.Now()
	var conns []net.Conn
	for _, begun := range []string{"", "GET /engine.io/?EIO=3&transport=polling HTTP/1.1\r\nHost: ", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"} {
		conn, err := net.Dial("tcp", hub.Addr())
		require.NoError(t, err)
		_, err = conn.Write([]byte(begun))
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"e"}`)
	<-started
	for i, conn := range conns {
		require.NoError(t, conn.SetReadDeadline(start.Add(limit+meshtest.Patience)))
		_, err := io.Copy(io.Discard, conn)
		require.NoError(t, err, "connection %d is still waited for", i)
		require.NoError(t, conn.Close())
	}
	eventually(t, "refused", func() bool { return hub.Stats().AuthFailures == 1 })
	require.Empty(t, heard.C)
}

// A hub negotiates no compression, so it inflates nothing before or after admission.
// Advisories: CVE-2026-27571
func TestHubInflatesNothing(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")})
	for _, user := range []string{"u", "x"} {
		s, err := engineio.Dial(meshtest.Context(t), hub.URL(), &engineio.DialOptions{
			Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}, PerMessageDeflate: true,
			HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := http.DefaultTransport.RoundTrip(r)
				require.NotEmpty(t, r.Header.Get("Sec-WebSocket-Extensions"))
				if err == nil {
					require.Empty(t, resp.Header.Values("Sec-WebSocket-Extensions"))
				}
				return resp, err
			})},
		})
		require.NoError(t, err)
		s.Discard()
		require.NoError(t, s.Write(meshtest.Context(t), engineio.Text(fmt.Sprintf(authPacket, user, "p"))))
		require.NoError(t, s.Ping(meshtest.Context(t)))
		require.NoError(t, s.Close())
	}
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// The test sends random sequences of packets. The hub must survive, and must neither deliver events to the peer nor
// accept events from it. No packet, in any order, bypasses the check.
// Advisories: CVE-2026-29785, CVE-2026-33218, secnote 2026-16, secnote 2026-19, secnote 2026-24
func TestRandomPacketsBeforeAdmission(t *testing.T) {
	pair := mesh.BasicAuth("u", "p")
	hub := listen(t, mesh.Options{Authorize: pair})
	heard := listenTo(t, hub, "**")
	good := connect(t, hub, mesh.Options{User: "u", Password: "p"})
	atGood := listenTo(t, good, "**")
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	events := []string{"handshake", "newListener", "$mesh.hello", "$mesh.unauthorized", "e", "error", "mesh::e", "**", ""}
	parts := []string{
		`"payload":{}`, `"payload":null`, `"eventTable":{"mesh::**":{"remote":true},"secret":{}}`, `"eventTable":null`, `"eventTable":[]`,
		`"headers":{}`, `"headers":null`, `"headers":{"auth":{}}`, `"headers":{"auth":{"user":"u"}}`, `"headers":{"auth":{"user":"u","password":"x"}}`,
		`"headers":{"auth":{"user":["u"],"password":["p"]}}`, `"headers":{"auth":null,"mesh":{"v":1}}`, `"from":"` + good.ID() + `"`,
	}
	for range 200 {
		w := meshtest.Dial(t, hub.URL(), nil)
		for range 1 + rnd.IntN(8) {
			packet := `{"event":"` + events[rnd.IntN(len(events))] + `"`
			for range rnd.IntN(4) {
				packet += "," + parts[rnd.IntN(len(parts))]
			}
			packet += "}"
			if rnd.IntN(10) == 0 {
				packet = packet[:rnd.IntN(len(packet))]
			}
			w.Send(packet)
		}
		w.Barrier()
		require.NoError(t, hub.Emit("secret", nil))
		require.Empty(t, w.Received())
		heard.silentUntil("secret")
		atGood.silentUntil("secret")
		w.Socket.Abort(nil)
	}
	require.Empty(t, heard.C)
}

// A hub rejects pages of other origins on every transport, unless AllowedOrigins names them.
// Advisories: CVE-2019-13611
func TestHubRejectsOtherOrigins(t *testing.T) {
	hub := listen(t, mesh.Options{})
	open := listen(t, mesh.Options{AllowedOrigins: []string{"https://good.example"}})
	for _, c := range []struct {
		hub    *mesh.Node
		origin string
		ok     bool
	}{
		{hub, "", true}, {hub, "http://" + hub.Addr(), true}, {hub, "https://evil.example", false}, {hub, "null", false},
		{open, "https://good.example", true}, {open, "https://evil.example", false},
	} {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}} {
			header := http.Header{}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			s, err := engineio.Dial(meshtest.Context(t), c.hub.URL(), &engineio.DialOptions{Transports: transports, Header: header})
			require.Equal(t, c.ok, err == nil, "%q on %s: %v", c.origin, transports[0], err)
			if err == nil {
				s.Discard()
				_ = s.Close()
			}
		}
	}
}

// TestPagesCannotReachAHubByANameOfTheirOwn checks DNS rebinding: a site can resolve its name to 127.0.0.1 after its
// page is loaded. For the browser, the hub is then the page's origin server.
func TestPagesCannotReachAHubByANameOfTheirOwn(t *testing.T) {
	var log meshtest.Log
	own := listen(t, mesh.Options{Addr: "127.0.0.1:0", Page: true, Logger: log.Logger()})
	proxied := listen(t, mesh.Options{Addr: "127.0.0.1:0", Page: true, AllowedOrigins: []string{"https://Mesh.example.com/"}})
	for _, c := range []struct {
		hub          *mesh.Node
		host, origin string
		ok           bool
	}{
		{own, "evil.example:8888", "http://evil.example:8888", false}, {own, "evil.example", "http://evil.example", false},
		{own, "evil.example.", "http://evil.example.", false}, {own, "evil.", "http://evil.", false}, {own, "evil.:8888", "http://evil.:8888", false},
		{own, "localhost.", "http://localhost.", true}, {own, "127.0.0.1.evil.example", "http://127.0.0.1.evil.example", false},
		{own, "mesh.example.com", "", true}, // a Go client, through a proxy
		{own, "localhost:1", "http://localhost:1", true}, {own, "LocalHost", "http://LocalHost", true}, {own, "a.localhost", "http://a.localhost", true},
		{own, "thishost:8888", "http://thishost:8888", true}, {own, "[::1]:1", "http://[::1]:1", true}, {own, own.Addr(), "http://" + own.Addr(), true},
		{proxied, "mesh.example.com", "https://mesh.example.com", true}, {proxied, "evil.example", "http://evil.example", false},
	} {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}} {
			header := http.Header{"Host": {c.host}}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			s, err := engineio.Dial(meshtest.Context(t), c.hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: transports, Header: header})
			if !c.ok {
				require.ErrorContains(t, err, "403", "%s %v", c.host, transports)
				continue
			}
			require.NoError(t, err, "%s %v", c.host, transports)
			require.NoError(t, s.Close())
		}
	}
	require.Contains(t, log.String(), "AllowedOrigins admits it")

	// Requests for the page, and for a handler with private data, are checked by Host: browsers send no Origin with a
	// GET.
	for _, c := range []struct {
		hub  *mesh.Node
		host string
		want int
	}{
		{own, "evil.example:8888", 403}, {own, "evil.", 403}, {own, "evil.localhost.example", 403}, {own, "localhost:1", 200}, {own, own.Addr(), 200},
		{own, "a-machine", 200}, {proxied, "mesh.example.com", 200}, {proxied, "evil.example", 403},
	} {
		for _, path := range []string{"/", "/mesh.mjs"} {
			require.Equal(t, c.want, getAs(t, "http://"+c.hub.Addr()+path, c.host), "%s%s", c.host, path)
		}
		private := httptest.NewServer(c.hub.RejectRebound(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
		require.Equal(t, c.want, getAs(t, private.URL, c.host), c.host)
		private.Close()
	}
}

// getAs returns the status of a GET with the given Host header.
func getAs(t *testing.T, url, host string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(meshtest.Context(t), http.MethodGet, url, nil)
	require.NoError(t, err)
	req.Host = host
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp.StatusCode
}

// A hub responds with status 404 to the path of a feature that is disabled or does not exist.
// Advisories: secnote 2026-27
func TestPathsOfDisabledFeatures(t *testing.T) {
	hub := listen(t, mesh.Options{})
	for _, path := range []string{"/mesh.txt", "/admin.html", "/metrics", "/healthz", "/readyz", "/admin", "/debug/pprof/"} {
		resp, err := http.Get("http://" + hub.Addr() + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
	}
}
