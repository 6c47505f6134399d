package mesh_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// freePort returns a port that is free on all addresses of localhost.
func freePort(t *testing.T) string {
	t.Helper()
	_, port, err := net.SplitHostPort(stableAddr(t))
	require.NoError(t, err)
	return port
}

func TestStartBindsAFreeAddress(t *testing.T) {
	n, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: "localhost:" + freePort(t)})
	require.NoError(t, err)
	defer n.Close()
	require.Equal(t, mesh.RoleHub, n.Role())
}

func TestStartOfManyAtOnceMakesOneHub(t *testing.T) {
	addr := "localhost:" + freePort(t)
	const nodes = 8
	var started [nodes]*mesh.Node
	var wg sync.WaitGroup
	for i := range nodes {
		wg.Go(func() {
			n, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: addr})
			if err != nil {
				t.Errorf("start: %v", err)
				return
			}
			started[i] = n
		})
	}
	wg.Wait()
	hubs := 0
	for _, n := range started {
		require.NotNil(t, n)
		if n.Role() == mesh.RoleHub {
			hubs++
		}
	}
	require.Equal(t, 1, hubs)
	for _, n := range started {
		require.NoError(t, n.Close())
	}
}

func TestStartDialsTheTakenAddressOfAName(t *testing.T) {
	name, hosts := severalHosts(t)
	for _, host := range hosts {
		t.Run(host, func(t *testing.T) {
			port := freePort(t)
			hub, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: net.JoinHostPort(host, port)})
			require.NoError(t, err)
			defer hub.Close()
			n, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: name + ":" + port})
			require.NoError(t, err)
			defer n.Close()
			require.Equal(t, mesh.RoleClient, n.Role())
			require.Equal(t, net.JoinHostPort(host, port), n.Addr())
			for _, other := range hosts { // the addresses that were bound first are free again
				if other != host {
					l, err := net.Listen("tcp", net.JoinHostPort(other, port))
					require.NoError(t, err)
					require.NoError(t, l.Close())
				}
			}
		})
	}
}

// If another program takes one of the addresses of the name while the hub is away, the node connects to that address.
func TestAutohealDialsTheAddressOfTheNameThatIsTaken(t *testing.T) {
	port := freePort(t)
	name, hosts := severalHosts(t)
	first := listen(t, mesh.Options{Addr: net.JoinHostPort(hosts[0], port)})
	n := start(t, mesh.Options{Addr: name + ":" + port})
	require.Equal(t, first.Addr(), n.Addr())
	changes := states(n)
	second := listen(t, mesh.Options{Addr: net.JoinHostPort(hosts[1], port)})
	require.NoError(t, first.Close())
	require.Equal(t, second.ID(), awaitStatus(t, changes, mesh.Connected).Hub.ID)
	require.Equal(t, second.Addr(), n.Addr())
}

func TestListenBindsEveryAddressOfTheName(t *testing.T) {
	name, hosts := severalHosts(t)
	n := listen(t, mesh.Options{Addr: name + ":0"})
	_, port, err := net.SplitHostPort(n.Addr())
	require.NoError(t, err)
	for _, host := range hosts {
		conn, err := net.Dial("tcp", net.JoinHostPort(host, port))
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
}

func TestListenSkipsAddressesOfOtherMachines(t *testing.T) {
	n := listen(t, mesh.Options{Addr: nameOf(t, "127.0.0.1", "192.0.2.1") + ":0"})
	_, port, err := net.SplitHostPort(n.Addr())
	require.NoError(t, err)
	conn, err := net.Dial("tcp", "127.0.0.1:"+port)
	require.NoError(t, err)
	require.NoError(t, conn.Close())

	_, err = mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: nameOf(t, "192.0.2.1") + ":0"})
	require.ErrorIs(t, err, syscall.EADDRNOTAVAIL)
}

func TestStartWithAnAddressOfAnotherMachineConnects(t *testing.T) {
	hub, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0"})
	require.NoError(t, err)
	defer hub.Close()
	transport := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		var d net.Dialer
		return d.DialContext(ctx, network, hub.Addr())
	}}
	defer transport.CloseIdleConnections()
	n, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: "192.0.2.1:8888", HTTPClient: &http.Client{Transport: transport}})
	require.NoError(t, err)
	defer n.Close()
	require.Equal(t, mesh.RoleClient, n.Role())
	require.Equal(t, "192.0.2.1:8888", n.Addr())
}

