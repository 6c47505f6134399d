package interop

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

// relay forwards the connections between clients and a server, and UDP packets on the same port if required, until
// silence is called. After that all connections stay open, and the relay still accepts new connections, but it forwards
// no data, as if the other end had stopped or its cable were cut.
type relay struct {
	target   url.URL
	listener net.Listener
	packets  *net.UDPConn  // nil without UDP
	silent   chan struct{} // closed by silence
	passed   chan struct{} // holds an element if a client has sent data since the last receive
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn // to both ends; packets is not among them
	closed bool
}

// newRelay starts a relay to the server at a URL, with UDP packets too if udp is true. The relay ends with close. When
// ctx has ended, it dials no more connections.
func newRelay(ctx context.Context, target string, udp bool) (*relay, error) {
	u, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r := &relay{target: *u, silent: make(chan struct{}), passed: make(chan struct{}, 1)}
	if udp {
		r.listener, r.packets, err = listenBoth(ctx)
	} else {
		r.listener, err = new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	}
	if err != nil {
		return nil, fmt.Errorf("relay: %w", err)
	}
	r.running.Go(func() { r.accept(ctx) })
	if udp {
		r.running.Go(func() { r.carryPackets(ctx) })
	}
	return r, nil
}

func (r *relay) url() string {
	u := r.target
	u.Host = r.listener.Addr().String()
	return u.String()
}

// trafficAfter waits until a client sends data later than d from now.
func (r *relay) trafficAfter(ctx context.Context, d time.Duration) error {
	for start := time.Now(); ; {
		select {
		case <-r.passed:
			if time.Since(start) > d {
				return nil
			}
		case <-ctx.Done():
			return fmt.Errorf("relay: no traffic: %w", context.Cause(ctx))
		}
	}
}

// silence stops all forwarding. It must be called only once.
func (r *relay) silence() {
	close(r.silent)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // wakes the pumps, so that they check r.silent
	}
}

func (r *relay) close() {
	r.mu.Lock()
	r.closed = true
	for _, c := range r.conns {
		_ = c.Close()
	}
	r.mu.Unlock()
	_ = r.listener.Close()
	if r.packets != nil {
		_ = r.packets.Close()
	}
	r.running.Wait()
}

// keep registers c for close. If the relay is closed already, keep closes c and returns false.
func (r *relay) keep(c net.Conn) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		_ = c.Close()
		return false
	}
	r.conns = append(r.conns, c)
	return true
}

func (r *relay) accept(ctx context.Context) {
	for {
		in, err := r.listener.Accept()
		if err != nil {
			return
		}
		if !r.keep(in) || r.isSilent() {
			continue
		}
		out, err := new(net.Dialer).DialContext(ctx, "tcp", r.target.Host)
		if err != nil {
			_ = in.Close()
			continue
		}
		if r.keep(out) {
			r.running.Go(func() { r.pump(in, out, r.pass) })
			r.running.Go(func() { r.pump(out, in, func() {}) })
		}
	}
}

// pass records that a client has sent data.
func (r *relay) pass() {
	select {
	case r.passed <- struct{}{}:
	default:
	}
}

// pump copies data until silence is called. After that it does not forward the end of a connection either.
func (r *relay) pump(from, to net.Conn, pass func()) {
	buf := make([]byte, 32<<10)
	for {
		n, err := from.Read(buf)
		if r.isSilent() {
			return
		}
		if n > 0 {
			pass()
			if _, err := to.Write(buf[:n]); err != nil {
				_ = from.Close()
				return
			}
		}
		if err != nil {
			_ = to.Close()
			return
		}
	}
}

func (r *relay) isSilent() bool {
	select {
	case <-r.silent:
		return true
	default:
		return false
	}
}
