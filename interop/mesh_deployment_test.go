package interop

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

const deployment = "../docs/deployment.md"

// front returns a proxy with a configuration of docs/deployment.md, which also has the hub under /chat/. If several is
// true, the configuration has the part for several hubs. other holds further pairs of a text and its replacement.
func front(t *testing.T, program string, tls, several bool, other ...string) proxyKind {
	t.Helper()
	interoptest.Need(t, program)
	shown := blocks(t, deployment, program)
	require.Len(t, shown, 3, "a configuration, the lines for a prefix, and the lines for several hubs")
	config, prefix := shown[0], shown[1]
	names, part, rest := haproxyNames, regexp.MustCompile(`(?s)\nbackend hub\n.*`), "\tdefault_backend"
	if program == "nginx" {
		names, part, rest = nginxNames, regexp.MustCompile(`(?s)\nupstream hub \{.*?\n\}\n`), "\tlocation / {"
	}
	if several {
		require.Regexp(t, part, config)
		config = part.ReplaceAllLiteralString(config, "\n"+shown[2])
	}
	names = slices.Concat([]string{rest, prefix + rest, "10.0.0.1:8888", "{{index .Backends 0}}"}, names, other)
	if several || program == "haproxy" {
		names = append(names, "10.0.0.2:8888", "{{index .Backends 1}}")
	}
	switch {
	case tls:
	case program == "nginx":
		names = append(names, " ssl http2", "", "ssl_certificate {{.PEM}};", "", "ssl_certificate_key {{.PEM}};", "")
	default:
		names = append(names, " ssl crt {{.PEM}} alpn h2,http/1.1", "")
	}
	kind := documented(t, program, config, names...)
	kind.TLS = tls
	return kind
}

// checked starts a hub that responds to the checks of a proxy.
func checked(t *testing.T, addr string) goMember {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /readyz", func(http.ResponseWriter, *http.Request) {})
	hub := startGoHub(t, mesh.Options{Addr: addr, Handler: mux})
	for _, name := range []string{"ping", "mark"} {
		hub.on(t, name)
	}
	return hub
}

// through connects a Go client through a proxy.
func through(t *testing.T, url string, transport *http.Transport, transports ...engineio.Transport) goMember {
	t.Helper()
	n, err := mesh.Connect(t.Context(), &mesh.Options{Addr: url, Transports: transports, HTTPClient: &http.Client{Transport: transport}})
	c := newGoMember(t, n, err)
	for _, name := range []string{"ping", "done"} {
		c.on(t, name)
	}
	return c
}

// from returns a transport whose connections come from an address of this machine, and that address.
func from(t *testing.T, last byte) (transport *http.Transport, addr string) {
	t.Helper()
	ip := net.IPv4(127, 0, 0, last)
	transport = newTransport(t)
	transport.DialContext = (&net.Dialer{LocalAddr: &net.TCPAddr{IP: ip}}).DialContext
	return transport, ip.String()
}

func portOf(t *testing.T, addr string) int {
	t.Helper()
	a, err := net.ResolveTCPAddr("tcp", addr)
	require.NoError(t, err)
	return a.Port
}

func requireTransport(t *testing.T, c goMember, want engineio.Transport) {
	t.Helper()
	require.Eventually(t, func() bool {
		sessions := c.Sessions()
		return len(sessions) == 1 && sessions[0].Transport == want
	}, AwaitTimeout, time.Millisecond)
}

// TestMeshBehindProxies runs a mesh behind each proxy in the configuration of docs/deployment.md: with and without TLS,
// at /, and under a prefix if the page shows how. A normal run has one cell for each proxy.
func TestMeshBehindProxies(t *testing.T) {
	t.Parallel()
	v := startVisitor(t)
	for _, program := range []string{"nginx", "haproxy"} {
		for _, tls := range []bool{true, false} {
			if !interoptest.Full() && tls != (program == "nginx") {
				continue
			}
			t.Run(fmt.Sprintf("%s TLS %t", program, tls), func(t *testing.T) {
				t.Parallel()
				requireMeshBehind(t, v, front(t, program, tls, false), "/", "/chat/")
			})
		}
	}
	for _, d := range deployedProxies {
		cells := d.tls
		if !interoptest.Full() {
			cells = cells[:1]
		}
		for _, tls := range cells {
			t.Run(fmt.Sprintf("%s TLS %t", d.program, tls), func(t *testing.T) {
				t.Parallel()
				needProxy(t, d.program)
				requireMeshBehind(t, v, d.kind(t, tls), "/")
			})
		}
	}
}