func TestStartReportsAServerThatIsNoHub(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "It works!")
	}))
	defer page.Close()
	missing := httptest.NewServer(http.NotFoundHandler())
	defer missing.Close()
	ssh := speak(t, "SSH-2.0-OpenSSH_9.2\r\n")
	for name, c := range map[string]struct{ addr, want string }{
		"a page":         {page.Listener.Addr().String(), "no Engine.IO"},
		"not found":      {missing.Listener.Addr().String(), "404"},
		"no HTTP at all": {ssh, "SSH-2.0"},
	} {
		for _, transports := range [][]engineio.Transport{nil, {engineio.WebSocket}} {
			t.Run(name, func(t *testing.T) {
				_, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: c.addr, Transports: transports})
				require.Error(t, err)
				require.ErrorContains(t, err, c.addr)
				if transports == nil {
					require.ErrorContains(t, err, c.want)
				}
				require.NotErrorIs(t, err, context.DeadlineExceeded)
			})
		}
	}
}

func TestStartGivesUpOnAServerThatSendsNothing(t *testing.T) {
	_, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: speak(t, "")})
	require.Error(t, err)
	require.NotErrorIs(t, err, context.DeadlineExceeded)
}

// speak listens on a port, sends a text on each connection, and closes the connection after it has received something.
func speak(t *testing.T, what string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = io.WriteString(conn, what)
			_, _ = conn.Read(make([]byte, 4096))
			_ = conn.Close()
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		wg.Wait()
	})
	return l.Addr().String()
}

func TestConnectFailsAtOnceWithoutAListener(t *testing.T) {
	_, err := mesh.Connect(context.Background(), &mesh.Options{Addr: "localhost:" + freePort(t)})
	require.ErrorIs(t, err, syscall.ECONNREFUSED)
}

func TestConnectEndsWithItsContext(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	for _, transports := range [][]engineio.Transport{nil, {engineio.WebSocket}} {
		_, err = mesh.Connect(ctx, &mesh.Options{Addr: l.Addr().String(), Transports: transports})
		require.ErrorIs(t, err, context.DeadlineExceeded)
	}
}

func TestListenOnATakenAddressFails(t *testing.T) {
	hub, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0"})
	require.NoError(t, err)
	defer hub.Close()
	_, err = mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: hub.Addr()})
	require.ErrorIs(t, err, syscall.EADDRINUSE)
	_, err = mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "https://localhost:0"})
	require.ErrorContains(t, err, "needs CertFile and KeyFile")
}

func TestInvalidOptions(t *testing.T) {
	for _, o := range []mesh.Options{
		{Addr: "ftp://x"}, {Name: "\xff"}, {Name: strings.Repeat("x", 1000)}, {Password: strings.Repeat("x", 10_000)},
	} {
		for _, start := range []func(context.Context, *mesh.Options) (*mesh.Node, error){
			mesh.Start, mesh.Listen, mesh.Connect, func(_ context.Context, o *mesh.Options) (*mesh.Node, error) { return mesh.NewHub(o) },
		} {
			_, err := start(meshtest.Context(t), &o)
			require.Error(t, err)
			require.True(t, strings.HasPrefix(err.Error(), "mesh: "), err.Error())
		}
	}
}

func TestHubEndsWhenItsListenerFails(t *testing.T) {
	hub, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0"})
	require.NoError(t, err)
	failing, err := mesh.NewHub(nil)
	require.NoError(t, err)
	mesh.ServeOn(failing, brokenListener{})
	<-failing.Done()
	require.ErrorIs(t, failing.Err(), errBroken)
	require.NoError(t, failing.Close())
	require.NoError(t, hub.Err())
	require.NoError(t, hub.Close())
	require.ErrorIs(t, hub.Err(), mesh.ErrClosed)
}

var errBroken = errors.New("broken")

type brokenListener struct{ net.Listener }

func (brokenListener) Accept() (net.Conn, error) { return nil, errBroken }
func (brokenListener) Close() error              { return nil }
func (brokenListener) Addr() net.Addr            { return &net.TCPAddr{} }

func TestInvalidOptionValues(t *testing.T) {
	for want, o := range map[string]*mesh.Options{
		`Options.Transports: a mesh has no transport "carrier-pigeon"`:       {Transports: []engineio.Transport{"carrier-pigeon"}},
		`Options.MaxMessage: -1 is negative; use a positive number of bytes`: {MaxMessage: -1},
		`Options.QueueLimit: -1 is negative`:                                 {QueueLimit: -1},
		`Options.BufferLimit: -1 is negative`:                                {BufferLimit: -1},
		`Options.OfflineLimit: -1 is negative`:                               {OfflineLimit: -1},
		`Options.CallbackLimit: -1 is negative`:                              {CallbackLimit: -1},
		`Options.AuthTimeout: -1s is negative; use a positive time`:          {AuthTimeout: -time.Second},
		`Options.MuteTimeout: -1s is negative`:                               {MuteTimeout: -time.Second},
	} {
		_, err := mesh.NewHub(o)
		require.ErrorContains(t, err, want)
		_, err = mesh.Connect(t.Context(), o)
		require.ErrorContains(t, err, want)
	}
}
