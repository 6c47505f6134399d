package hub

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
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/mesh/internal/limit"
	"github.com/bigcompany/mesh/mesh/internal/sharded"
	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// Hub connects the clients of a mesh. The goroutine that reads a client's session also processes the client's messages,
// and puts them into the queues of their receivers. There is no central loop, and no single lock around routing, except
// for events whose searches take many steps: see heavy.
type Hub struct {
	conf      Config // fixed
	server    *engineio.Server
	assets    assets
	interest  interest.Index[*peer]
	roster    roster
	rejectLog limit.Throttles
	others    Others // fixed before the hub serves
	clustered bool   // SetOthers was called: others is not alone{}; fixed before the hub serves

	announcing sync.Mutex
	announced  []string      // the subscriptions of the hub's own listeners that the other hubs have, sorted; guarded by announcing
	lastSeq    atomic.Uint64 // the sequence number of the last event of the hub itself

	authFailLog limit.Throttle // limits the log lines about rejected credentials
	rebindLog   limit.Throttle // limits the log lines about rejected pages
	routings    sync.Pool      // of *routing
	slots       slots
	guests      *guests
	inflight    sharded.RWMutex // goroutines hold it for reading while they route
	heavy       sync.Mutex      // held while a batch is routed of a peer whose previous batch was heavy: see peer.relay

	// Held while an event of the hub itself gets its number and is routed.
	emitting sync.Mutex

	draining   bool          // the hub asks peers to move; guarded by roster.mu
	departures chan struct{} // receives a value after a peer has left

	web     *http.Server // nil if the hub listens on no address
	serving sync.WaitGroup
}

// A hub uses the heartbeat of the original hub, resource-mesh.
const (
	pingInterval = 25 * time.Second
	pingTimeout  = 60 * time.Second
)

// closeTimeout bounds how long Close waits until queued messages are written and until peers confirm the close.
const closeTimeout = 3 * time.Second

// Bounds of the hub's own web server. engineio replaces writeTimeout for its responses, because some of them wait
// longer.
const (
	readHeaderTimeout = 5 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
)

// New returns a hub that listens on no address yet.
func New(conf Config) *Hub {
	conf.Rate = conf.Rate.withDefaults(conf.MaxMessage)
	h := &Hub{conf: conf, others: alone{}, assets: newAssets(conf.Path, conf.Page)}
	h.roster.since = time.Now()
	h.departures = make(chan struct{}, 1)
	h.routings.New = func() any { return &routing{inflight: h.inflight.Shard()} }
	h.guests = newGuests(&h.conf)
	serve := &engineio.ServerOptions{
		Path: h.conf.Path,
		// Revision 3 is for clients of the original and of this package, revision 4 for current stock clients.
		Revisions:      []engineio.Revision{engineio.Revision3, engineio.Revision4},
		Transports:     conf.Transports,
		PingInterval:   pingInterval,
		PingTimeout:    pingTimeout,
		MaxPayload:     conf.MaxMessage,
		QueueLimit:     conf.QueueLimit,
		BufferLimit:    conf.BufferLimit,
		AllowedOrigins: conf.AllowedOrigins,
		Logger:         conf.Logger,

		TrustForwardedHost: conf.TrustForwardedHost,

		OnAdmitted:        h.guests.admit,
		OnConnectionError: h.countRejected,
	}
	if conf.Authorize != nil {
		serve.Admission = &engineio.Admission{SessionsPerAddr: conf.SessionsPerAddr, Addr: h.guests.addr, OnLargeBody: narrow}
	}
	h.server = engineio.NewServer(h, serve)
	return h
}

// SetLastSeq makes the hub's own events continue the sequence numbers that the node used as a client: the next is n+1.
func (h *Hub) SetLastSeq(n uint64) { h.lastSeq.Store(n) }

// OthersErr returns the reason why the other hubs cannot be reached, or nil.
func (h *Hub) OthersErr() error { return h.others.Err() }

// SetOthers connects the hub to the other hubs of its mesh, before it serves.
func (h *Hub) SetOthers(others Others) { h.others, h.clustered = others, true }

// Serve accepts connections on listeners until Close.
func (h *Hub) Serve(listeners []net.Listener) {
	h.web = &http.Server{
		Handler:           http.HandlerFunc(h.serveOwn),
		ReadHeaderTimeout: readHeaderTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		HTTP2:             &http.HTTP2Config{WriteByteTimeout: writeTimeout},
		ErrorLog:          slog.NewLogLogger(h.conf.Logger.Handler(), slog.LevelDebug),
		ConnContext:       h.connected,
		ConnState:         h.guests.changed,
	}
	for _, l := range listeners {
		l = h.reporting(l)
		if h.conf.TLS != nil {
			l = tls.NewListener(l, h.conf.TLS)
		}
		h.serving.Add(1)
		go func() {
			err := h.web.Serve(l)
			h.serving.Done()
			if !errors.Is(err, http.ErrServerClosed) {
				h.conf.Logger.Error("mesh: the hub's listener failed", "addr", l.Addr().String(), "error", err)
				h.conf.Local.Fail(err)
			}
		}()
	}
}

