package engineio

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/cors"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/engineio/internal/wire"
	"github.com/bigcompany/mesh/engineio/internal/wtstream"
	"github.com/bigcompany/mesh/engineio/logthrottle"
)

// Handler serves sessions, as http.Handler serves requests.
type Handler interface {
	// ServeSocket is called once for each session, on a new goroutine. The server closes the session when ServeSocket
	// returns. ctx is s.Context(): it is done when the session has ended.
	ServeSocket(ctx context.Context, s *Socket)
}

// HandlerFunc is a function that serves sessions.
type HandlerFunc func(ctx context.Context, s *Socket)

// ServeSocket calls f.
func (f HandlerFunc) ServeSocket(ctx context.Context, s *Socket) { f(ctx, s) }

// Server is an http.Handler that serves Engine.IO sessions. NewServer makes one. Any number of goroutines may call its
// methods.
type Server struct {
	handler    Handler
	opts       ServerOptions
	conf       *config
	http       http.Handler // serve, wrapped in CORS if AllowedOrigins is set
	origins    allowedOrigins
	rejections struct{ jsonp, origin, proxied, crowded logthrottle.Throttle } // rejected requests, by the option that would admit them
	initial    []*wire.Outgoing                                               // the packets after the open packet: InitialMessage, if it is set

	wg       sync.WaitGroup // counts the goroutines of all sessions
	mu       sync.Mutex
	sessions map[string]*Socket
	waiting  map[netip.Addr]int // unadmitted sessions by address
	closed   bool
}

// NewServer returns a server that serves sessions with h. It copies opts; nil means all defaults. Mount the server in
// an http.Server at opts.Path. Close it with Shutdown or Close, because the methods of http.Server do not know its
// sessions. NewServer panics if opts.Check returns an error.
func NewServer(h Handler, opts *ServerOptions) *Server {
	if err := opts.Check(); err != nil {
		panic(err)
	}
	srv := &Server{handler: h, opts: opts.withDefaults(), sessions: make(map[string]*Socket)}
	o := &srv.opts
	srv.conf = &config{
		pingInterval:   o.PingInterval,
		pingTimeout:    o.PingTimeout,
		upgradeTimeout: o.UpgradeTimeout,
		wire:           wire.Config{MaxPayload: o.MaxPayload, CompressFrom: o.CompressionThreshold, WriteTimeout: o.WriteTimeout},
		queueLimit:     o.QueueLimit,
		smallQueue:     min(freeAllowance, o.QueueLimit/4),
		sendBudget:     &sendBudget{limit: o.BufferLimit, sockets: srv.Sockets, log: o.Logger},
		receiveLimit:   receivelimit.New(o.ReceiveLimit),
		log:            o.Logger,
		server:         srv,
		timers:         new(timers),
		wg:             &srv.wg,
	}
	if o.Admission != nil {
		srv.conf.unadmittedLimit = receivelimit.New(o.Admission.ReceiveLimit)
		srv.waiting = make(map[netip.Addr]int)
	}
	if o.InitialMessage != nil {
		srv.initial = []*wire.Outgoing{newInitial(*o.InitialMessage)}
	}
	srv.http = http.HandlerFunc(srv.serve)
	srv.origins, _ = parseAllowedOrigins(o.AllowedOrigins) // opts.Check has accepted them
	if len(o.AllowedOrigins) > 0 {
		c := cors.Options{
			AllowedMethods: []string{http.MethodGet, http.MethodPost},
			AllowedHeaders: []string{"*"},
		}
		if srv.origins.all {
			c.AllowedOrigins = []string{"*"}
		} else {
			c.AllowOriginFunc, c.AllowCredentials = srv.origins.has, true
		}
		srv.http = cors.New(c).Handler(srv.http)
	}
	return srv
}

