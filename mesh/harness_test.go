package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/engineiotest"
	"github.com/bigcompany/mesh/mesh"
)

// patience is how long a test waits for an expected result.
const patience = 10 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// listen starts a hub on a free port of localhost.
func listen(t testing.TB, opts mesh.Options) *mesh.Node {
	t.Helper()
	if opts.Addr == "" {
		opts.Addr = "localhost:0"
	}
	n, err := mesh.Listen(testContext(t), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

func connect(t testing.TB, hub *mesh.Node, opts mesh.Options) *mesh.Node {
	t.Helper()
	opts.Addr = hub.URL()
	return connectTo(t, opts)
}

func connectTo(t testing.TB, opts mesh.Options) *mesh.Node {
	t.Helper()
	n, err := mesh.Connect(testContext(t), &opts)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, n.Close()) })
	return n
}

// overWebSocket is for clients whose connection a test cuts: a polling client would repeat a poll without a report.
var overWebSocket = []engineio.Transport{engineio.WebSocket}

func flush(t testing.TB, n *mesh.Node) {
	t.Helper()
	require.NoError(t, n.Flush(testContext(t)))
}

// ears collects the events of listeners.
type ears struct {
	t  testing.TB
	in chan mesh.Event
}

// listenTo adds listeners to a node and waits until the node's hub knows them.
func listenTo(t testing.TB, n *mesh.Node, patterns ...string) *ears {
	t.Helper()
	e := &ears{t: t, in: make(chan mesh.Event, 100_000)}
	for _, p := range patterns {
		n.On(p, func(ev mesh.Event) { e.in <- ev })
	}
	flush(t, n)
	return e
}

func (e *ears) next() mesh.Event {
	e.t.Helper()
	select {
	case ev := <-e.in:
		return ev
	case <-time.After(patience):
		require.FailNow(e.t, "no event came")
		return mesh.Event{}
	}
}

// silentUntil asserts that the next event is the one with this name, which the test emits last.
func (e *ears) silentUntil(name string) {
	e.t.Helper()
	require.Equal(e.t, name, e.next().Name)
}

// wire is a client that is not of this package: it reads and writes packets.
type wire struct {
	t    testing.TB
	sock *engineio.Socket
	in   chan string
	done chan struct{}
}

// dialWire connects with revision 3 over a WebSocket, unless opts differ.
func dialWire(t testing.TB, url string, opts *engineio.DialOptions) *wire {
	t.Helper()
	if opts == nil {
		opts = &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}}
	}
	sock, err := engineio.Dial(testContext(t), url, opts)
	require.NoError(t, err)
	w := &wire{t: t, sock: sock, in: make(chan string, 100_000), done: make(chan struct{})}
	go func() {
		defer close(w.done)
		for {
			m, err := sock.Read(context.Background())
			if err != nil {
				return
			}
			w.in <- string(m.Data)
		}
	}()
	t.Cleanup(func() {
		_ = sock.Close() // a normal close: a hub waits for a poller that vanished
		<-w.done
	})
	return w
}

func (w *wire) send(packets ...string) {
	w.t.Helper()
	for _, p := range packets {
		require.NoError(w.t, w.sock.Write(testContext(w.t), engineio.Text(p)))
	}
}

// barrier returns when the hub has processed everything that was sent, and every earlier packet of the hub has arrived.
func (w *wire) barrier() {
	w.t.Helper()
	require.NoError(w.t, w.sock.Ping(testContext(w.t)))
}

func (w *wire) next() string {
	w.t.Helper()
	select {
	case p := <-w.in:
		return p
	case <-time.After(patience):
		require.FailNow(w.t, "no packet came")
		return ""
	}
}

// heard returns all packets that have arrived and that the test has not taken yet.
func (w *wire) heard() []string {
	w.t.Helper()
	w.barrier()
	var all []string
	for {
		select {
		case p := <-w.in:
			all = append(all, p)
		default:
			return all
		}
	}
}

// ended waits for the end of the session.
func (w *wire) ended() {
	w.t.Helper()
	select {
	case <-w.done:
	case <-time.After(patience):
		require.FailNow(w.t, "the session did not end")
	}
}

// table returns a packet that announces listeners, as a client of the original does.
func table(keys ...string) string {
	t := map[string]map[string]bool{}
	for _, k := range keys {
		t[k] = map[string]bool{"remote": true}
	}
	b, err := json.Marshal(map[string]any{
		"event": "handshake", "payload": struct{}{}, "eventTable": t, "headers": map[string]any{"auth": struct{}{}},
	})
	if err != nil {
		panic(err)
	}
	return string(b)
}

// eventually waits until a condition holds that no event announces.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	require.Eventually(t, ok, patience, time.Millisecond, what)
}

// logBuffer collects logs at all levels.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

func (b *logBuffer) logger() *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// proxy forwards TCP connections. It can cut all connections and reject new ones.
type proxy struct {
	t testing.TB
	l net.Listener

	mu     sync.Mutex
	target string
	conns  map[net.Conn]struct{}
	refuse bool
	wg     sync.WaitGroup
}

func startProxy(t testing.TB, target string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &proxy{t: t, l: l, target: target, conns: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(func() {
		_ = l.Close()
		p.cut(true)
		p.wg.Wait()
	})
	return p
}

func (p *proxy) addr() string { return p.l.Addr().String() }

func (p *proxy) accept() {
	for {
		in, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		out, err := net.Dial("tcp", target)
		if err != nil || !p.admit(in, out) {
			_ = in.Close()
			if out != nil {
				_ = out.Close()
			}
			continue
		}
		for _, pair := range [][2]net.Conn{{in, out}, {out, in}} {
			p.wg.Go(func() {
				_, _ = io.Copy(pair[0], pair[1])
				_ = pair[0].Close()
				_ = pair[1].Close()
			})
		}
	}
}

func (p *proxy) admit(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.refuse {
		return false
	}
	for _, c := range conns {
		p.conns[c] = struct{}{}
	}
	return true
}

// cut ends all connections. With refuse, the proxy rejects new ones until open.
func (p *proxy) cut(refuse bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = refuse
	for c := range p.conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	clear(p.conns)
}

func (p *proxy) open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refuse = false
}

// memoryHub is a hub with an in-memory network, for tests in a synctest bubble.
type memoryHub struct {
	*mesh.Node
	client *http.Client // for clients of the hub, at http://mesh
	down   atomic.Bool  // connections fail

	network *engineiotest.Listener
	web     http.Server
	wg      sync.WaitGroup
}

func serveInMemory(t *testing.T, opts mesh.Options) *memoryHub {
	t.Helper()
	hub, err := mesh.NewHub(&opts)
	require.NoError(t, err)
	m := &memoryHub{Node: hub, network: engineiotest.NewListener()}
	m.client = &http.Client{Transport: &http.Transport{DialContext: m.dial}}
	m.web.Handler = hub
	m.wg.Go(func() { _ = m.web.Serve(m.network) })
	return m
}

// stop ends the hub and its network.
func (m *memoryHub) stop(t *testing.T) {
	require.NoError(t, m.Close())
	_ = m.web.Close()
	m.client.CloseIdleConnections()
	m.wg.Wait()
}

func (m *memoryHub) dial(ctx context.Context, network, address string) (net.Conn, error) {
	if m.down.Load() {
		return nil, errors.New("nobody there")
	}
	return m.network.DialContext(ctx, network, address)
}
