package engineio

import (
	"errors"
	"io"
	"math"
	"net/http"
	"net/netip"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// Defaults of Admission.
const (
	defaultUnadmittedReceiveLimit = 2 << 20 // bytes
	defaultSessionsPerAddr        = 4096
)

// Admission limits the sessions of peers that the server's handler has not admitted yet. A session begins unadmitted,
// and the handler admits its peer with Socket.SetAdmitted.
//
// The server reads at most 64 KB of an unadmitted session, frame headers included. It reads more only when the handler
// has admitted the peer. A stock client may post its first packet and later packets in one body. If such a body is
// longer, the server passes the packets within the first 40 KB to the handler, and reads the rest when the handler has
// admitted the peer. If the handler calls Read again without admitting the peer, Read returns ErrUnadmitted once. The
// POST gets status 413 a second later, or at the end of the session. The server has then dropped a part of the peer's
// messages, so the peer can no longer be admitted: SetAdmitted(true) ends the session.
//
// The zero value of each field means its default.
type Admission struct {
	// ReceiveLimit replaces ServerOptions.ReceiveLimit for the messages and POSTs of unadmitted sessions, in bytes.
	// They have a separate budget, so they cannot delay the messages of admitted sessions. Default: 2 MiB.
	ReceiveLimit int
	// SessionsPerAddr limits the unadmitted sessions of one address. A request that would open one more gets status
	// 503, with a text and the header Retry-After. Default: 4096.
	SessionsPerAddr int
	// Addr returns the address to which the server counts the session that r opens. If it returns the zero Addr, the
	// session is not limited. The server calls Addr when a session opens. It calls Addr again, with the result of
	// Socket.Request, when the session is admitted, when its admission is revoked, and when it ends unadmitted. Addr
	// must return the same address each time. Default: ConnAddr.
	Addr func(r *http.Request) netip.Addr
	// OnLargeBody is called before the server reads the body of an unadmitted session's POST, if the body may be larger
	// than the part that the server reads before admission. It must not keep r. Default: none.
	OnLargeBody func(r *http.Request)
}

// admission is the state of a session at a server with Admission.
type admission uint8

const (
	admitted   admission = iota // the only state without Admission
	unadmitted                  // the handler has not admitted the peer
	stalled                     // Read has returned ErrUnadmitted, and the server reads no more
)

// maxAllowance is how much a server reads of an unadmitted session, in bytes. It is the largest value of
// Socket.allowance.
const maxAllowance = math.MaxUint16

// retryAfter is the value of the header Retry-After of status 503, in seconds. Most sessions are admitted within that
// time.
const retryAfter = "5"

var errCrowded = errors.New("too many sessions from this address wait to be admitted; try again in " + retryAfter + " s")

func (a *Admission) withDefaults() *Admission {
	if a == nil {
		return nil
	}
	c := *a
	c.ReceiveLimit = orElse(c.ReceiveLimit, defaultUnadmittedReceiveLimit)
	c.SessionsPerAddr = orElse(c.SessionsPerAddr, defaultSessionsPerAddr)
	if c.Addr == nil {
		c.Addr = ConnAddr
	}
	return &c
}

// ConnAddr returns the address that r came from, in the form in which limits by address count it. For IPv6 that is the
// network of 64 bits, since a client can use any number of addresses in its network. ConnAddr returns the zero Addr for
// loopback, which local programs and a local proxy share, and if r has no IP address.
func ConnAddr(r *http.Request) netip.Addr {
	remote, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || remote.Addr().Unmap().IsLoopback() {
		return netip.Addr{}
	}
	return AddrKey(remote.Addr())
}

// AddrKey returns addr in the form in which limits by address count it, see ConnAddr. It does not treat loopback
// specially.
func AddrKey(addr netip.Addr) netip.Addr {
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		if p, err := addr.Prefix(64); err == nil {
			return p.Addr()
		}
	}
	return addr
}

// SetAdmitted admits the peer of a session, or revokes the admission. The limits of ServerOptions.Admission apply to
// unadmitted sessions; without that option SetAdmitted does nothing. If Read has returned ErrUnadmitted, admission
// comes too late, and SetAdmitted(true) ends the session with ErrUnadmitted. Only the goroutine that calls Read may
// call it.
func (s *Socket) SetAdmitted(is bool) {
	srv := s.conf.server
	if srv == nil || srv.opts.Admission == nil || (s.admission == admitted) == is {
		return
	}
	if s.admission == stalled { // Spend and readEarly have dropped input
		s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: ErrUnadmitted}, nil)
		return
	}
	to, n := admitted, -1
	if !is {
		to, n = unadmitted, 1
	}
	addr := srv.countedAddr(s.Request())
	srv.mu.Lock()
	defer srv.mu.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	if srv.sessions[s.id] == s {
		srv.count(addr, n)
	}
	s.admission, s.allowance = to, maxAllowance
	s.cond.Broadcast() // a POST may continue to read its body
}

// countedAddr returns the address to which the session of r counts until it is admitted.
func (srv *Server) countedAddr(r *http.Request) netip.Addr {
	if srv.opts.Admission == nil {
		return netip.Addr{}
	}
	return srv.opts.Admission.Addr(r)
}

