package interop

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// behind is a serverSide behind proxies. Each server gets a separate proxy.
type behind struct {
	t      testing.TB
	kind   proxyKind
	server serverSide
}

type proxied struct {
	listening
	proxy *proxy
}

func (b behind) listen(ctx context.Context, set setup) (listening, error) {
	l, err := b.server.listen(ctx, set)
	if err != nil {
		return nil, err
	}
	p, err := b.kind.start(b.t, hostOf(l.url()))
	if err != nil {
		return nil, errors.Join(err, l.close())
	}
	return proxied{l, p}, nil
}

func (p proxied) url() string { return p.proxy.url }

func (p proxied) close() error {
	err := p.listening.close()
	p.proxy.close()
	return err
}

func hostOf(address string) string {
	u, err := url.Parse(address)
	must(err)
	return u.Host
}

// journal counts the requests that a server gets.
type journal struct {
	mu   sync.Mutex
	seen map[string]int
}

// watch counts the requests by the client's protocol, the method and the header Upgrade.
func (j *journal) watch(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		front := r.Header.Get("X-Front") // set by a proxy
		if front == "" {
			front = r.Proto
		}
		front, _ = strings.CutSuffix(front, ".0")
		j.note(front + " " + strings.TrimSpace(r.Method+" "+r.Header.Get("Upgrade")))
		if r.Close {
			j.note("Connection: close")
		}
		if slices.Contains(r.TransferEncoding, "chunked") {
			j.note("chunked")
		}
		h.ServeHTTP(w, r)
		if r.URL.Query().Get("transport") == "websocket" && r.Header.Get("Upgrade") == "" {
			j.note("refused a WebSocket")
		}
	})
}

func (j *journal) note(what string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.seen == nil {
		j.seen = make(map[string]int)
	}
	j.seen[what]++
}

func (j *journal) count(what string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.seen[what]
}

func (j *journal) all() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Sorted(maps.Keys(j.seen))
}

// newTransport returns a transport that trusts the certificate of this package. Its idle connections are closed when t
// ends.
func newTransport(t testing.TB) *http.Transport {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: loopbackIdentity().pool}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// overTheWay runs, in each of the modes, the exchanges that a proxy or TLS could spoil.
func overTheWay(t *testing.T, modes []mode, client clientSide, server serverSide) {
	t.Helper()
	eachCell(t, modes, func(m mode, c cell) func(*testing.T) {
		if !slices.Contains([]string{"binary", "500 KB", "300 in order", "server closes"}, c.name) {
			return nil
		}
		return func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			require.NoError(t, c.run(ctx, client, server, m))
		}
	})
}

// modesOver returns the modes in which a client of TestReach takes a way. An upgrade takes both transports. In a normal
// run, each way has one client that takes it in all modes, and each client takes one way or more in all modes. The other
// clients only upgrade.
func modesOver(way, client int) []mode {
	if interoptest.Full() || way%4 == client {
		return modes
	}
	return []mode{upgrade}
}

// TestReach runs exchanges with our server through real proxies and over TLS, with our client and with stock clients.
func TestReach(t *testing.T) {
	t.Parallel()
	for i, way := range []struct {
		kind proxyKind
		tls  bool
		want string // how polls arrive
	}{
		{kind: nginx, want: "HTTP/1.1 GET"},
		{kind: haproxy, want: "HTTP/1.1 GET"},
		{kind: nginx.with(Proxied{TLS: true}), tls: true, want: "HTTP/2 GET"},
		{kind: haproxy.with(Proxied{TLS: true}), tls: true, want: "HTTP/2 GET"},
		{tls: true, want: "HTTP/2 GET"},
	} {
		name := "TLS and HTTP2"
		if way.kind.program != "" {
			interoptest.Need(t, way.kind.program)
			name = way.kind.String()
		}
		over := func(client string) (*journal, serverSide, func(t *testing.T)) {
			j := new(journal)
			server := &ourServer{front: j.watch}
			if way.tls && way.kind.program == "" {
				server.tls = &tls.Config{Certificates: []tls.Certificate{loopbackIdentity().tls}}
			}
			return j, server, func(t *testing.T) {
				if strings.HasPrefix(client, "revision") {
					require.Positive(t, j.count(way.want), "polls came as %v", j.all())
				}
				require.Positive(t, j.count("HTTP/1.1 GET websocket"), "WebSockets came as %v", j.all())
			}
		}
		through := func(t *testing.T, s serverSide) serverSide {
			if way.kind.program == "" {
				return s
			}
			return behind{t, way.kind, s}
		}
		for j, revision := range bothRevisions {
			client := fmt.Sprintf("revision %d", revision)
			t.Run(name+"/"+client, func(t *testing.T) {
				t.Parallel()
				_, server, check := over(client)
				t.Cleanup(func() { check(t) })
				c := newOurClient(t, revision)
				if way.tls {
					c.http = &http.Client{Transport: newTransport(t)}
				}
				overTheWay(t, modesOver(i, j), c, through(t, server))
			})
		}
		for j, version := range []string{"3.5.4", "6.6.8"} {
			t.Run(name+"/engine.io-client "+version, func(t *testing.T) {
				t.Parallel()
				_, server, check := over(version)
				t.Cleanup(func() { check(t) })
				c := peerClient{peer: startNode(t, EngineClient, version)}
				if way.tls {
					c.options = map[string]any{"ca": loopbackIdentity().pem}
				}
				overTheWay(t, modesOver(i, len(bothRevisions)+j), c, through(t, server))
			})
		}
	}
}

