package natsbackplane_test

import (
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

func TestMain(m *testing.M) {
	interoptest.RunAtOnce(4)
	goleak.VerifyTestMain(m)
}

const patience = 20 * time.Second

// runCluster runs three servers with routes to each other.
func runCluster(t testing.TB) []*server.Server {
	t.Helper()
	var servers []*server.Server
	var routes []*url.URL
	for i := range 3 {
		opts := &server.Options{ServerName: fmt.Sprint("n", i), Routes: routes}
		opts.Cluster = server.ClusterOpts{Name: "c", Host: "127.0.0.1", Port: server.RANDOM_PORT}
		s := natstest.Run(t, opts)
		routes = append(routes, &url.URL{Scheme: "nats", Host: s.ClusterAddr().String()})
		servers = append(servers, s)
	}
	eventually(t, func() bool {
		for _, s := range servers {
			// Each server has several routes to each other server, and a separate one for some accounts.
			if s.NumRoutes() < 2*(server.DEFAULT_ROUTE_POOL_SIZE+1) {
				return false
			}
		}
		return true
	})
	return servers
}

func connect(t testing.TB, s *server.Server, opts ...nats.Option) *nats.Conn {
	t.Helper()
	return connectTo(t, s.ClientURL(), opts...)
}

func connectTo(t testing.TB, url string, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(url, append([]nats.Option{natsbackplane.Settings, nats.Timeout(patience)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

// join makes a member, and closes it before its connection.
func join(t testing.TB, nc *nats.Conn, opts *natsbackplane.Options, receive func(from string, data []byte)) mesh.BackplaneMember {
	t.Helper()
	m, err := natsbackplane.New(nc, opts).Join(newID(), receive)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	return m
}

var ids struct {
	sync.Mutex
	last int
}

func newID() string {
	ids.Lock()
	defer ids.Unlock()
	ids.last++
	return fmt.Sprintf("%032x", ids.last)
}

// inbox records the messages that a member receives.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (in *inbox) receive(_ string, data []byte) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.got = append(in.got, string(data))
}

// take returns the messages since the last call, without the messages of meet, which may arrive more than once.
func (in *inbox) take() []string {
	in.mu.Lock()
	defer in.mu.Unlock()
	got := slices.DeleteFunc(in.got, func(text string) bool { return strings.HasPrefix(text, "meet ") })
	in.got = nil
	return got
}

func (in *inbox) has(text string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	return slices.Contains(in.got, text)
}

// meet publishes messages until the others receive one.
func meet(t testing.TB, m mesh.BackplaneMember, name string, others ...*inbox) {
	t.Helper()
	text := "meet " + newID()
	eventually(t, func() bool {
		_ = m.Publish(name, []byte(text), nil) // the queue may be full, or the connection missing
		time.Sleep(10 * time.Millisecond)
		for _, in := range others {
			if !in.has(text) {
				return false
			}
		}
		return true
	})
}

func eventually(t testing.TB, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(5 * time.Millisecond) {
		require.True(t, time.Now().Before(end), "it does not come to pass")
	}
}

// proxy is a proxy between a connection and NATS. While it stalls, it reads from neither side.
type proxy struct {
	l      net.Listener
	target string
	wg     sync.WaitGroup

	mu    sync.Mutex
	cond  sync.Cond
	stall bool
	shut  bool
	conns []net.Conn
}

func startProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{l: l, target: target}
	p.cond.L = &p.mu
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.mu.Lock()
		p.stall, p.shut = false, true
		for _, c := range p.conns {
			_ = c.Close()
		}
		p.cond.Broadcast()
		p.mu.Unlock()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) url() string { return "nats://" + p.l.Addr().String() }

func (p *proxy) set(stall bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stall = stall
	p.cond.Broadcast()
}

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		out, err := net.Dial("tcp", p.target)
		p.mu.Lock()
		p.conns = append(p.conns, in)
		if err == nil {
			p.conns = append(p.conns, out)
		}
		shut := p.shut
		p.mu.Unlock()
		if err != nil || shut {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			p.wg.Go(func() {
				_, _ = io.Copy(pair[0], &stalling{p, pair[1]})
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

// stalling is a connection whose Read waits while the proxy stalls.
type stalling struct {
	p *proxy
	net.Conn
}

func (s *stalling) Read(b []byte) (int, error) {
	s.p.mu.Lock()
	for s.p.stall {
		s.p.cond.Wait()
	}
	s.p.mu.Unlock()
	return s.Conn.Read(b)
}
