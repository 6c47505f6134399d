package interop

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"sync"
	"time"
)

// relay carries the connections between a client and a server, and if need be UDP packets on the same port, until it is
// told to be silent. From then on each end finds its connections as open as before, and new ones are accepted, but nothing
// arrives any more, as if the other end were stopped or its cable cut.
type relay struct {
	target   url.URL
	listener net.Listener
	packets  *net.UDPConn  // nil without UDP
	silent   chan struct{} // closed by silence
	passed   chan struct{} // holds an element if something came from the client since it was last looked at
	running  sync.WaitGroup

	mu     sync.Mutex
	conns  []net.Conn // to both ends, but for packets, which has all clients
	closed bool
}

// newRelay relays to the server at a URL, and with udp packets too. It ends with close, and dials while ctx lasts.
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

// trafficAfter waits until something has come from the client later than d from now.
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

// silence is called once.
func (r *relay) silence() {
	close(r.silent)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.conns {
		_ = c.SetReadDeadline(time.Unix(1, 0)) // so that the pumps look at r.silent
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

// keep has close close c, and reports false if that has happened already.
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

// pass notes that something came from the client.
func (r *relay) pass() {
	select {
	case r.passed <- struct{}{}:
	default:
	}
}

// pump copies until there is silence, in which not even the end of a connection is passed on.
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