// ServeHTTP serves a request that belongs to a session or that opens one.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodConnect {
		if accept := wtstream.From(r); accept != nil {
			srv.serveWebTransport(w, r, accept)
			return
		}
	}
	if r.ContentLength != 0 {
		// net/http reads a body before it responds, even if the request needs no body, and the body may never come.
		// servePost sets another deadline for the body of a POST.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(srv.opts.WriteTimeout)) // some ResponseWriters do not support it
	}
	switch {
	case !srv.answersAt(r.URL.Path):
		srv.respondText(w, http.StatusNotFound, "404 page not found")
	case r.Method == http.MethodOptions: // the CORS handler may respond to it
		srv.bounded(srv.http).ServeHTTP(w, r)
	default:
		srv.http.ServeHTTP(w, r)
	}
}

func (srv *Server) answersAt(path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(srv.opts.Path, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// serve checks a request in the order of the reference, so that a request with several faults gets the same response.
func (srv *Server) serve(w http.ResponseWriter, r *http.Request) {
	q := query(r.URL.RawQuery)
	transport := Transport(q.Get("transport"))
	if transport == WebTransport || !slices.Contains(srv.opts.Transports, transport) { // serveWebTransport serves WebTransport
		srv.reject(w, r, CodeUnknownTransport, "UNKNOWN_TRANSPORT: "+string(transport))
		return
	}
	if code, reason, ok := srv.originAllowed(r, srv.opts.JSONP && asksJSONP(transport, q)); !ok {
		srv.reject(w, r, code, reason)
		return
	}
	if sid := q.Get("sid"); sid != "" {
		srv.serveSession(w, r, q, transport, sid)
		return
	}
	srv.serveHandshake(w, r, q, transport)
}

func (srv *Server) serveSession(w http.ResponseWriter, r *http.Request, q url.Values, transport Transport, sid string) {
	s := srv.session(sid)
	if s == nil {
		srv.rejectUnknown(w, r)
		return
	}
	if srv.opts.OnAdmitted != nil && !s.awaitsAdmission() {
		srv.opts.OnAdmitted(r)
	}
	upgrade := transport == WebSocket && isUpgrade(r)
	has, rev := s.Transport(), requestRevision(q)
	switch {
	case !upgrade && (transport != has || transport != Polling):
		srv.rejectMismatch(w, r, transport, has)
	case rev != s.rev:
		srv.reject(w, r, CodeBadRequest, fmt.Sprintf("PROTOCOL_MISMATCH: %d, the session's is %d", rev, s.rev))
	case upgrade:
		srv.serveUpgrade(w, r, s, q)
	case isUpgrade(r):
		srv.acceptAndClose(w, r)
	case r.Method == http.MethodGet:
		s.servePoll(w, r)
	case r.Method == http.MethodPost:
		s.servePost(w, r)
	default:
		_ = srv.respond(w, http.StatusInternalServerError, nil) // a broken connection ends by itself
	}
}

// session returns the session with this ID, or nil.
func (srv *Server) session(sid string) *Socket {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.sessions[sid]
}

func (srv *Server) rejectUnknown(w http.ResponseWriter, r *http.Request) {
	srv.reject(w, r, CodeUnknownSession, reasonUnknownSID)
}

func (srv *Server) rejectMismatch(w http.ResponseWriter, r *http.Request, transport, has Transport) {
	srv.reject(w, r, CodeBadRequest, fmt.Sprintf("TRANSPORT_MISMATCH: %s, the session's is %s", transport, has))
}

func (srv *Server) serveHandshake(w http.ResponseWriter, r *http.Request, q url.Values, transport Transport) {
	switch rev := requestRevision(q); {
	case r.Method != http.MethodGet:
		srv.reject(w, r, CodeBadHandshakeMethod, "BAD_HANDSHAKE_METHOD: "+r.Method)
	case transport == WebSocket && !isUpgrade(r):
		srv.reject(w, r, CodeBadRequest, "TRANSPORT_HANDSHAKE_ERROR: no upgrade")
	case asksJSONP(transport, q) && !srv.opts.JSONP:
		if times := srv.rejections.jsonp.Allow(); times > 0 {
			srv.opts.Logger.Warn("engineio: rejected a request by JSONP; the option JSONP admits it", "times", times)
		}
		srv.reject(w, r, CodeUnknownTransport, "UNKNOWN_TRANSPORT: jsonp")
	case !srv.allowed(w, r):
	case !slices.Contains(srv.opts.Revisions, rev):
		srv.reject(w, r, CodeUnsupportedRevision, "UNSUPPORTED_PROTOCOL_VERSION: "+q.Get("EIO"))
	case transport == WebSocket:
		srv.openWebSocket(w, r, q, rev)
	case isUpgrade(r):
		srv.acceptAndClose(w, r)
	default:
		srv.openPolling(w, r, q, rev)
	}
}

// allowed calls AllowRequest and, if that rejects r, sends the response.
func (srv *Server) allowed(w http.ResponseWriter, r *http.Request) bool {
	message, ok := srv.checkRequest(r)
	if !ok {
		srv.rejectWith(w, r, CodeForbidden, message, reasonNotAllowed)
	}
	return ok
}

// checkRequest calls AllowRequest. If that rejects r, checkRequest returns the message for the client.
func (srv *Server) checkRequest(r *http.Request) (message string, ok bool) {
	if srv.opts.AllowRequest == nil {
		return "", true
	}
	if err := srv.opts.AllowRequest(r); err != nil {
		return orElse(err.Error(), codeMessages[CodeForbidden]), false
	}
	return "", true
}

// open makes a session. If it fails, rejectSession responds to the error. The caller starts the session with run.
func (srv *Server) open(r *http.Request, q url.Values, rev Revision, transport Transport) (*Socket, error) {
	id, err := srv.newID(r)
	if err != nil {
		return nil, err
	}
	ctx := context.Background()
	if srv.opts.SessionContext != nil {
		ctx = srv.opts.SessionContext(r)
	}
	s := newSocket(ctx, id, rev, transport, srv.conf)
	s.savedRequest = saveRequest(r)
	if len(s.savedRequest.text) > maxSavedRequest {
		return nil, errHeadersTooLarge
	}
	s.jsonp = asksJSONP(transport, q)
	s.base64 = s.jsonp || q.Get("b64") != ""
	if rev == Revision3 {
		s.dialect = dialectOf(q, transport)
	}
	if srv.opts.Admission != nil {
		s.admission, s.allowance = unadmitted, maxAllowance
	}
	if err := srv.add(s, srv.countedAddr(r)); err != nil {
		return nil, err
	}
	return s, nil
}

// add adds s to the server's sessions. An unadmitted session counts for addr.
func (srv *Server) add(s *Socket, addr netip.Addr) error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	switch {
	case srv.closed:
		return ErrServerClosed
	case srv.sessions[s.id] != nil:
		return errIDInUse
	case srv.crowded(addr):
		return errCrowded
	}
	srv.count(addr, 1)
	srv.wg.Add(1)
	srv.sessions[s.id] = s
	s.startHeartbeat() // under the lock, so that a goroutine that finds the session finds its timer too
	s.ctx.follow(&srv.wg, s.Abort)
	return nil
}

// run serves a session that open made. It starts the only goroutine that the session needs.
func (srv *Server) run(s *Socket) {
	go func() {
		defer srv.wg.Done()
		srv.handler.ServeSocket(s.Context(), s)
		_ = s.Close()
	}()
}

// abandon ends a session that open made and that the server will not run.
func (srv *Server) abandon(s *Socket, err error) {
	s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: err}, nil)
	srv.wg.Done()
}

