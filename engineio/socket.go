package engineio

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Socket is one session, at either end. It outlives its transport: a session that starts with long-polling may move
// to a WebSocket or to WebTransport, and neither side's messages are lost, doubled or reordered by it.
//
// Read belongs to one goroutine; all other methods may be called by any number of them.
//
// An idle session is to be small: flags lie side by side, where they leave no gaps. With 320 bytes, a size class of the
// allocator, a session begins at a cache line. The fields that Write uses lie together.
type Socket struct {
	// Fixed at creation.
	id      string
	rev     Revision
	jsonp   bool // server: the client polls by script tags
	conf    *config
	opening *opening // server only: the request that opened the session
	client  *client  // nil at a server
	ctx     sessionContext

	mu   sync.Mutex
	cond sync.Cond // signals every change of what follows

	closeErr  *CloseError // once closed; while this side is closing, what it is to be
	stream    *stream     // the transport, once that is no longer polling
	probe     *stream     // that of an upgrade under way; at a client, from when polling is paused for it
	state     state
	polling   bool // the transport is long-polling; otherwise a stream, or about to be one
	upgrading bool // an upgrade is under way; at a client: polling is paused for it
	quiet     bool // server: the goroutine of the upgrade has dealt with all that it has read; see awaitProbe

	// Outgoing. Whoever sets writing owns the transport's sending side until it clears it.
	writing   bool
	scheduled bool // a flusher was started and has not looked yet
	goodbye   bool // the close frame or packet was sent
	inline    bool // the reader is outside of Read and has no further input: write its replies at once
	queue     []*outgoing
	queued    int      // bytes in queue and being written
	backlog   *backlog // nil unless much is queued
	enqueued  uint32   // packets, ever
	flushed   uint32   // packets, ever

	// Incoming.
	inbox   []packet.Packet          // received by polling, not yet read
	poll    *poll                    // server: the poll that waits
	body    *http.ResponseController // server: of the POST whose body is being read
	reading bool                     // a goroutine is in Read, or drains on behalf of Close
	getting bool                     // client: a poll is under way
	posting bool                     // server: a POST is being received
	probed  bool                     // server: the probe of the upgrade under way was answered
	noops   int8                     // server: polls released in the upgrade under way, up to promptNoops
	base64  bool                     // the client asked for text only (b64 in the query); fixed
	dialect dialect                  // server: how this client writes text in revision 3

	// Admission, see admission.go.
	admission admission // server
	allowance uint16    // bytes that the server still reads of an unadmitted peer

	// Heartbeat.
	awaitingPong bool
	graced       bool          // the timeout for the pong was extended
	beating      bool          // the heartbeat has started
	alarmPlace   int32         // in the queue of alarms, from 1; 0 if none is set
	alarmAt      time.Duration // see alarms
	deadline     time.Time     // when the alarm is to act; it may ring earlier
}

type state uint8

const (
	stateOpen    state = iota
	stateLeaving       // server: the client has sent a close packet, and its last poll is awaited
	stateClosing       // this side closes: flushing, saying goodbye
	stateClosed
)

// config is what the sockets of one server, or one client socket, share.
type config struct {
	pingInterval   time.Duration
	pingTimeout    time.Duration
	upgradeTimeout time.Duration
	writeTimeout   time.Duration
	maxPayload     int
	compressFrom   int // bytes from which on messages are compressed on a WebSocket
	queueLimit     int
	smallQueue     int // bytes up to which a queue is no backlog
	budget         *budget
	receiving      *receiveLimit
	unadmitted     *receiveLimit // for the messages of unadmitted peers; nil without Admission
	log            *slog.Logger
	server         *Server // nil at a client
	alarms         *alarms
	wg             *sync.WaitGroup // every goroutine of these sockets
}

func newSocket(ctx context.Context, id string, rev Revision, transport Transport, conf *config) *Socket {
	s := &Socket{id: id, rev: rev, polling: transport == Polling, conf: conf}
	s.cond.L = &s.mu
	s.ctx.ctx = ctx
	return s
}