// requireMeshBehind connects nodes of all kinds to a hub behind a proxy, which serves the hub at each of the paths.
func requireMeshBehind(t *testing.T, v visitor, kind proxyKind, paths ...string) {
	t.Helper()
	hub := checked(t, "")
	p, err := kind.start(t, hub.Addr(), hub.Addr())
	require.NoError(t, err)
	s := &star{hub: hub}
	var ours []goMember
	for _, path := range paths {
		url := strings.Replace(p.url, "/engine.io/", path+"engine.io/", 1)
		one, other := through(t, url, newTransport(t)), through(t, url, newTransport(t), engineio.Polling)
		ours = append(ours, one, other)
		s.clients = append(s.clients, one, other)
	}
	if !kind.TLS { // the original's clients do not support TLS
		original := startNodeMember(t)
		original.connect(t, Command{Port: portOf(t, hostOf(p.url))})
		for _, name := range []string{"ping", "done"} {
			original.on(t, name)
		}
		s.clients = append(s.clients, original)
	}
	s.sync(t)
	for i, from := range append([]member{hub}, s.clients...) {
		want := make([]int, 1+len(s.clients))
		for j := range want {
			want[j] = 1
		}
		if _, original := from.(nodeMember); original {
			want[i] = 1 // its own emitter calls its listeners, as ours does
		}
		s.requireRound(t, from, "ping", want...)
	}
	for i, c := range ours {
		requireTransport(t, c, []engineio.Transport{engineio.WebSocket, engineio.Polling}[i%2])
	}

	// The hub admits pages of the proxy's address and rejects other pages.
	require.NoError(t, dialAs(t, p.url, strings.TrimSuffix(p.url, "/engine.io/")))
	var refused *engineio.HandshakeError
	require.ErrorAs(t, dialAs(t, p.url, "https://elsewhere.example.com"), &refused)
	require.Equal(t, http.StatusForbidden, refused.Status)

	for _, path := range paths {
		page := v.visit(t, strings.Replace(p.url, "/engine.io/", path, 1), map[string]any{"ignoreHTTPSErrors": true})
		page.see(t, "#state", "Connected, websocket")
	}
}

// dialAs opens a session as a page of an origin does.
func dialAs(t *testing.T, url, origin string, header ...string) error {
	t.Helper()
	h := http.Header{"Origin": {origin}}
	for i := 0; i < len(header); i += 2 {
		h.Set(header[i], header[i+1])
	}
	c, err := engineio.Dial(t.Context(), url, &engineio.DialOptions{Header: h, HTTPClient: &http.Client{Transport: newTransport(t)}})
	if err == nil {
		err = c.Close()
	}
	return err
}

// TestMeshBehindAnImpatientProxy shows that a proxy with a timeout shorter than the heartbeat ends healthy connections.
func TestMeshBehindAnImpatientProxy(t *testing.T) {
	t.Parallel()
	for program, timeout := range map[string]string{"nginx": "proxy_read_timeout 60s", "haproxy": "timeout tunnel 60s"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			kind := front(t, program, true, false, timeout, strings.Replace(timeout, "60s", "1s", 1))
			hub := checked(t, "")
			p, err := kind.start(t, hub.Addr(), hub.Addr())
			require.NoError(t, err)
			c := through(t, p.url, newTransport(t))
			requireTransport(t, c, engineio.WebSocket)
			c.events.MustAwait(t, "disconnected")
		})
	}
}

// startListen runs a hub as docs/deployment.md does. It returns when the hub responds to /healthz.
func startListen(t *testing.T, addr string, args ...string) *Peer {
	t.Helper()
	exe, err := meshCommand()
	require.NoError(t, err)
	p := startProgram(t, "mesh listen", exec.CommandContext(t.Context(), exe, append([]string{"listen", "--addr", addr}, args...)...))
	require.Eventually(t, func() bool { return healthy(t, addr, "/healthz") }, AwaitTimeout, 5*time.Millisecond)
	return p
}

// healthy reports whether a server responds with 200.
func healthy(t *testing.T, addr, path string) bool {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+addr+path, nil)
	require.NoError(t, err)
	response, err := (&http.Client{Transport: newTransport(t)}).Do(request)
	if err != nil {
		return false
	}
	require.NoError(t, response.Body.Close())
	return response.StatusCode == http.StatusOK
}

// TestMeshHasASpareHub checks that clients move to the spare hub when the first hub is killed, and move back when the
// first hub runs again.
func TestMeshHasASpareHub(t *testing.T) {
	t.Parallel()
	one, two := localAddr(interoptest.StablePort(t)), localAddr(interoptest.StablePort(t))
	hub := startListen(t, one, "--name", "one")
	startListen(t, two, "--name", "spare")
	p, err := front(t, "haproxy", false, false).start(t, one, two)
	require.NoError(t, err)
	original := startNodeMember(t)
	original.connect(t, Command{Port: portOf(t, hostOf(p.url)), Retry: 50})
	original.on(t, "ping")
	ours := []goMember{through(t, p.url, newTransport(t)), through(t, p.url, newTransport(t), engineio.Polling)}
	clients := []member{ours[0], ours[1], original}
	all := func(at string) {
		t.Helper()
		const patience = 30 * time.Second // for the proxy's checks, and for the clients' pauses
		for _, c := range ours {
			require.Eventually(t, func() bool {
				info, ok := c.Hub()
				return ok && info.Name == at
			}, patience, 5*time.Millisecond)
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			if err := c.Flush(ctx); !errors.Is(err, mesh.ErrUnconfirmed) { // ErrUnconfirmed is for events that were under way when the hub was killed
				require.NoError(t, err)
			}
			cancel()
		}
		require.Eventually(t, func() bool { return listeners(t, ours[0], "ping") == len(clients) }, patience, 5*time.Millisecond)
		ours[0].emit(t, "ping", `{}`)
		for _, c := range clients {
			requireHeard(t, c.heard(), "ping")
		}
	}
	all("one")
	hub.Kill()
	all("spare")
	startListen(t, one, "--name", "one")
	all("one")
}

