package main

import (
	"context"
	"net"
	"sync"
	"time"
)

// proxy forwards the connections of one client to one hub, and breaks them.
type proxy struct {
	listener net.Listener
	target   string
	running  sync.WaitGroup

	mu     sync.Mutex
	pairs  map[*pair]struct{}
	closed bool
}

// pair is a connection of the client and the connection to the hub that carries its bytes.
type pair struct {
	client, hub *net.TCPConn

	mu     sync.Mutex
	hold   bool   // the client's bytes are kept
	broken bool   // the client's side is closed
	tail   []byte // the kept bytes
}

func newProxy(ctx context.Context, target string) (*proxy, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &proxy{listener: l, target: target, pairs: make(map[*pair]struct{})}
	p.running.Go(func() { p.accept(context.WithoutCancel(ctx)) })
	return p, nil
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept(ctx context.Context) {
	dialer := net.Dialer{Timeout: time.Second}
	for {
		in, err := p.listener.Accept()
		if err != nil {
			return
		}
		out, err := dialer.DialContext(ctx, "tcp", p.target)
		if err != nil {
			_ = in.Close()
			continue
		}
		c := &pair{client: in.(*net.TCPConn), hub: out.(*net.TCPConn)}
		p.mu.Lock()
		if p.closed {
			c.reset()
		}
		p.pairs[c] = struct{}{}
		p.mu.Unlock()
		p.running.Go(c.upstream)
		p.running.Go(func() {
			c.downstream()
			p.mu.Lock()
			defer p.mu.Unlock()
			delete(p.pairs, c)
		})
	}
}

// upstream forwards the client's bytes. If late has broken the client's side, the end of that side does not end the
// hub's side.
func (c *pair) upstream() {
	buf := make([]byte, 16<<10)
	for {
		n, err := c.client.Read(buf)
		c.mu.Lock()
		switch {
		case c.hold || c.broken:
			c.tail = append(c.tail, buf[:n]...)
		case n > 0:
			_, _ = c.hub.Write(buf[:n]) // ignored: downstream sees the end of the hub's side
		}
		broken := c.hold || c.broken
		c.mu.Unlock()
		if err != nil {
			if !broken {
				_ = c.hub.Close()
			}
			return
		}
	}
}

// downstream forwards the hub's bytes.
func (c *pair) downstream() {
	buf := make([]byte, 16<<10)
	for {
		n, err := c.hub.Read(buf)
		if n > 0 {
			_, _ = c.client.Write(buf[:n])
		}
		if err != nil {
			_ = c.client.Close()
			return
		}
	}
}

// reset ends both sides, and loses the bytes in transit.
func (c *pair) reset() {
	for _, side := range []*net.TCPConn{c.client, c.hub} {
		_ = side.SetLinger(0)
		_ = side.Close()
	}
}

// each calls f for each of the proxy's connections.
func (p *proxy) each(f func(*pair)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.pairs {
		f(c)
	}
}

// reset resets all connections.
func (p *proxy) reset() { p.each((*pair).reset) }

// late keeps the client's bytes for a while, breaks the client's side, and delivers the bytes to the hub only after the
// delay. Then the hub's side stays open for another second, as if the client were only silent.
func (p *proxy) late(keep, delay time.Duration) {
	var pairs []*pair
	p.each(func(c *pair) {
		pairs = append(pairs, c)
		c.mu.Lock()
		c.hold = true
		c.mu.Unlock()
	})
	time.Sleep(keep)
	for _, c := range pairs {
		c.mu.Lock()
		c.broken = true
		_ = c.client.SetLinger(0)
		_ = c.client.Close()
		c.mu.Unlock()
	}
	time.Sleep(delay)
	for _, c := range pairs {
		c.mu.Lock()
		_ = c.hub.SetWriteDeadline(time.Now().Add(time.Second))
		_, _ = c.hub.Write(c.tail)
		c.tail = nil
		c.mu.Unlock()
	}
	time.Sleep(time.Second)
	for _, c := range pairs {
		_ = c.hub.Close()
	}
}

func (p *proxy) close() {
	_ = p.listener.Close()
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	p.reset()
	p.running.Wait()
}