func (srv *Server) remove(s *Socket) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.sessions[s.id] == s { // GenerateID may return an ID again, and remove may be called twice for a session
		delete(srv.sessions, s.id)
		if s.awaitsAdmission() {
			srv.count(srv.countedAddr(s.Request()), -1)
		}
	}
}

// Sockets returns the sessions that are open now, in no particular order.
func (srv *Server) Sockets() []*Socket {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	all := make([]*Socket, 0, len(srv.sessions))
	for _, s := range srv.sessions {
		all = append(all, s)
	}
	return all
}

// Drain rejects new sessions with status 503 from now on. Existing sessions continue until Shutdown or Close.
func (srv *Server) Drain() { srv.rejectNew() }

// Shutdown rejects new sessions with status 503, closes all sessions in good order, as Socket.Close does, and returns
// when the last handler has returned. If ctx ends first, Shutdown ends the remaining sessions at once, does not wait
// for them, and returns the context's error.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.rejectNew()
	for _, s := range srv.Sockets() {
		s.beginClose(ErrServerClosed)
	}
	done := make(chan struct{})
	go func() {
		srv.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		srv.abortAll()
		return context.Cause(ctx)
	}
}

// Close rejects new sessions, ends all sessions at once, and returns when the last handler has returned. It returns
// nil.
func (srv *Server) Close() error {
	srv.rejectNew()
	srv.abortAll()
	srv.wg.Wait()
	return nil
}

