package meshtest

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
)

// Proxy forwards TCP connections to a target, and breaks them. Any number of goroutines may call its methods.
type Proxy struct {
	l  net.Listener
	wg sync.WaitGroup

	mu      sync.Mutex
	target  string
	clients map[net.Conn]struct{}
	targets map[net.Conn]struct{}
	closed  bool
}

// StartProxy starts a proxy on a free port of 127.0.0.1.
func StartProxy(t testing.TB, target string) *Proxy {
	t.Helper()
	l, err := new(net.ListenConfig).Listen(Context(t), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	p := &Proxy{l: l, target: target, clients: make(map[net.Conn]struct{}), targets: make(map[net.Conn]struct{})}
	p.wg.Go(p.accept)
	t.Cleanup(p.Stop)
	return p
}

// Stop ends the proxy, so that its address is free. The cleanup of the test calls Stop, too.
func (p *Proxy) Stop() {
	_ = p.l.Close()
	p.Close()
	p.wg.Wait()
}

// Addr returns the address of the proxy.
func (p *Proxy) Addr() string { return p.l.Addr().String() }

// SetTarget changes the target of later connections.
func (p *Proxy) SetTarget(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
}

// Cut breaks all connections. Clients may connect again.
func (p *Proxy) Cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.reset(p.clients)
	p.reset(p.targets)
}

// Close breaks all connections. Until Open, the proxy accepts no further ones.
func (p *Proxy) Close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.reset(p.clients)
	p.reset(p.targets)
}

// CloseClients is like Close, but keeps the connections to the target, as a network does that loses packets: the target
// does not notice.
func (p *Proxy) CloseClients() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.reset(p.clients)
}

// Open makes the proxy accept connections again.
func (p *Proxy) Open() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = false
}

// reset resets connections, so that the peer does not wait. The caller holds p.mu.
func (*Proxy) reset(conns map[net.Conn]struct{}) {
	for c := range conns {
		_ = c.(*net.TCPConn).SetLinger(0)
		_ = c.Close()
	}
	clear(conns)
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		addr := p.target
		p.mu.Unlock()
		target, err := new(net.Dialer).DialContext(context.Background(), "tcp", addr)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.forward(client, target)
	}
}

// forward copies between two connections until one of them ends, unless the proxy is closed.
func (p *Proxy) forward(client, target net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		_ = client.Close()
		_ = target.Close()
		return
	}
	p.clients[client], p.targets[target] = struct{}{}, struct{}{}
	p.wg.Go(func() {
		_, _ = io.Copy(client, target)
		_ = client.Close()
		_, _ = io.Copy(io.Discard, target) // after CloseClients
		p.end(target)
	})
	p.wg.Go(func() {
		_, _ = io.Copy(target, client)
		p.mu.Lock()
		_, connected := p.clients[client]
		delete(p.clients, client)
		p.mu.Unlock()
		if connected { // the client has ended the connection
			p.end(target)
		}
		_ = client.Close()
	})
}

func (p *Proxy) end(target net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.targets, target)
	_ = target.Close()
}
