package engineio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rs/cors"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Handler serves sessions, as an http.Handler serves requests.
type Handler interface {
	// ServeSocket is called once a session, on a goroutine of its own. The session is closed when it returns. ctx is
	// s.Context(): it is done when the session has ended.
	ServeSocket(ctx context.Context, s *Socket)
}

// HandlerFunc is a function that serves sessions.
type HandlerFunc func(ctx context.Context, s *Socket)

// ServeSocket calls f.
func (f HandlerFunc) ServeSocket(ctx context.Context, s *Socket) { f(ctx, s) }

// Server is an http.Handler that serves Engine.IO sessions. Make one with NewServer; its methods may be called by any
// number of goroutines.
type Server struct {
	handler   Handler
	opts      ServerOptions
	conf      *config
	http      http.Handler // serve, behind CORS if that is on
	allOrigin bool

	wg       sync.WaitGroup // the goroutines of all sessions
	mu       sync.Mutex
	sessions map[string]*Socket
	closed   bool
}

// NewServer returns a server whose sessions are served by h. It copies opts; nil means all defaults. Mount it in an
// http.Server at opts.Path; it must be closed with Shutdown or Close, because http.Server's own do not know its
// sessions.
func NewServer(h Handler, opts *ServerOptions) *Server {
	srv := &Server{handler: h, opts: opts.withDefaults(), sessions: make(map[string]*Socket)}
	o := &srv.opts
	srv.conf = &config{
		pingInterval:   o.PingInterval,
		pingTimeout:    o.PingTimeout,
		upgradeTimeout: o.UpgradeTimeout,
		writeTimeout:   o.WriteTimeout,
		maxPayload:     o.MaxPayload,
		queueLimit:     o.QueueLimit,
		budget:         &budget{limit: o.BufferLimit},
		receiving:      &receiveLimit{limit: o.ReceiveLimit},
		log:            o.Logger,
		wg:             &srv.wg,
	}
	srv.http = http.HandlerFunc(srv.serve)
	if len(o.AllowedOrigins) > 0 {
		srv.allOrigin = slices.Contains(o.AllowedOrigins, "*")
		srv.http = cors.New(cors.Options{
			AllowedOrigins:   o.AllowedOrigins,
			AllowedMethods:   []string{http.MethodGet, http.MethodPost},
			AllowedHeaders:   []string{"*"},
			AllowCredentials: !srv.allOrigin,
		}).Handler(srv.http)
	}
	return srv
}

// ServeHTTP serves one request of a session, or opens one.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ContentLength != 0 {
		// net/http reads a body before it answers, also where none is wanted, and it may never come. A POST
		// that is received gets a deadline of its own.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(srv.opts.WriteTimeout)) // not every ResponseWriter can
	}
	if !srv.answersAt(r.URL.Path) {
		http.NotFound(w, r)
		return
	}
	srv.http.ServeHTTP(w, r)
}

func (srv *Server) answersAt(path string) bool {
	rest, ok := strings.CutPrefix(path, strings.TrimSuffix(srv.opts.Path, "/"))
	return ok && (rest == "" || rest[0] == '/')
}