// TestProxyThatBreaksWebSocket: a proxy may remove the headers that a WebSocket needs. Sessions then stay on polling,
// and sessions that try a WebSocket first fall back to polling.
func TestProxyThatBreaksWebSocket(t *testing.T) {
	t.Parallel()
	for _, kind := range []proxyKind{nginx.with(Proxied{NoUpgrade: true}), haproxy.with(Proxied{NoUpgrade: true})} {
		interoptest.Need(t, kind.program)
		start := func(t *testing.T) (*journal, listening) {
			j := new(journal)
			l, err := behind{t, kind, &ourServer{front: j.watch}}.listen(t.Context(), setup{mode: upgrade, echo: true})
			require.NoError(t, err)
			t.Cleanup(func() { require.NoError(t, l.close()) })
			return j, l
		}
		// still requires echoes over polling, after the attempt at a WebSocket has failed.
		still := func(t *testing.T, client party, l listening) {
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			server, err := l.accept(ctx)
			require.NoError(t, err)
			for range 10 {
				require.NoError(t, echo(ctx, someBytes, client, server))
			}
			require.Equal(t, engineio.Polling, server.(ourParty).socket.Transport())
		}
		for _, revision := range bothRevisions {
			t.Run(fmt.Sprintf("%s/revision %d", kind, revision), func(t *testing.T) {
				t.Parallel()
				j, l := start(t)
				client, err := newOurClient(t, revision).dial(t.Context(), l.url(), setup{mode: upgrade})
				require.NoError(t, err)
				require.Eventually(t, func() bool { return j.count("refused a WebSocket") > 0 }, AwaitTimeout, time.Millisecond)
				still(t, client, l)
			})
			t.Run(fmt.Sprintf("%s/revision %d, WebSocket first", kind, revision), func(t *testing.T) {
				t.Parallel()
				j, l := start(t)
				s, err := engineio.Dial(t.Context(), l.url(), &engineio.DialOptions{
					Revision: revision, TryAllTransports: true, Transports: []engineio.Transport{engineio.WebSocket, engineio.Polling},
				})
				require.NoError(t, err)
				client := newOurParty(s)
				var reading sync.WaitGroup
				reading.Go(func() { client.serve(s.Context(), setup{}, "") })
				t.Cleanup(func() {
					require.NoError(t, s.Close())
					reading.Wait()
				})
				require.Eventually(t, func() bool { return j.count("refused a WebSocket") > 0 }, AwaitTimeout, time.Millisecond)
				require.Equal(t, 1, j.count("refused a WebSocket"))
				still(t, client, l)
			})
		}
		for _, version := range []string{"3.5.4", "6.6.8"} {
			t.Run(fmt.Sprintf("%s/engine.io-client %s", kind, version), func(t *testing.T) {
				t.Parallel()
				_, l := start(t)
				client, err := peerClient{peer: startNode(t, EngineClient, version)}.dial(t.Context(), l.url(), setup{mode: upgrade})
				require.NoError(t, err)
				client.(peerParty).endpoint.MustAwait(t, "upgradeError")
				still(t, client, l)
			})
		}
	}
}

// modesOfRequests returns the modes of a test about a client's requests. A session that begins with a WebSocket has only
// one, without a body, and the requests before an upgrade are like those of polling: a normal run takes polling alone.
func modesOfRequests() []mode {
	if interoptest.Full() {
		return modes
	}
	return []mode{polling}
}

// TestConnectionClose: some clients and proxies keep no connection alive.
func TestConnectionClose(t *testing.T) {
	t.Parallel()
	j := new(journal)
	t.Cleanup(func() { require.Greater(t, j.count("Connection: close"), 10) })
	for _, revision := range bothRevisions {
		t.Run(fmt.Sprintf("revision %d", revision), func(t *testing.T) {
			t.Parallel()
			transport := newTransport(t)
			transport.DisableKeepAlives = true
			c := newOurClient(t, revision)
			c.http = &http.Client{Transport: transport}
			overTheWay(t, modes, c, &ourServer{front: j.watch})
		})
	}
}

// chunked sends bodies without their length.
type chunked struct{ http.RoundTripper }