// ID returns the session's ID. It is a secret: whoever knows it owns the session, so do not show it to other peers.
func (s *Socket) ID() string { return s.id }

// Revision returns the protocol revision that the session speaks.
func (s *Socket) Revision() Revision { return s.rev }

// Transport returns the transport that the session stands on now.
func (s *Socket) Transport() Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.polling:
		return Polling
	case s.stream != nil && s.stream.framing == lengthFrames:
		return WebTransport
	default:
		return WebSocket
	}
}

// Queued returns how many bytes wait to be written, or are being written. What a message costs beyond its content counts.
func (s *Socket) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued
}

// Request returns what remains of the request that opened the session: method, URL, host, remote address, TLS state
// and the header fields that do not concern the connection. Each call makes it anew. It is nil at a client.
func (s *Socket) Request() *http.Request {
	if s.opening == nil {
		return nil
	}
	return s.opening.request()
}

// Context is done when the session has ended; context.Cause then gives the *CloseError. At a server it descends from
// what ServerOptions.SessionContext returned.
func (s *Socket) Context() context.Context { return &s.ctx }

// adopt makes a stream the session's transport. The caller holds s.mu, or is the only one to know s.
func (s *Socket) adopt(c *stream) {
	c.owner = s
	c.twice = s.dialect == oldestDialect
	s.stream, s.polling = c, false
}

// finish ends the session at once, if it has not ended yet. connErr is what the stream failed with, if it did.
func (s *Socket) finish(e *CloseError, connErr error) {
	if s.conf.server != nil {
		s.conf.server.remove(s) // first: a session that is seen to have ended is not found any more
	}
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return
	}
	s.state = stateClosed
	s.closeErr = e
	s.inline = false
	if !e.Remote {
		s.inbox = nil // whoever closes does not want more
	}
	s.conf.alarms.stop(s)
	s.queue, s.queued = nil, 0
	s.endBacklog()
	if s.poll != nil {
		s.poll.release()
	}
	s.cutBody()
	conn, probe := s.stream, s.probe
	if s.client != nil && conn != nil && e.failed() {
		s.client.remember(false)
	}
	s.ctx.end(e) // under the lock: who is told of the end finds the context done
	s.cond.Broadcast()
	if _, owed := conn.owes(connErr); owed { // a close frame follows, which must not cut another in two
		s.awaitWriter(conn)
		s.writing = true // for good
	}
	s.mu.Unlock()

	if conn != nil {
		conn.end(connErr)
	}
	if probe != nil {
		probe.end(nil)
	}
	if s.conf.server == nil {
		s.client.release(e.failed())
		s.conf.wg.Done()
	}
	s.conf.log.Debug("engineio: session ended", "reason", e.Reason, "remote", e.Remote, "error", e.Err)
}

// awaitWriter waits until nobody writes to conn, which is closed if that takes too long. There is no timer where nobody
// does: a machine that stands still for a second would close a connection on which all is well. The caller holds s.mu.
func (s *Socket) awaitWriter(conn *stream) {
	if !s.writing {
		return
	}
	defer time.AfterFunc(goodbyeTimeout, func() { _ = conn.conn.Close() }).Stop()
	for s.writing {
		s.cond.Wait()
	}
}

// closedError is what calls on a session return that is closing or has ended. The caller holds s.mu.
func (s *Socket) closedError() error { return s.closeErr }

// waitFor waits until done says so, the context ends, or the session does. The caller holds s.mu.
func (s *Socket) waitFor(ctx context.Context, done func() bool) error {
	if done() {
		return nil
	}
	if ctx != s.Context() && ctx.Done() != nil {
		defer context.AfterFunc(ctx, func() {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.cond.Broadcast()
		})()
	}
	for !done() {
		if s.state == stateClosed {
			return s.closedError()
		}
		if err := ctx.Err(); err != nil {
			return context.Cause(ctx)
		}
		s.cond.Wait()
	}
	return nil
}