// serveOwn handles requests to the hub's own addresses.
func (h *Hub) serveOwn(w http.ResponseWriter, r *http.Request) {
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
	rest, ok := strings.CutPrefix(r.URL.Path, h.conf.Path)
	switch {
	case ok && (rest == "" || rest[0] == '/') && r.Header.Get("Origin") != "" && RejectRebinding(h, w, r), // programs send no Origin, or one without a scheme
		h.assets.has(r.URL.Path) && RejectRebinding(h, w, r):
	case ok && (rest == "" || rest[0] == '/'):
		h.server.ServeHTTP(w, r)
	case h.assets.has(r.URL.Path):
		h.assets.ServeHTTP(w, r)
	case r.URL.Path == "/" && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "This is the hub of a mesh. Its clients connect to "+h.conf.Path+"/\n")
	default:
		h.conf.Handler.ServeHTTP(w, r)
	}
}

// ServeSocket serves one peer. It is exported because engineio calls it.
func (h *Hub) ServeSocket(ctx context.Context, s *engineio.Socket) {
	p := h.newPeer(s)
	defer h.removePeer(p)
	for {
		m, err := s.ReadInto(ctx, p.memory())
		if err != nil {
			p.endBatch() // Read may fail after Ready: the text is invalid, or the session has ended meanwhile
			if errors.Is(err, engineio.ErrUnadmitted) {
				p.reject(wire.RuleTooEarly)
				// The hub waits for the end of the session: a client of the original would reconnect at once after a
				// disconnect.
				continue
			}
			p.logEnd(err)
			return
		}
		goesOn := true
		if p.superseded.Load() {
			p.drop(m)
		} else {
			goesOn = p.receiveMessage(ctx, m)
		}
		more := goesOn && s.Ready()
		if !more {
			p.seen.Store(time.Now().UnixNano())
		}
		p.next(m.Data, more)
		if !goesOn {
			return
		}
	}
}

// Emit routes an event of the hub's own node. For a request, rid is not empty: the hub then reports to the node if no
// other node subscribes to the event.
func (h *Hub) Emit(event string, payload json.RawMessage, rid string) error {
	var from source
	if rid != "" && !h.hasSubscriber(event, nil) {
		if h.others.Alone() {
			return fault.ErrNoListener
		}
		from.unheard = func() { h.conf.Local.FailRequest(rid, fault.ErrNoListener) }
		from.unsent = func(err error) { h.conf.Local.FailRequest(rid, err) }
	}
	h.emitting.Lock()
	defer h.emitting.Unlock()
	h.route([]wire.Event{{Name: event, Payload: payload, From: h.conf.ID, N: h.lastSeq.Add(1)}}, from)
	return nil
}

// Announce sends changed subscriptions of the hub itself to the other hubs. The hub's own peers need not know them,
// because they send the hub all their events.
func (h *Hub) Announce() {
	h.announcing.Lock()
	defer h.announcing.Unlock()
	now := h.conf.Local.Interests()
	add, remove := difference(h.announced, now)
	h.announced = now
	h.others.Subscribe(add, remove)
}

// Flush waits until the other hubs have processed the emitted events. For the hub's own peers there is nothing to wait
// for: Emit has put the events into their queues.
func (h *Hub) Flush(ctx context.Context) error {
	h.others.Sync(ctx)
	if h.clustered && ctx.Err() != nil {
		return fmt.Errorf("mesh: flush: %w", context.Cause(ctx))
	}
	return nil
}

// Close writes the queued messages, closes all sessions, and leaves the other hubs. It waits for the hub's goroutines.
func (h *Hub) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	_ = h.server.Shutdown(ctx) // if ctx ends, it aborts the remaining sessions, and server.Close waits for them
	if h.web != nil {
		_ = h.web.Close() // before server.Close, which waits for handlers: an incomplete request may block one
		h.serving.Wait()
	}
	_ = h.server.Close()
	h.others.Close()
}

// slots gives each peer a small number, its slot, so that a bit set of a few words can hold a set of peers.
type slots struct {
	mu    sync.Mutex
	spare []int
	next  int
}

func (x *slots) acquire() int {
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

func (x *slots) release(n int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.spare = append(x.spare, n)
}

// Sockets returns the sessions of all peers, including peers that are not admitted.
func (h *Hub) Sockets() []*engineio.Socket { return h.server.Sockets() }

// logMissed groups the log lines about events and notices of other hubs that found the queue for callbacks full.
const logMissed = "missed"

// missed counts n events or notices of other hubs that this hub's own listeners do not receive.
func (h *Hub) missed(n int, event string) {
	h.conf.Counters.Missed.Add(uint64(n))
	if times := h.rejectLog.Allow(logMissed); times > 0 {
		h.conf.Logger.Warn("mesh: callbacks are slow: this hub drops events from other hubs for its own listeners",
			"event", event, "times", times, "ever", h.conf.Counters.Missed.Load())
	}
}

// Receive routes events of one emitter at another hub to this hub's peers and listeners.
func (h *Hub) Receive(events []wire.Event, hub string) {
	h.route(events, source{remote: true, hub: hub})
	if n := h.conf.Local.Deliver(events, nil); n > 0 {
		h.missed(n, events[0].Name)
	}
}