// serve checks a request in the order of the reference, so that a request with several faults gets the same answer.
func (srv *Server) serve(w http.ResponseWriter, r *http.Request) {
	q := query(r.URL.RawQuery)
	transport := Transport(q.Get("transport"))
	if transport == WebTransport || !slices.Contains(srv.opts.Transports, transport) { // for that, see ServeWebTransport
		refuse(w, r, CodeUnknownTransport)
		return
	}
	if code, ok := srv.originAllowed(r); !ok {
		refuse(w, r, code)
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
	switch {
	case s == nil:
		refuse(w, r, CodeUnknownSession)
	case requestRevision(q) != s.rev:
		refuse(w, r, CodeBadRequest)
	case transport == WebSocket && isUpgrade(r):
		srv.serveUpgrade(w, r, s, q)
	case transport != s.Transport() || transport != Polling:
		refuse(w, r, CodeBadRequest)
	case isUpgrade(r):
		srv.acceptAndClose(w, r)
	case r.Method == http.MethodGet:
		s.servePoll(w, r)
	case r.Method == http.MethodPost:
		s.servePost(w, r)
	default:
		w.WriteHeader(http.StatusInternalServerError)
	}
}

// session returns the session with this ID, or nil.
func (srv *Server) session(sid string) *Socket {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	return srv.sessions[sid]
}

func (srv *Server) serveHandshake(w http.ResponseWriter, r *http.Request, q url.Values, transport Transport) {
	rev := requestRevision(q)
	switch {
	case r.Method != http.MethodGet:
		refuse(w, r, CodeBadHandshakeMethod)
	case transport == WebSocket && !isUpgrade(r):
		refuse(w, r, CodeBadRequest)
	case !slices.Contains(srv.opts.Revisions, rev):
		refuse(w, r, CodeUnsupportedRevision)
	case transport == WebSocket:
		srv.openWebSocket(w, r, q, rev)
	case isUpgrade(r):
		srv.acceptAndClose(w, r)
	default:
		srv.openPolling(w, r, q, rev)
	}
}

var errOpening = errors.New("engineio: too much to keep of this request")

// refuseSession answers a request for which open made no session.
func refuseSession(w http.ResponseWriter, err error) {
	if errors.Is(err, ErrServerClosed) {
		http.Error(w, "server is shutting down", http.StatusServiceUnavailable)
		return
	}
	http.Error(w, "too much to keep of this request", http.StatusRequestHeaderFieldsTooLarge)
}

// open makes a session, unless the server is closed or the request too large to keep. The caller starts it with run.
func (srv *Server) open(r *http.Request, q url.Values, rev Revision, transport Transport) (*Socket, error) {
	ctx := context.Background()
	if srv.opts.SessionContext != nil {
		ctx = srv.opts.SessionContext(r)
	}
	s := newSocket(ctx, newSID(), rev, transport, srv.conf)
	s.server, s.opening = srv, newOpening(r)
	if len(s.opening.text) > maxOpening {
		return nil, errOpening
	}
	s.base64 = q.Get("b64") != ""
	s.twice = s.base64 && rev == Revision3 && isTimestampOfOldClient(q.Get("t"))
	srv.mu.Lock()
	if srv.closed {
		srv.mu.Unlock()
		return nil, ErrServerClosed
	}
	srv.wg.Add(1)
	srv.sessions[s.id] = s
	s.startHeartbeat() // under the lock: whoever finds the session finds its timer too
	srv.mu.Unlock()
	return s, nil
}

// run serves a session that open made, on the one goroutine that it costs.
func (srv *Server) run(s *Socket) {
	go func() {
		defer srv.wg.Done()
		srv.handler.ServeSocket(s.Context(), s)
		_ = s.Close()
	}()
}

// abandon ends a session that open made and that will not run.
func (srv *Server) abandon(s *Socket, err error) {
	s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: err}, nil)
	srv.wg.Done()
}

func (srv *Server) remove(s *Socket) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	delete(srv.sessions, s.id)
}

// Sockets returns the sessions that are open now, in no order.
func (srv *Server) Sockets() []*Socket {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	all := make([]*Socket, 0, len(srv.sessions))
	for _, s := range srv.sessions {
		all = append(all, s)
	}
	return all
}