func (c chunked) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Body != nil && r.Body != http.NoBody {
		r = r.Clone(r.Context())
		r.ContentLength = -1
		r.Body = io.NopCloser(onlyReader{r.Body})
	}
	return c.RoundTripper.RoundTrip(r)
}

type onlyReader struct{ io.Reader }

// TestChunkedBodies sends the bodies of requests without their length, directly and through proxies.
func TestChunkedBodies(t *testing.T) {
	t.Parallel()
	for _, kind := range []proxyKind{{}, nginx.with(Proxied{Unbuffered: true}), haproxy} {
		j := new(journal)
		t.Run(kind.String(), func(t *testing.T) {
			t.Parallel()
			var server serverSide = &ourServer{front: j.watch}
			if kind.program != "" {
				interoptest.Need(t, kind.program)
				server = behind{t, kind, server}
			}
			t.Cleanup(func() { require.Positive(t, j.count("chunked")) })
			for _, revision := range bothRevisions {
				t.Run(fmt.Sprintf("revision %d", revision), func(t *testing.T) {
					c := newOurClient(t, revision)
					c.http = &http.Client{Transport: chunked{newTransport(t)}}
					overTheWay(t, modesOfRequests(), c, server)
				})
			}
		})
	}
}

// TestStickySessions: behind a proxy with several servers a session must stay at one server. The proxy's cookie keeps
// it there.
func TestStickySessions(t *testing.T) {
	t.Parallel()
	interoptest.Need(t, haproxy.program)
	var servers []listening
	var backends []string
	for range 2 {
		l, err := new(ourServer).listen(t.Context(), setup{mode: upgrade, echo: true})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, l.close()) })
		servers = append(servers, l)
		backends = append(backends, hostOf(l.url()))
	}
	p, err := haproxy.start(t, backends...)
	require.NoError(t, err)
	for i := range 6 {
		revision := bothRevisions[i/2%2]
		ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
		defer cancel()
		client, err := newOurClient(t, revision).dial(ctx, p.url, setup{mode: upgrade})
		require.NoError(t, err)
		server, err := servers[i%2].accept(ctx) // in turn, as the proxy's configuration says
		require.NoError(t, err)
		require.NoError(t, echo(ctx, someBytes, client, server))
		require.NoError(t, settled(ctx, upgrade, client, server))
		require.NoError(t, echo(ctx, someBytes, client, server))
	}
}

// vanishing has the options of servers that end a silent session after a second and a half.
var vanishing = engineio.ServerOptions{
	Revisions: bothRevisions, PingInterval: time.Second, PingTimeout: 500 * time.Millisecond, UpgradeTimeout: time.Second,
}

// TestClientVanishesBehindAProxy: a client that vanishes behind a proxy leaves no session behind, whatever it was
// doing.
func TestClientVanishesBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, kind := range []proxyKind{nginx, haproxy} {
		interoptest.Need(t, kind.program)
		for name, begin := range map[string]func(c *caller) *pending{
			"polling": func(c *caller) *pending { c.open(4); return c.hold() },
			"between": func(c *caller) *pending { c.open(3); return c.begin("") },
			"posting": func(c *caller) *pending {
				c.open(4)
				return c.begin(strings.TrimSuffix(c.request("POST", c.query, "4hello"), "lo"))
			},
			"websocket":   func(c *caller) *pending { return c.session(4) },
			"websocket 3": func(c *caller) *pending { return c.session(3) },
			"half a frame": func(c *caller) *pending {
				p := c.session(4)
				p.more(frame(textFrame, "4hello")[:7])
				return p
			},
			"upgrading": func(c *caller) *pending { c.open(4); return c.socket("handshake", c.upgradeQuery()) },
			"probed": func(c *caller) *pending {
				c.open(4)
				p := c.socket("handshake", c.upgradeQuery())
				p.say("2probe")
				p.hear("probe")
				return p
			},
			"upgraded": func(c *caller) *pending {
				c.open(3)
				p := c.socket("handshake", c.upgradeQuery())
				p.say("2probe")
				p.hear("probe")
				p.say("5")
				p.say("4hello")
				p.hear("echo")
				return p
			},
		} {
			t.Run(fmt.Sprintf("%s/%s", kind, name), func(t *testing.T) {
				t.Parallel()
				p, err := kind.start(t, listenOurs(t, vanishing))
				require.NoError(t, err)
				c := &caller{addr: hostOf(p.url), patience: patience}
				defer c.close()
				conn := begin(c)
				require.NotEmpty(t, c.sid)
				require.NotContains(t, fmt.Sprint(c.notes), "closed", "it did not get so far")
				require.NoError(t, conn.conn.Close())
				require.Eventually(t, func() bool { return c.control("state") == "{\"sessions\":0,\"polls\":0}\n" }, AwaitTimeout, 5*time.Millisecond)
			})
		}
	}
}
