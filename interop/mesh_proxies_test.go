package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// silenceSetting is a setting by which a proxy cuts silent connections: a row of the table in docs/deployment.md.
type silenceSetting struct {
	proxy, setting  string
	lowered         []string // pairs that set it to 2 s in the configuration of the page
	poll, webSocket bool     // which connections it cuts
}

const loweredTo = 2 * time.Second

var silences = []silenceSetting{
	{"nginx", "proxy_read_timeout", []string{"proxy_read_timeout 60s", "proxy_read_timeout 2s"}, true, true},
	{"haproxy", "timeout server", []string{"timeout server 60s", "timeout server 2s"}, true, false},
	{"haproxy", "timeout tunnel", []string{"timeout tunnel 60s", "timeout tunnel 2s"}, false, true},
	{"haproxy", "timeout client", []string{"timeout client 60s", "timeout client 2s"}, false, false},
	{"apache2", "Timeout", []string{"\tProxyPass ", "\tTimeout 2\n\tProxyPass "}, true, true},
	{"apache2", "ProxyTimeout", []string{"\tProxyPass ", "\tProxyTimeout 2\n\tProxyPass "}, true, false}, // Timeout is longer
	{"caddy", "response_header_timeout", caddyTransport("response_header_timeout"), true, false},
	{"caddy", "read_timeout", caddyTransport("read_timeout"), true, true},
	{"varnishd", "first_byte_timeout", []string{`port = "{{.BackendPort}}";`, `port = "{{.BackendPort}}"; .first_byte_timeout = 2s;`}, true, false},
	{"varnishd", "pipe_timeout", []string{"-p", "pipe_timeout=2"}, false, true},
	{"lighttpd", "read-timeout", []string{"{{.BackendPort}} )", `{{.BackendPort}}, "read-timeout" => 2 )`}, true, true},
	{"lighttpd", "server.max-read-idle", []string{"\tproxy.header", "\tserver.max-read-idle = 2\n\tproxy.header"}, false, true},
	{"lighttpd", "server.max-write-idle", []string{"\tproxy.header", "\tserver.max-write-idle = 2\n\tproxy.header"}, false, true},
	{"h2o", "proxy.timeout.io", []string{"proxy.websocket: ON", "proxy.websocket: ON\nproxy.timeout.io: 2000"}, true, false},
	{"h2o", "proxy.websocket.timeout", []string{"proxy.websocket: ON", "proxy.websocket: ON\nproxy.websocket.timeout: 2000"}, false, true},
	{"traffic_server", "http.transaction_no_activity_timeout_out", trafficServerSetting("http.transaction_no_activity_timeout_out"), true, false},
	{"traffic_server", "http.transaction_active_timeout_in", trafficServerSetting("http.transaction_active_timeout_in"), true, false},
	{"traffic_server", "websocket.no_activity_timeout", trafficServerSetting("websocket.no_activity_timeout"), false, true},
	{"traffic_server", "websocket.active_timeout", trafficServerSetting("websocket.active_timeout"), false, true},
	{"hitch", "", nil, false, false},
}

func caddyTransport(setting string) []string {
	const proxied = "reverse_proxy {{index .Backends 0}}"
	return []string{proxied, proxied + " {\n\t\ttransport http {\n\t\t\t" + setting + " 2s\n\t\t}\n\t}"}
}

func trafficServerSetting(setting string) []string {
	const last = "pristine_host_hdr INT 1\n"
	return []string{last, last + "CONFIG proxy.config." + setting + " INT 2\n"}
}

// with returns the proxy of docs/deployment.md with the setting lowered.
func (s silenceSetting) with(t *testing.T) proxyKind {
	t.Helper()
	if s.proxy == "nginx" || s.proxy == "haproxy" {
		return front(t, s.proxy, false, false, s.lowered...)
	}
	d := deployedProxies[slices.IndexFunc(deployedProxies, func(d deployedProxy) bool { return d.program == s.proxy })]
	tls := d.tls[len(d.tls)-1]
	if len(s.lowered) > 0 && s.lowered[0] == "-p" {
		k := d.kind(t, tls)
		k.more = s.lowered
		return k
	}
	return d.kind(t, tls, s.lowered...)
}

