package hub

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/limit"
)

// guests limits the connections of each address that serve no admitted peer.
type guests struct {
	conf      *Config
	rejectLog limit.Throttle

	mu     sync.Mutex
	counts map[netip.Addr]int
	conns  map[net.Conn]*guest // connections of the hub's own listener
}

// guest is a connection of a client, or a request in progress if a proxy or another server owns the connection.
type guest struct {
	addr   netip.Addr
	beyond bool // the guest is above the limit of its address; fixed
	over   bool // the guest no longer counts; guarded by guests.mu
}

// guestKey is the key of a request's *guest in its context.
type guestKey struct{}

func newGuests(conf *Config) *guests {
	return &guests{conf: conf, counts: make(map[netip.Addr]int), conns: make(map[net.Conn]*guest)}
}

// ParseProxies parses Options.TrustedProxies.
func ParseProxies(all []string) (proxies []netip.Prefix, err error) {
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
			if at := strings.LastIndex(s, "@"); at >= 0 {
				s = "…" + s[at:] // a password may precede the @
			}
			return nil, fmt.Errorf("%q is neither an IP address nor a network such as 10.0.0.0/8", s)
		}
		proxies = append(proxies, p.Masked())
	}
	return proxies, nil
}

func (g *guests) trusts(addr netip.Addr) bool {
	return slices.ContainsFunc(g.conf.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(addr) })
}

// addr returns the address for which a request counts, or the zero Addr if it does not count. Each trusted proxy
// appends the address of its client to X-Forwarded-For. The client itself may have sent any text before that. So the
// last address that is not a trusted proxy counts.
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

// parseForwarded parses one address of X-Forwarded-For. Some proxies add the port.
func parseForwarded(s string) (netip.Addr, bool) {
	if addr, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return addr.Unmap(), true
	}
	addr, err := netip.ParseAddrPort(s)
	return addr.Addr().Unmap(), err == nil
}

// begin counts a guest of an address, and returns the number of guests that the address has now.
func (g *guests) begin(addr netip.Addr) (*guest, int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.counts[addr]++
	n := g.counts[addr]
	return &guest{addr: addr, beyond: n > g.conf.ConnsPerAddr}, n
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

// connected is the http.Server.ConnContext of the hub's own listener. A proxy's connection serves many clients, so the
// requests count instead of the connection.
func (g *guests) connected(ctx context.Context, conn net.Conn) context.Context {
	addr := g.addr(&http.Request{RemoteAddr: conn.RemoteAddr().String()})
	remote, err := netip.ParseAddrPort(conn.RemoteAddr().String())
	if !addr.IsValid() || err == nil && g.trusts(remote.Addr().Unmap()) {
		return ctx
	}
	guest, n := g.begin(addr)
	if n > g.conf.ConnsPerAddr+g.conf.ConnsPerAddr/4+1 {
		_ = conn.Close() // too many to send each a response
		g.reject(addr)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.conns[conn] = guest
	return context.WithValue(ctx, guestKey{}, guest)
}

// changed is the http.Server.ConnState of the hub's own listener. A hijacked connection belongs to a session, which is
// counted separately.
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

// admit is the engineio.ServerOptions.OnAdmitted: the connection serves an admitted peer, and no longer counts.
func (g *guests) admit(r *http.Request) {
	if guest, ok := r.Context().Value(guestKey{}).(*guest); ok {
		g.end(guest)
	}
}

// enter counts a request, unless its connection is counted. If the address has too many guests, enter responds to the
// request, and ok is false. Otherwise the caller calls leave after the response.
func (h *Hub) enter(w http.ResponseWriter, r *http.Request) (_ *http.Request, leave func(), ok bool) {
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

// reject counts and logs a rejected connection.
func (g *guests) reject(addr netip.Addr) {
	g.conf.Counters.RejectedConnections.Add(1)
	if times := g.rejectLog.Allow(); times > 0 {
		g.conf.Logger.Warn("mesh: rejected connections: too many of their address serve no admitted peer; the option ConnsPerAddr is the limit",
			"addr", addr.String(), "limit", g.conf.ConnsPerAddr, "times", times)
	}
}

// narrow is the engineio.Admission.OnLargeBody. It limits how much of a body the kernel stores, because the hub may
// never read it.
func narrow(r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetReadBuffer(narrowBuffer) // if this fails, the connection only uses more memory
	}
}

// narrowBuffer is the size of the kernel's buffer for such a body, in bytes.
const narrowBuffer = 16 << 10

// retryAfter is the value of the header Retry-After for status 503, in seconds.
const retryAfter = "5"

// countRejected is the engineio.ServerOptions.OnConnectionError.
func (h *Hub) countRejected(e *engineio.ConnectionError) {
	if e.Reason == engineio.ReasonTooManySessions {
		h.conf.Counters.RejectedSessions.Add(1)
	}
}
