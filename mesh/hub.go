package mesh

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/sharded"
	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// hub connects the clients of a mesh. The goroutine that reads a client's session also processes the client's messages,
// and puts them into the queues of their receivers. There is no central loop, and no single lock around routing, except
// for events whose searches take many steps: see dear.
type hub struct {
	node        *Node
	name        string
	path        string // the path of Engine.IO
	server      *engineio.Server
	browsers    forBrowsers
	interest    interest.Index[*peer]
	roster      roster
	refusals    limit.Throttles
	cluster     *cluster       // nil without Options.Backplane; fixed before the hub serves
	authFailLog limit.Throttle // limits the log lines about rejected credentials
	rebindLog   limit.Throttle // limits the log lines about rejected pages; see rebound
	routings    sync.Pool      // of *routing
	numbers     numbers
	guests      *guests
	busy        sharded.RWMutex // goroutines hold it for reading while they route
	dear        sync.Mutex      // held while a goroutine routes a dear batch: see peer.relay

	// Held while an event of the hub itself gets its number and is routed.
	emitting sync.Mutex

	draining   bool          // the hub asks peers to move; guarded by roster.mu
	departures chan struct{} // receives a value after a peer has left

	web     *http.Server // nil if the hub has no listener
	serving sync.WaitGroup
}

// Bounds of the hub's own web server. engineio replaces writeTimeout for its responses, because some of them wait
// longer.
const (
	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// NewHub returns a hub without a listener, to mount in an existing server: see Node.ServeHTTP. If Options.Addr is a
// URL, its path is the path of Engine.IO. The rest of Options.Addr is not used.
func NewHub(opts *Options) (*Node, error) {
	o, addr, err := prepareHub(opts)
	if err != nil {
		return nil, err
	}
	h := newHub(o, address{path: addr.path})
	if err := h.joinOthers(context.Background()); err != nil {
		return nil, fmt.Errorf("mesh: join the other hubs: %w", err)
	}
	return h.node, nil
}

func newHub(o Options, addr address) *hub {
	n := newNode(o, wire.NewID(), addr)
	h := hubOf(n, addr.path)
	n.link = h
	n.hub.Store(h)
	return h
}

// hubOf returns a hub for a node that is, or becomes, a hub.
func hubOf(n *Node, path string) *hub {
	o := &n.opts
	if o.Authorize == nil && (o.User != "" || o.Token != "") {
		o.Logger.Warn("mesh: this hub admits every client: only clients use User and Token, a hub checks credentials with Authorize")
	}
	h := &hub{node: n, name: o.Name, path: path, browsers: newForBrowsers(path, !o.NoPage)}
	h.roster.since = time.Now()
	h.departures = make(chan struct{}, 1)
	h.routings.New = func() any { return &routing{busy: h.busy.Shard()} }
	h.guests = newGuests(n)
	serve := &engineio.ServerOptions{
		Path:           h.path,
		Revisions:      []engineio.Revision{engineio.Revision3, engineio.Revision4},
		Transports:     o.Transports,
		PingInterval:   pingInterval,
		PingTimeout:    pingTimeout,
		MaxPayload:     o.MaxMessage,
		QueueLimit:     o.QueueLimit,
		BufferLimit:    o.BufferLimit,
		AllowedOrigins: o.AllowedOrigins,
		Logger:         o.Logger,

		TrustForwardedHost: o.TrustForwardedHost,

		OnAdmitted:        h.guests.admit,
		OnConnectionError: h.countRejected,
	}
	if o.Authorize != nil {
		serve.Admission = &engineio.Admission{SessionsPerAddr: o.SessionsPerAddr, Addr: h.guests.addr, OnLargeBody: narrow}
	}
	h.server = engineio.NewServer(h, serve)
	return h
}

// serve accepts connections on listeners until close.
func (h *hub) serve(listeners []net.Listener) {
	h.web = &http.Server{
		Handler:           http.HandlerFunc(h.serveOwn),
		ReadHeaderTimeout: readHeaderTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: writeTimeout},
		ErrorLog:          slog.NewLogLogger(h.node.opts.Logger.Handler(), slog.LevelDebug),
		ConnContext:       h.connected,
		ConnState:         h.guests.changed,
	}
	for _, l := range listeners {
		l = h.reporting(l)
		if h.node.opts.tls != nil {
			l = tls.NewListener(l, h.node.opts.tls)
		}
		h.serving.Add(1)
		go func() {
			err := h.web.Serve(l)
			h.serving.Done()
			if !errors.Is(err, http.ErrServerClosed) {
				h.node.opts.Logger.Error("mesh: the hub's listener failed", "addr", l.Addr().String(), "error", err)
				h.node.end(err)
			}
		}()
	}
}