// crowded reports whether an address has reached the limit of unadmitted sessions. The caller holds srv.mu.
func (srv *Server) crowded(addr netip.Addr) bool {
	if !addr.IsValid() || srv.waiting[addr] < srv.opts.Admission.SessionsPerAddr {
		return false
	}
	if times := srv.rejections.crowded.Allow(); times > 0 {
		srv.opts.Logger.Warn("engineio: rejected sessions: too many of their address wait to be admitted",
			"addr", addr.String(), "limit", srv.opts.Admission.SessionsPerAddr, "times", times)
	}
	return true
}

// count adds n to the unadmitted sessions of an address. The caller holds srv.mu.
func (srv *Server) count(addr netip.Addr, n int) {
	if !addr.IsValid() {
		return
	}
	if srv.waiting[addr] += n; srv.waiting[addr] == 0 {
		delete(srv.waiting, addr)
	}
}

// pausedBy reports whether the session stays open although the stream failed. If Read has returned ErrUnadmitted,
// pausedBy first waits for the end of the session.
func (s *Socket) pausedBy(failure error) bool {
	if !errors.Is(failure, ErrUnadmitted) {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.admission == stalled && s.state == stateOpen {
		s.cond.Wait()
	}
	return s.state == stateOpen
}

// exhausted reports whether the peer has sent all that the server reads before admission, and Read has returned all of
// it. The caller holds s.mu.
func (s *Socket) exhausted() bool {
	return s.admission == unadmitted && s.allowance == 0 && s.state == stateOpen && len(s.inbox) == 0
}

// freeUnadmitted is receivelimit.Free for the POST of an unadmitted peer, in bytes. It is smaller, because an attacker
// can open any number of sessions.
const freeUnadmitted = 16 << 10

// earlyPart is the part of a longer body that the server reads before admission, in bytes. It has room for the first
// packet of a mesh client, with a table of 32 KB.
const earlyPart = 40 << 10

// rejectedWait is the time between the rejection of a peer and the response to its POST. A poll brings the handler's
// message meanwhile, which explains more than the response. The rest of the body stays in the kernel until then.
const rejectedWait = time.Second

// readEarly reads the body of an unadmitted peer's POST, up to the peer's allowance. If the body is longer, readEarly
// delivers the complete packets of the part that it has read, and waits until the peer is admitted. It returns the
// bytes that it has not delivered, and whether they are the whole body.
func (s *Socket) readEarly(r *http.Request, body io.Reader, size int, isBinary bool) (early []byte, whole bool, err error) {
	s.mu.Lock()
	allowance, all := int(s.allowance), s.admission == admitted
	s.mu.Unlock()
	if all {
		return nil, false, nil
	}
	if f := s.conf.server.opts.Admission.OnLargeBody; f != nil && size > allowance {
		f(r)
	}
	var in *receivelimit.Reservation
	defer func() {
		if in.End() {
			err = receivelimit.ErrEvicted
		}
	}()
	limit, free := allowance, freeUnadmitted
	if size > allowance { // a larger part would not be the whole body either
		limit = min(limit, earlyPart)
		free = min(limit, receivelimit.Free) // the rest of limit is counted
	}
	early, err = receivelimit.ReadBody(io.LimitReader(body, int64(limit)+1), min(size, limit+1), free, s.counted(s.conf.unadmittedLimit, &in))
	s.mu.Lock()
	defer s.mu.Unlock()
	if err != nil || len(early) <= limit {
		s.allowance -= uint16(max(0, min(len(early), allowance-1))) //nolint:gosec // at most allowance; Read waits for the packets while it is not 0
		return early, true, err
	}
	s.mu.Unlock()
	early, err = s.deliverEarly(early, isBinary)
	s.mu.Lock()
	s.allowance = 0    // only after the delivery: Read returns ErrUnadmitted when no packet is left
	s.cond.Broadcast() // Read may have returned all packets
	for err == nil && s.admission == unadmitted && s.state == stateOpen && !in.Evicted() {
		s.cond.Wait()
	}
	if err == nil && s.admission != admitted {
		err = ErrUnadmitted
		early = nil // the handler has not admitted the peer, so the wait below needs no memory
		s.waitAtMost(rejectedWait, func() bool { return s.admission != stalled || in.Evicted() })
	}
	return early, false, err
}

// deliverEarly passes the complete packets at the beginning of a body to the reader. It returns the remaining bytes.
func (s *Socket) deliverEarly(early []byte, isBinary bool) (rest []byte, err error) {
	if s.jsonp {
		return early, nil // a form is parsed as a whole
	}
	enc := packet.Text
	if isBinary {
		enc = packet.Binary
	}
	early, rest = packet.Whole(s.rev, enc, early)
	if len(early) == 0 {
		return rest, nil
	}
	packets, err := s.parsePayload(early, isBinary)
	if err != nil {
		return nil, err
	}
	if failure := s.deliver(packets); failure != nil {
		return nil, failure
	}
	return rest, nil
}

// awaitsAdmission reports whether the handler has not admitted the peer yet.
func (s *Socket) awaitsAdmission() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.admission != admitted
}