// TestProxiesCutSilentConnections lowers each setting of the table in docs/deployment.md to 2 s. A silent poll or
// WebSocket must then end. If the table says no, it must still be open after twice that time.
func TestProxiesCutSilentConnections(t *testing.T) {
	t.Parallel()
	table := silenceTable(t)
	for _, s := range silences {
		t.Run(s.proxy+" "+s.setting, func(t *testing.T) {
			t.Parallel()
			row, ok := table[s.proxy+" "+s.setting]
			require.True(t, ok, "docs/deployment.md has no such row")
			require.Equal(t, [2]bool{s.poll, s.webSocket}, row)
			needProxy(t, s.proxy)
			hub := checked(t, "")
			p, err := s.with(t).start(t, hub.Addr(), hub.Addr())
			require.NoError(t, err)
			sessions := map[engineio.Transport]<-chan error{}
			for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
				sessions[transport] = silent(t, p.url, transport)
			}
			for transport, cut := range map[engineio.Transport]bool{engineio.Polling: s.poll, engineio.WebSocket: s.webSocket} {
				if !cut {
					continue
				}
				select {
				case err := <-sessions[transport]:
					t.Logf("%s: %v", transport, err)
				case <-time.After(AwaitTimeout): // the first traffic is the hub's heartbeat after 25 s
					require.Failf(t, "not cut", "%s", transport)
				}
				delete(sessions, transport)
			}
			over := time.After(2 * loweredTo)
			for transport, ended := range sessions {
				select {
				case err := <-ended:
					require.Failf(t, "cut", "%s: %v", transport, err)
				case <-over:
					over = time.After(0)
				}
			}
		})
	}
	require.Len(t, table, len(silences), "a row of docs/deployment.md has no test")
}

// silent opens a session without traffic, and returns a channel for the error that ends it. A session with
// engineio.WebSocket begins without a poll.
func silent(t *testing.T, url string, transport engineio.Transport) <-chan error {
	t.Helper()
	s, err := engineio.Dial(t.Context(), url, &engineio.DialOptions{
		Transports: []engineio.Transport{transport}, HTTPClient: &http.Client{Transport: newTransport(t)},
	})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := s.Read(t.Context()); err != nil {
				ended <- err
				return
			}
		}
	}()
	t.Cleanup(func() { s.Abort(nil) })
	return ended
}

// silenceTable reads the table of docs/deployment.md: by proxy and setting, whether it cuts polls and WebSockets.
func silenceTable(t *testing.T) map[string][2]bool {
	t.Helper()
	programs := map[string]string{
		"nginx": "nginx", "HAProxy": "haproxy", "Apache": "apache2", "Caddy": "caddy", "Varnish": "varnishd", "lighttpd": "lighttpd",
		"h2o": "h2o", "Traffic Server": "traffic_server", "hitch": "hitch",
	}
	rows := map[string][2]bool{}
	for _, cells := range tableUnder(t, deployment, "| proxy | setting | default |") {
		program, ok := programs[cells[0]]
		require.True(t, ok, "%q", cells[0])
		require.GreaterOrEqual(t, len(cells), 5)
		setting := strings.Trim(cells[1], "`-")
		require.Regexp(t, `\]\(https://`, cells[2], "the default needs the page of the manual")
		rows[program+" "+setting] = [2]bool{cells[3] == "yes", cells[4] == "yes"}
	}
	return rows
}