// serveOwn handles requests to the hub's own listener.
func (h *hub) serveOwn(w http.ResponseWriter, r *http.Request) {
	if !awaitReader(r) {
		panic(http.ErrAbortHandler) // closes the connection
	}
	if r.ContentLength != 0 { // net/http reads the body before it responds
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(readHeaderTimeout)) // a broken connection fails when the body is read
	}
	r, leave, ok := h.enter(w, r)
	if !ok {
		return
	}
	defer leave()
	rest, ok := strings.CutPrefix(r.URL.Path, h.path)
	switch {
	case ok && (rest == "" || rest[0] == '/') && r.Header.Get("Origin") != "" && h.node.rebound(r), // programs send no Origin
		h.browsers.has(r.URL.Path) && h.node.rebound(r):
		rejectRebound(w, r)
	case ok && (rest == "" || rest[0] == '/'):
		h.server.ServeHTTP(w, r)
	case h.browsers.has(r.URL.Path):
		h.browsers.ServeHTTP(w, r)
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "This is the hub of a mesh. Its clients connect to "+h.path+"/\n")
	default:
		h.node.opts.Handler.ServeHTTP(w, r)
	}
}

// ServeSocket serves one peer. It is exported because engineio calls it.
func (h *hub) ServeSocket(ctx context.Context, s *engineio.Socket) {
	p := h.join(s)
	defer h.leave(p)
	for {
		m, err := s.ReadInto(ctx, p.room())
		if err != nil {
			p.dispatch(false) // Ready may report a message that never comes whole
			if errors.Is(err, engineio.ErrUnadmitted) {
				p.refuse(wire.RuleTooEarly)
				// The hub waits for the end of the session: a client of the original would reconnect at once after a
				// disconnect.
				continue
			}
			p.left(err)
			return
		}
		goesOn := true
		if p.superseded.Load() {
			p.drop(m)
		} else {
			goesOn = p.take(ctx, m)
		}
		p.keep(m.Data)
		more := goesOn && s.Ready()
		if !more {
			p.seen.Store(time.Now().UnixNano())
		}
		p.dispatch(more)
		if !goesOn {
			return
		}
	}
}

func (h *hub) emit(event string, payload json.RawMessage, rid string) error {
	var from source
	if rid != "" && !h.heard(event, nil) {
		if h.cluster == nil {
			return ErrNoListener
		}
		from.unheard = func() { h.node.inbox.fail(rid, ErrNoListener) }
		from.unsent = func(err error) { h.node.inbox.fail(rid, err) }
	}
	h.emitting.Lock()
	defer h.emitting.Unlock()
	h.route([]wire.Event{{Name: event, Payload: payload, From: h.node.id, N: h.node.numbered.Add(1)}}, from)
	return nil
}

// announce sends changed subscriptions of the hub itself to the other hubs. For its own peers the hub needs only its
// index.
func (h *hub) announce() {
	if h.cluster == nil {
		return
	}
	h.cluster.own.Lock()
	defer h.cluster.own.Unlock()
	now := h.node.interests()
	add, remove := difference(h.cluster.interests, now)
	h.cluster.interests = now
	h.cluster.want(add, remove)
}

// flush waits until the other hubs have processed the emitted events. The events for the hub's own peers are in their
// queues.
func (h *hub) flush(ctx context.Context) error {
	h.cluster.sync(ctx)
	if h.cluster != nil && ctx.Err() != nil {
		return fmt.Errorf("mesh: flush: %w", context.Cause(ctx))
	}
	return nil
}

func (h *hub) hubInfo() (HubInfo, bool) { return HubInfo{ID: h.node.id, Name: h.name}, true }

func (h *hub) close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = h.server.Shutdown(ctx) // Close ends the remaining sessions
	if h.web != nil {
		_ = h.web.Close() // before the sessions: an incomplete request may block one
		h.serving.Wait()
	}
	_ = h.server.Close()
	h.cluster.close()
}

// numbers gives peers small numbers, so that a bit set of a few words can hold a set of peers.
type numbers struct {
	mu    sync.Mutex
	spare []int
	next  int
}

func (x *numbers) take() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	if last := len(x.spare) - 1; last >= 0 {
		n := x.spare[last]
		x.spare = x.spare[:last]
		return n
	}
	x.next++
	return x.next - 1
}

func (x *numbers) give(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.spare = append(x.spare, n)
}

func (h *hub) sockets() []*engineio.Socket { return h.server.Sockets() }