// listeners returns the number of nodes that subscribe to a name, as a client's hub reports it.
func listeners(t *testing.T, client goMember, name string) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
	defer cancel()
	nodes, err := client.Nodes(ctx)
	require.NoError(t, err)
	for _, node := range nodes {
		if slices.Contains(node.Interests, name) {
			n++
		}
	}
	return n
}

// TestMeshSticksToAHub connects clients with many addresses to two hubs. Each client must stay at one hub.
func TestMeshSticksToAHub(t *testing.T) {
	t.Parallel()
	for _, program := range []string{"nginx", "haproxy"} {
		t.Run(program, func(t *testing.T) {
			t.Parallel()
			hubs := []goMember{checked(t, ""), checked(t, "")}
			p, err := front(t, program, false, true).start(t, hubs[0].Addr(), hubs[1].Addr())
			require.NoError(t, err)
			original := startNodeMember(t)
			original.connect(t, Command{Port: portOf(t, hostOf(p.url))})
			original.MustAwait(t, "upgrade")
			const clients = 24
			for i := range clients {
				transport, _ := from(t, byte(2+i))
				transport.DisableKeepAlives = true
				var c goMember
				if i%2 == 0 {
					c = through(t, p.url, transport)
					requireTransport(t, c, engineio.WebSocket)
				} else {
					c = through(t, p.url, transport, engineio.Polling)
				}
				for range 3 {
					c.emit(t, "ping", `{}`)
					c.flush(t)
				}
				require.EqualValues(t, 1, c.Stats().Connections)
			}
			require.Equal(t, clients+1, hubs[0].Stats().Peers+hubs[1].Stats().Peers)
			for _, hub := range hubs {
				require.Greater(t, hub.Stats().Peers, 1, "all are at one hub")
			}
		})
	}
}

// TestServerOfYourOwnBehindProxies runs the program of docs/deployment.md behind proxies. The program must know the
// addresses of its clients.
func TestServerOfYourOwnBehindProxies(t *testing.T) {
	t.Parallel()
	addr := localAddr(interoptest.StablePort(t))
	source := blocks(t, deployment, "go")[0]
	require.Contains(t, source, `"localhost:8888"`)
	exe := buildSource(t, strings.Replace(source, "localhost:8888", addr, 1))
	cmd := exec.CommandContext(t.Context(), exe)
	server := startProgram(t, "a server with a hub", cmd)
	require.Eventually(t, func() bool { return healthy(t, addr, "/readyz") }, AwaitTimeout, 5*time.Millisecond)
	var clients []goMember
	for i, program := range []string{"nginx", "haproxy"} {
		p, err := front(t, program, true, false, blocks(t, deployment, program)[1], "").start(t, addr, addr)
		require.NoError(t, err)
		transport, ip := from(t, byte(100+i))
		c := through(t, strings.Replace(p.url, "/engine.io/", "/chat/engine.io/", 1), transport)
		clients = append(clients, c)
		nodes, err := c.Nodes(t.Context())
		require.NoError(t, err)
		require.Equal(t, ip, nodes[len(nodes)-1].Addr)
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	for _, c := range clients {
		c.events.MustAwait(t, "disconnected")
	}
	<-server.exited
	require.Zero(t, cmd.ProcessState.ExitCode(), "%s", server.Stderr())
}

// TestServiceStartsAHub runs the command of the unit in docs/deployment.md.
func TestServiceStartsAHub(t *testing.T) {
	t.Parallel()
	unit := blocks(t, deployment, "ini")[0]
	command := regexp.MustCompile(`(?m)^ExecStart=/usr/local/bin/mesh listen --addr 0.0.0.0:8888 (.*)$`).FindStringSubmatch(unit)
	require.NotNil(t, command, "%s", unit)
	require.Contains(t, unit, "LoadCredential=password:")
	dir := t.TempDir() // systemd's %d
	require.NoError(t, os.WriteFile(filepath.Join(dir, "password"), []byte("secret\n"), 0o600))
	addr := localAddr(interoptest.StablePort(t))
	startListen(t, addr, strings.Fields(strings.ReplaceAll(command[1], "%d", dir))...)
	_, err := mesh.Connect(t.Context(), &mesh.Options{Addr: addr})
	var refused *mesh.AuthError
	require.ErrorAs(t, err, &refused)
	n, err := mesh.Connect(t.Context(), &mesh.Options{Addr: addr, User: "ann", Password: "secret"})
	newGoMember(t, n, err)
}
