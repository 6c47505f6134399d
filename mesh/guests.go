package mesh

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/engineio"
)

// guests limits connections by address as long as they serve no admitted peer.
type guests struct {
	node  *Node
	limit int
	tally tally

	mu     sync.Mutex
	counts map[netip.Addr]int
	conns  map[net.Conn]*guest // of the hub's own listener
}

// guest is a connection of a client, or a request in progress where a proxy or another server owns the connection.
type guest struct {
	addr   netip.Addr
	beyond bool // the address has as many guests as it may; fixed
	over   bool // the guest does not count any more; guarded by guests.mu
}

// guestKey is the key of a request's *guest in its context.
type guestKey struct{}

func newGuests(n *Node) *guests {
	return &guests{node: n, limit: n.opts.ConnsPerAddr, counts: make(map[netip.Addr]int), conns: make(map[net.Conn]*guest)}
}

var errPerAddr = errors.New("mesh: ConnsPerAddr and SessionsPerAddr must not be negative; 0 means the default")

// parseProxies parses Options.TrustedProxies.
func parseProxies(all []string) (proxies []netip.Prefix, err error) {
	for _, s := range all {
		var p netip.Prefix
		if strings.Contains(s, "/") {
			p, err = netip.ParsePrefix(s)
		} else {
			var addr netip.Addr
			addr, err = netip.ParseAddr(s)
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		if err != nil {
			return nil, fmt.Errorf("mesh: TrustedProxies: %q is neither an IP address nor a network such as 10.0.0.0/8", s)
		}
		proxies = append(proxies, p.Masked())
	}
	return proxies, nil
}

func (g *guests) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(g.node.opts.proxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// addr returns the address for which a request counts; the zero Addr if it does not count. Each trusted proxy appends the
// address of its client to X-Forwarded-For. The client itself may have sent anything before that, so the last address
// counts that is no proxy's.
func (g *guests) addr(r *http.Request) netip.Addr {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !g.trusts(remote.Addr().Unmap()) {
		return engineio.ConnAddr(r)
	}
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, text := range slices.Backward(forwarded) {
		addr, ok := parseForwarded(strings.TrimSpace(text))
		if !ok {
			break
		}
		if !g.trusts(addr) {
			return engineio.AddrKey(addr)
		}
	}
	return engineio.ConnAddr(r)
}

// parseForwarded parses one address of X-Forwarded-For. Some proxies write the port as well.
func parseForwarded(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap(), true
	}
	addr, err := netip.ParseAddrPort(s)
	return addr.Addr().Unmap(), err == nil
}

// begin counts a guest of an address, and returns how many it has now.
func (g *guests) begin(addr netip.Addr) (*guest, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[addr]++
	n := g.counts[addr]
	return &guest{addr: addr, beyond: n > g.limit}, n
}

// end stops counting a guest. It may be called more than once.
func (g *guests) end(guest *guest) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if guest.over {
		return
	}
	guest.over = true
	if g.counts[guest.addr]--; g.counts[guest.addr] == 0 {
		delete(g.counts, guest.addr)
	}
}

// connected is http.Server.ConnContext of the hub's own listener. A proxy's connection serves many clients, so that its
// requests count instead.
func (g *guests) connected(ctx context.Context, conn net.Conn) context.Context {
	addr := g.addr(&http.Request{RemoteAddr: conn.RemoteAddr().String()})
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if !addr.IsValid() || err == nil && g.trusts(remote.Addr().Unmap()) {
		return ctx
	}
	guest, n := g.begin(addr)
	if n > g.limit+g.limit/4+1 {
		_ = conn.Close() // there is no answer for so many
		g.reject(addr)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[conn] = guest
	return context.WithValue(ctx, guestKey{}, guest)
}

// changed is http.Server.ConnState of the hub's own listener. A hijacked connection is a session's, which counts by itself.
func (g *guests) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	g.mu.Lock()
	guest := g.conns[conn]
	delete(g.conns, conn)
	g.mu.Unlock()
	if guest != nil {
		g.end(guest)
	}
}

// admit is engineio.ServerOptions.OnAdmitted: the connection serves an admitted peer, and does not count any more.
func (g *guests) admit(r *http.Request) {
	if guest, ok := r.Context().Value(guestKey{}).(*guest); ok {
		g.end(guest)
	}
}

// enter counts a request, unless its connection counts. If its address has too many, enter answers it, and ok is false.
// Otherwise the caller calls leave when it has answered.
func (h *hub) enter(w http.ResponseWriter, r *http.Request) (_ *http.Request, leave func(), ok bool) {
	g := h.guests
	its, counted := r.Context().Value(guestKey{}).(*guest)
	leave = func() {}
	if !counted {
		addr := g.addr(r)
		if !addr.IsValid() {
			return r, leave, true
		}
		its, _ = g.begin(addr)
		leave = func() { g.end(its) }
		r = r.WithContext(context.WithValue(r.Context(), guestKey{}, its))
	}
	if !its.beyond {
		return r, leave, true
	}
	leave()
	g.reject(its.addr)
	w.Header().Set("Retry-After", retryAfter)
	w.Header().Set("Connection", "close")
	http.Error(w, "too many connections from this address; try again in "+retryAfter+" s", http.StatusServiceUnavailable)
	return r, leave, false
}

// reject counts and logs a connection that is one too many.
func (g *guests) reject(addr netip.Addr) {
	g.node.counters.rejectedConnections.Add(1)
	if times := g.tally.note(); times > 0 {
		g.node.opts.Logger.Warn("mesh: rejected connections: too many of their address serve no admitted peer; the option ConnsPerAddr is the limit",
			"addr", addr.String(), "limit", g.limit, "times", times)
	}
}

// narrow is engineio.Admission.OnLargeBody: the kernel holds less of a body that the hub may never read.
func narrow(r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(narrowBuffer) // without it, the connection costs more
	}
}

// narrowBuffer is the size of the kernel's buffer for such a body, in bytes.
const narrowBuffer = 16 << 10

// retryAfter is the header Retry-After of status 503, in seconds.
const retryAfter = "5"

// countRejected is engineio.ServerOptions.OnConnectionError.
func (h *hub) countRejected(e *engineio.ConnectionError) {
	if e.Reason == engineio.ReasonTooManySessions {
		h.node.counters.rejectedSessions.Add(1)
	}
}
