package engineio

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
	"github.com/bigcompany/mesh/engineio/internal/wtstream"
)

// serveWebTransport serves the request by which a client opens a WebTransport session. It checks r as serve does. If it
// rejects r, it sends the response; otherwise it calls accept, which sends the response. It then opens an Engine.IO
// session on the stream that accept returns, or moves a session there. It returns when that has succeeded or failed.
// Until the stream's first packet has come, UpgradeTimeout bounds the call and accept's context. The server closes the
// stream: at once if it does not use the stream, and otherwise at the end of the session.
//
// The request of stock clients has neither query nor cookies, and only the stream's first packet shows whether the
// client opens or moves a session. So the server calls AllowRequest after that packet, and rejects the session by
// closing the stream.
func (srv *Server) serveWebTransport(w http.ResponseWriter, r *http.Request, accept wtstream.Accept) {
	q := query(r.URL.RawQuery)
	switch code, reason, ok := srv.originAllowed(r, false); {
	case !srv.answersAt(r.URL.Path):
		srv.respondText(w, http.StatusNotFound, "404 page not found")
		return
	case !slices.Contains(srv.opts.Transports, WebTransport):
		srv.reject(w, r, CodeUnknownTransport, "UNKNOWN_TRANSPORT: webtransport")
		return
	case !ok:
		srv.reject(w, r, code, reason)
		return
	case q.Has("EIO") && requestRevision(q) != Revision4 || !slices.Contains(srv.opts.Revisions, Revision4):
		srv.reject(w, r, CodeUnsupportedRevision, "UNSUPPORTED_PROTOCOL_VERSION: "+q.Get("EIO"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), srv.opts.UpgradeTimeout)
	defer cancel()
	conn, err := accept(ctx)
	if err != nil {
		srv.opts.Logger.Debug("engineio: no WebTransport session", "error", err)
		return
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	c := wire.New(conn, &srv.conf.wire, wire.Options{Revision: Revision4, WebTransport: true})
	sid, err := readOpen(c)
	if err != nil {
		c.End(nil)
		srv.opts.Logger.Debug("engineio: a WebTransport stream opened no session", "error", err)
		return
	}
	if sid != "" {
		srv.upgradeSession(c, r, sid, stop)
		return
	}
	srv.openWebTransport(c, r, q, stop)
}

var errNoOpen = errors.New("engineio: the first packet does not open a session")

// readOpen reads the first packet, an open packet. The packet is empty for a new session, or it has the ID of the
// session that moves to this stream.
func readOpen(c *wire.Stream) (sid string, err error) {
	p, err := c.ReadPacket()
	switch {
	case err != nil:
		return "", err
	case p.Type != packet.Open || p.Binary:
		return "", fmt.Errorf("%w: type %d", errNoOpen, p.Type)
	case len(p.Data) == 0:
		return "", nil
	}
	var open struct{ SID string }
	if err := json.Unmarshal(p.Data, &open); err != nil || open.SID == "" {
		return "", errNoOpen // the error does not show the data, which may be an ID
	}
	return open.SID, nil
}

func (srv *Server) openWebTransport(c *wire.Stream, r *http.Request, q url.Values, inTime func() bool) {
	if message, ok := srv.checkRequest(r); !ok {
		srv.report(r, CodeForbidden, message, reasonNotAllowed)
		c.End(nil)
		return
	}
	s, err := srv.open(r, q, Revision4, WebTransport)
	if err != nil {
		e := notOpened(err)
		srv.report(r, e.Code, e.Message, e.Reason)
		c.End(nil)
		return
	}
	if !inTime() {
		c.End(nil)
		srv.abandon(s, io.ErrUnexpectedEOF)
		return
	}
	srv.begin(s, c, WebTransport)
}

// upgradeSession moves the session with this ID from polling to c.
func (srv *Server) upgradeSession(c *wire.Stream, r *http.Request, sid string, inTime func() bool) {
	s := srv.session(sid)
	if s == nil {
		srv.report(r, CodeUnknownSession, codeMessages[CodeUnknownSession], reasonUnknownSID)
	}
	if s == nil || s.rev != c.Revision() || !inTime() || !s.beginUpgrade() {
		c.End(nil)
		return
	}
	s.runUpgrade(c)
}
