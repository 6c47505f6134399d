package engineio

import (
	"bufio"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// accept responds to a WebSocket handshake. It chooses the first subprotocol that the client offers, as the reference
// does.
func (srv *Server) accept(w http.ResponseWriter, r *http.Request, rev Revision, base64 bool) (*wire.Stream, error) {
	// u has no timeout, because a deadline costs the connection memory for good. hijacker has a timer instead.
	u := ws.HTTPUpgrader{
		Header:   handshakeHeader(w.Header()),
		Protocol: func(string) bool { return true },
	}
	var offers wire.DeflateOffers
	if srv.opts.PerMessageDeflate {
		u.Negotiate = offers.Negotiate
	}
	h := &hijacker{ResponseWriter: w, timeout: srv.opts.WriteTimeout}
	conn, rw, _, err := u.Upgrade(asUpgrade(r), h)
	if h.timer != nil {
		h.timer.Stop()
	}
	if err != nil {
		if conn != nil {
			_ = conn.Close()
		}
		if rejected, ok := errors.AsType[*ws.ConnectionRejectedError](err); ok {
			srv.report(r, CodeBadRequest, rejected.Error(), "TRANSPORT_HANDSHAKE_ERROR: "+rejected.Error())
		}
		return nil, err
	}
	c := wire.New(conn, &srv.conf.wire, wire.Options{Revision: rev, Base64: base64, Deflate: offers.Accepted})
	if n := rw.Reader.Buffered(); n > 0 {
		early, _ := rw.Peek(n) // cannot fail for buffered bytes
		c.Preload(early)
	}
	return c, nil
}

// asUpgrade returns r in the form that the library expects: the library reads only the first line of a header field
// that is a list. r is a request that isUpgrade accepts, or any other request, which it returns unchanged.
func asUpgrade(r *http.Request) *http.Request {
	if !isUpgrade(r) || len(r.Header["Connection"]) == 1 && len(r.Header["Upgrade"]) == 1 && !strings.Contains(r.Header["Upgrade"][0], ",") {
		return r
	}
	plain := *r
	plain.Header = r.Header.Clone()
	plain.Header.Set("Connection", "Upgrade")
	plain.Header.Set("Upgrade", "websocket")
	return &plain
}

// handshakeHeader returns the fields of h, set by handlers around this one, that may go into the response to a
// handshake. It leaves out the fields that the handshake itself sets, and fields that a 101 response must not have.
func handshakeHeader(h http.Header) http.Header {
	h = h.Clone()
	for k := range h {
		switch name := http.CanonicalHeaderKey(k); name {
		case "Connection", "Upgrade", "Trailer", "Transfer-Encoding", "Content-Length":
			delete(h, k)
		default:
			if strings.HasPrefix(name, "Sec-Websocket-") || strings.HasPrefix(name, http.TrailerPrefix) {
				delete(h, k)
			}
		}
	}
	return h
}

// hijacker closes the hijacked connection after a timeout unless its timer is stopped: the response to a handshake must
// not wait for ever for a client that does not read.
type hijacker struct {
	http.ResponseWriter
	timeout time.Duration
	timer   *time.Timer
}

// Hijack implements http.Hijacker.
func (h *hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(h.ResponseWriter).Hijack()
	if err == nil {
		h.timer = time.AfterFunc(h.timeout, func() { _ = conn.Close() })
	}
	return conn, rw, err
}

// acceptAndClose accepts a WebSocket that the server cannot use, and closes it, as the reference does.
func (srv *Server) acceptAndClose(w http.ResponseWriter, r *http.Request) {
	if c, err := srv.accept(w, r, Revision4, false); err == nil {
		c.End(wire.ErrCloseFrame)
	}
}

func (srv *Server) openWebSocket(w http.ResponseWriter, r *http.Request, q url.Values, rev Revision) {
	s, err := srv.open(r, q, rev, WebSocket)
	if err != nil {
		srv.rejectSession(w, r, err)
		return
	}
	srv.setCookie(w, s)
	c, err := srv.accept(w, r, rev, s.base64)
	if err != nil {
		srv.abandon(s, err)
		return
	}
	srv.begin(s, c, WebSocket)
}

// begin starts a session on c with its open packet.
func (srv *Server) begin(s *Socket, c *wire.Stream, transport Transport) {
	s.mu.Lock()
	s.setStream(c)
	s.writing = true // the open packet goes first
	s.mu.Unlock()
	open := srv.openPacket(s, transport)
	err := c.WriteAll(append([]*wire.Outgoing{wire.EncodeOnce(open)}, srv.initial...))
	s.mu.Lock()
	s.writing = false
	ended := s.state == stateClosed
	s.kick()
	s.mu.Unlock()
	if err != nil || ended {
		c.End(nil)
		srv.abandon(s, err)
		return
	}
	srv.run(s)
}

// serveUpgrade moves a session from polling to the WebSocket that r opens, on the goroutine of the request. The client
// sends the probe 2probe, the server replies 3probe, and the client sends 5 when it has stopped polling.
func (srv *Server) serveUpgrade(w http.ResponseWriter, r *http.Request, s *Socket, q url.Values) {
	begun := s.beginUpgrade() // before the client sees the 101, so that a later poll waits for the probe
	c, err := srv.accept(w, r, s.rev, q.Get("b64") != "")
	switch {
	case begun && err == nil:
		s.runUpgrade(c)
	case begun:
		s.cancelUpgrade()
	case err == nil:
		c.End(wire.ErrCloseFrame)
	}
}