func (srv *Server) rejectNew() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.closed = true
}

func (srv *Server) abortAll() {
	for _, s := range srv.Sockets() {
		s.Abort(ErrServerClosed)
	}
}

// openPacket returns the first packet of a session.
func (srv *Server) openPacket(s *Socket, transport Transport) packet.Packet {
	upgrades := []Transport{} // an empty list, because null would break clients
	if transport == Polling && !srv.opts.NoUpgrade {
		for _, t := range []Transport{WebSocket, WebTransport} {
			if slices.Contains(srv.opts.Transports, t) && (t == WebSocket || s.rev == Revision4) {
				upgrades = append(upgrades, t)
			}
		}
	}
	data, err := json.Marshal(handshake{
		SID:          s.id,
		Upgrades:     upgrades,
		PingInterval: srv.opts.PingInterval.Milliseconds(),
		PingTimeout:  srv.opts.PingTimeout.Milliseconds(),
		MaxPayload:   srv.opts.MaxPayload,
	})
	if err != nil {
		panic("engineio: open packet: " + err.Error()) // cannot happen for a struct of strings and numbers
	}
	return packet.Packet{Type: packet.Open, Data: data}
}

// handshake is the body of the open packet. Times are in milliseconds.
type handshake struct {
	SID          string      `json:"sid"`
	Upgrades     []Transport `json:"upgrades"`
	PingInterval int64       `json:"pingInterval"`
	PingTimeout  int64       `json:"pingTimeout"`
	MaxPayload   int         `json:"maxPayload"`
}

// query parses a query string as the reference does: it skips invalid parts, and the last value of a key counts.
func query(raw string) url.Values {
	q, _ := url.ParseQuery(raw)
	for k, v := range q {
		q[k] = v[len(v)-1:]
	}
	return q
}

// requestRevision returns revision 4 if the request asks for it, and otherwise revision 3, as in the reference.
func requestRevision(q url.Values) Revision {
	if q.Get("EIO") == "4" {
		return Revision4
	}
	return Revision3
}

// isUpgrade reports whether a request asks for a WebSocket. It requires the Connection header, which proxies without
// WebSocket support remove.
func isUpgrade(r *http.Request) bool {
	return lists(r.Header, "Upgrade", "websocket") && lists(r.Header, "Connection", "upgrade")
}

// lists reports whether a header field that is a list has a member, in any of its lines (RFC 9110, section 5.3).
func lists(h http.Header, name, member string) bool {
	for _, line := range h[name] {
		for m := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(strings.TrimSpace(m), member) {
				return true
			}
		}
	}
	return false
}