// Shutdown refuses new sessions (503), closes all there are in good order, as Socket.Close does, and returns when the
// last handler has returned. If ctx ends first, it ends the rest at once, as Close does but without waiting, and
// returns the context's error.
func (srv *Server) Shutdown(ctx context.Context) error {
	srv.refuseNew()
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

// Close refuses new sessions, ends all there are at once and returns when the last handler has returned. It returns nil.
func (srv *Server) Close() error {
	srv.refuseNew()
	srv.abortAll()
	srv.wg.Wait()
	return nil
}

func (srv *Server) refuseNew() {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.closed = true
}

func (srv *Server) abortAll() {
	for _, s := range srv.Sockets() {
		s.Abort(ErrServerClosed)
	}
}

// openPacket is the first packet of a session.
func (srv *Server) openPacket(s *Socket, transport Transport) packet.Packet {
	upgrades := []Transport{} // null would break clients
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
		panic("engineio: open packet: " + err.Error()) // a struct of strings and numbers
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

// newSID returns 144 random bits: a session ID must not be guessed, since it is all that a request has to show.
func newSID() string {
	var b [18]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// query parses a query string as the reference does: what cannot be read is left out, and the last value of a key wins.
func query(raw string) url.Values {
	q, _ := url.ParseQuery(raw)
	for k, v := range q {
		q[k] = v[len(v)-1:]
	}
	return q
}

// requestRevision is revision 3 for whatever does not ask for 4, as in the reference.
func requestRevision(q url.Values) Revision {
	if q.Get("EIO") == "4" {
		return Revision4
	}
	return Revision3
}

// isTimestampOfOldClient says whether t was made by a client with parser 1.x ("1395794813200-0"), which encodes text
// twice.
func isTimestampOfOldClient(t string) bool {
	a, b, ok := strings.Cut(t, "-")
	digits := func(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }
	return ok && digits(a) && digits(b)
}

func isUpgrade(r *http.Request) bool {
	return strings.EqualFold(r.Header.Get("Upgrade"), "websocket")
}

var codeMessages = [...]string{
	CodeUnknownTransport:    "Transport unknown",
	CodeUnknownSession:      "Session ID unknown",
	CodeBadHandshakeMethod:  "Bad handshake method",
	CodeBadRequest:          "Bad request",
	CodeForbidden:           "Forbidden",
	CodeUnsupportedRevision: "Unsupported protocol version",
}

// refuse answers with an error of the protocol: JSON to a poll, plain text to a WebSocket handshake.
func refuse(w http.ResponseWriter, r *http.Request, code int) {
	message := codeMessages[code]
	if isUpgrade(r) {
		w.Header().Set("Connection", "close")
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = w.Write([]byte(message))
		return
	}
	status := http.StatusBadRequest
	if code == CodeForbidden {
		status = http.StatusForbidden
	}
	body, err := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, message})
	if err != nil {
		panic("engineio: error body: " + err.Error()) // a struct of a string and a number
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// originAllowed checks the Origin header, which browsers send and pages cannot forge, on every transport: CORS headers
// alone do not keep a foreign page from opening a WebSocket.
func (srv *Server) originAllowed(r *http.Request) (code int, ok bool) {
	origin := r.Header.Get("Origin")
	if origin == "" || srv.allOrigin {
		return 0, true
	}
	if strings.EqualFold(origin, r.Host) || hostAndPort(origin) {
		// Not a browser, which sends null or scheme://host: the WebSocket of engine.io-client 1.x in Node.js leaves the
		// scheme out. It may not equal Host behind a proxy that rewrites that.
		return 0, true
	}
	u, err := url.Parse(origin)
	if err != nil {
		return CodeBadRequest, false
	}
	sameHost := u.Host != "" && strings.EqualFold(u.Host, r.Host)
	if sameHost || slices.ContainsFunc(srv.opts.AllowedOrigins, func(o string) bool { return strings.EqualFold(o, origin) }) {
		return 0, true
	}
	srv.opts.Logger.Warn("engineio: refused a page of another origin; AllowedOrigins admits it", "origin", origin, "host", r.Host)
	return CodeForbidden, false
}

// hostAndPort says whether origin is host:port without a scheme.
func hostAndPort(origin string) bool {
	_, port, err := net.SplitHostPort(origin)
	return err == nil && port != "" && strings.Trim(port, "0123456789") == ""
}

// bodyDeadline bounds how long the body of a POST may take.
func (c *config) bodyDeadline() time.Time { return time.Now().Add(c.pingInterval + c.pingTimeout) }