// tableUnder returns the cells of the rows of a table that has this header.
func tableUnder(t *testing.T, page, header string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile(page)
	require.NoError(t, err)
	_, rest, ok := strings.Cut(string(text), "\n"+header)
	require.True(t, ok, "%s has no table %q", page, header)
	for i, line := range strings.Split(rest, "\n") {
		if i < 2 { // the rest of the header, and the line below it
			continue
		}
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	return rows
}

// TestApacheAsInItsManual uses the line of Apache's manual, "ProxyPass / http://hub:8888/ upgrade=websocket". The
// manual does not set Host.
func TestApacheAsInItsManual(t *testing.T) {
	t.Parallel()
	needProxy(t, "apache2")
	v := startVisitor(t)
	apache := deployedProxies[0].kind(t, false, "\tProxyPreserveHost on\n", "")
	for _, trusted := range []bool{true, false} {
		t.Run(fmt.Sprintf("TrustForwardedHost %t", trusted), func(t *testing.T) {
			t.Parallel()
			hub := startGoHub(t, mesh.Options{TrustForwardedHost: trusted})
			p, err := apache.start(t, hub.Addr())
			require.NoError(t, err)
			page := v.visit(t, strings.TrimSuffix(p.url, "engine.io/"), nil)
			if trusted {
				page.see(t, "#state", "Connected, websocket")
				require.Error(t, dialAs(t, p.url, "https://elsewhere.example.com"))
				return
			}
			page.see(t, "#detail", "--trust-forwarded-host")
			page.see(t, "#detail", "--allow-origin "+strings.TrimSuffix(p.url, "/engine.io/"))
		})
	}
}

// TestProxyThatWritesTheDefaultPort: nginx with "Host $host:$server_port" writes a port that a browser omits. The hub
// must still recognise its origin.
func TestProxyThatWritesTheDefaultPort(t *testing.T) {
	t.Parallel()
	hub := checked(t, "")
	for port, scheme := range map[string]string{"80": "http", "443": "https"} {
		kind := front(t, "nginx", false, false, "proxy_set_header Host $http_host", "proxy_set_header Host $host:"+port)
		p, err := kind.start(t, hub.Addr())
		require.NoError(t, err)
		require.NoError(t, dialAs(t, p.url, scheme+"://127.0.0.1", "Host", "127.0.0.1"))
		require.Error(t, dialAs(t, p.url, scheme+"://elsewhere.example", "Host", "127.0.0.1"))
	}
}

// TestOriginalUpgradesBehindAProxyOnPort80: on port 80 a client of the original sends its host without a port as
// Origin, and nginx replaces Host by default. The client must still upgrade.
func TestOriginalUpgradesBehindAProxyOnPort80(t *testing.T) {
	t.Parallel()
	const addr = "127.0.0.80:80"
	l, err := net.Listen("tcp", addr)
	if err != nil {
		interoptest.Lack(t, fmt.Sprintf("this user may not listen on %s: %v", addr, err))
	}
	require.NoError(t, l.Close())
	hub := checked(t, "")
	kind := front(t, "nginx", false, false, "listen {{.Listen}}", "listen "+addr+"; listen {{.Listen}}", "\tproxy_set_header Host $http_host;\n", "")
	_, err = kind.start(t, hub.Addr())
	require.NoError(t, err)
	original := startNodeMember(t)
	original.Must(t, Command{Do: "connect", Host: "127.0.0.80", Port: 80}, "connected")
	original.MustAwait(t, "upgrade")
}

// TestApacheHasAWorkerForEachClient: Apache needs a worker for each WebSocket. Clients beyond MaxRequestWorkers wait
// until another client leaves.
func TestApacheHasAWorkerForEachClient(t *testing.T) {
	t.Parallel()
	needProxy(t, "apache2")
	const workers = 5
	hub := checked(t, "")
	d := deployedProxies[0]
	d.before += fmt.Sprintf("ServerLimit 1\nThreadsPerChild %d\nMaxRequestWorkers %[1]d\n", workers)
	p, err := d.kind(t, false).start(t, hub.Addr())
	require.NoError(t, err)
	dial := func(patience time.Duration) (*engineio.Socket, error) {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		s, err := engineio.Dial(ctx, p.url, &engineio.DialOptions{
			Transports: []engineio.Transport{engineio.WebSocket}, HTTPClient: &http.Client{Transport: newTransport(t)},
		})
		if err == nil {
			s.Discard()
			t.Cleanup(func() { s.Abort(nil) })
		}
		return s, err
	}
	var first *engineio.Socket
	for range workers {
		first, err = dial(AwaitTimeout)
		require.NoError(t, err)
	}
	_, err = dial(time.Second)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.NoError(t, first.Close())
	_, err = dial(AwaitTimeout)
	require.NoError(t, err)
}
