package engineio

import (
	"context"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// Socket is one end of a session. A session outlives its transport: a session that starts with long-polling may move to
// a WebSocket or to WebTransport, without loss, duplication or reordering of messages in either direction.
//
// Read, ReadInto, Ready and SetAdmitted belong to one goroutine. Any number of goroutines may call the other methods.
//
// An idle session must be small, so flags of the same size are adjacent and leave no gaps. The size of 320 bytes is a
// size class of the allocator and makes each session begin at a cache line. The fields that Write uses are adjacent.
type Socket struct {
	// Fixed at creation.
	id           string
	rev          Revision
	jsonp        bool // server: the client polls by script tags
	conf         *config
	savedRequest *savedRequest // server only: the request that opened the session
	client       *client       // nil at a server; this is the test of the role everywhere
	ctx          sessionContext

	mu   sync.Mutex
	cond sync.Cond // signals every change of the fields below

	closeErr *CloseError  // set when the session is closed; while this side closes the session, the error that it will end with
	stream   *wire.Stream // the transport, unless that is polling
	probe    *wire.Stream // the stream of the current upgrade; at a client, of phasePausing
	state    state
	phase    phase // on the way between transports, see upgrade.go
	quiet    bool  // server: the goroutine of the upgrade has processed all the input that it has read; see awaitProbe

	// Outgoing. The goroutine that sets writing owns the transport's sending side until it clears writing.
	writing   bool
	scheduled bool   // a writer goroutine, see writer, was started and does not own writing yet
	reader    reader // of Read; see Write for readerReplying
	queue     []*wire.Outgoing
	queued    int      // bytes in queue and bytes being written
	backlog   *backlog // nil unless the queue is large
	enqueued  uint32   // packets queued so far
	flushed   uint32   // packets that have left the queue so far

	// Incoming.
	inbox   []packet.Packet          // received by polling, not yet read
	poll    *poll                    // server: the waiting poll
	body    *http.ResponseController // server: the POST whose body is being read
	getting bool                     // client: a poll is in progress
	posting bool                     // server: a POST is being received
	noops   int8                     // server: polls to which it responded with a noop in the current upgrade, counted up to promptNoops
	base64  bool                     // the client asked for text only (b64 in the query); never changes
	dialect dialect                  // server: how this client writes text in revision 3

	// Admission, see admission.go.
	admission admission // server
	allowance uint16    // bytes that the server will still read from an unadmitted peer

	// Heartbeat, see heartbeat.go.
	heartbeat  heartbeat
	timerIndex int32         // position in the heap of timers, from 1; 0 if the timer is not set
	timerAt    time.Duration // see timers
	deadline   time.Time     // when onTimer pings or ends the session; if the timer fires earlier, onTimer sets it again
}

type state uint8

const (
	stateOpen      state = iota
	stateLeaving         // server: the client has sent a close packet, and the server waits for its last poll
	stateClosing         // this side is closing the session: it flushes and sends the close frame or packet
	stateCloseSent       // this side has sent it, or is sending it, and waits for the peer's confirmation
	stateClosed
)

// closing reports whether this side is closing the session.
func (s state) closing() bool { return s == stateClosing || s == stateCloseSent }

// reader is the phase of the goroutine that calls Read.
type reader uint8

const (
	readerOutside  reader = iota
	readerReplying        // server: outside; Read has returned a message, and no further input is buffered
	readerInside          // in Read, or Close is draining the stream
)

// stopReplies ends readerReplying, because the session is no longer open.
func (r *reader) stopReplies() {
	if *r == readerReplying {
		*r = readerOutside
	}
}

// config holds the settings that all sockets of a server share. At a client it belongs to one socket.
type config struct {
	pingInterval    time.Duration
	pingTimeout     time.Duration
	upgradeTimeout  time.Duration
	wire            wire.Config
	queueLimit      int
	smallQueue      int // bytes up to which a queue is no backlog
	sendBudget      *sendBudget
	receiveLimit    *receivelimit.Limit
	unadmittedLimit *receivelimit.Limit // for the messages of unadmitted peers; nil without Admission
	log             *slog.Logger
	server          *Server // nil at a client
	timers          *timers
	wg              *sync.WaitGroup // counts every goroutine of these sockets
}

func newSocket(ctx context.Context, id string, rev Revision, transport Transport, conf *config) *Socket {
	s := &Socket{id: id, rev: rev, conf: conf}
	if transport == Polling {
		s.phase = phasePolling
	}
	s.cond.L = &s.mu
	s.ctx.ctx = ctx
	return s
}

// ID returns the session's ID. It is a secret: a peer that knows it controls the session, so do not show it to other
// peers.
func (s *Socket) ID() string { return s.id }

// Revision returns the protocol revision that the session speaks.
func (s *Socket) Revision() Revision { return s.rev }

// Transport returns the session's current transport.
func (s *Socket) Transport() Transport {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.phase.polls():
		return Polling
	case s.stream.IsWebTransport():
		return WebTransport
	default:
		return WebSocket
	}
}

// Queued returns the number of bytes that wait to be written or are being written. It includes the overhead of each
// message.
func (s *Socket) Queued() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queued
}

// Request returns a copy of the request that opened the session, without its body: method, URL, host, remote address,
// TLS state and the header fields that do not concern the connection. Each call makes a new copy. At a client, Request
// returns nil.
func (s *Socket) Request() *http.Request {
	if s.savedRequest == nil {
		return nil
	}
	return s.savedRequest.request()
}

// Context returns a context that is done when the session has ended; context.Cause then returns the *CloseError. At a
// server its parent is the context that ServerOptions.SessionContext returned.
func (s *Socket) Context() context.Context { return &s.ctx }

// finish ends the session at once, if it has not ended yet. connErr is the error of the stream, or nil if it did not
// fail.
func (s *Socket) finish(e *CloseError, connErr error) {
	if s.client == nil {
		s.conf.server.remove(s) // first, so that Server.session no longer finds s
	}
	s.mu.Lock()
	if s.state == stateClosed {
		s.mu.Unlock()
		return
	}
	s.state = stateClosed
	s.closeErr = e
	s.reader.stopReplies()
	if !e.Remote {
		s.inbox = nil // this side does not read any more
	}
	s.conf.timers.stop(s)
	s.queue, s.queued = nil, 0
	s.endBacklog()
	if s.poll != nil {
		s.poll.release()
	}
	s.abortBody()
	conn, probe := s.stream, s.probe
	if s.client != nil && conn != nil && !conn.IsWebTransport() && e.failed() {
		s.client.recordHint(false) // the next session must not start on a WebSocket
	}
	s.ctx.end(e) // under the lock, so that the context is done for every goroutine that sees the end
	s.cond.Broadcast()
	if conn.NeedsCloseFrame(connErr) { // a close frame follows, which must not be written into the middle of another frame
		s.awaitWriter(conn)
		s.writing = true // never cleared
	}
	s.mu.Unlock()

	if conn != nil {
		conn.End(connErr)
	}
	if probe != nil {
		probe.End(nil)
	}
	if s.client != nil {
		s.client.release(e.failed())
		s.conf.wg.Done()
	}
	s.conf.log.Debug("engineio: session ended", "reason", e.Reason, "remote", e.Remote, "error", e.Err)
}

// awaitWriter waits until no goroutine writes to conn. It closes conn if the writer takes longer than
// wire.CloseFrameTimeout. If no goroutine writes, it starts no timer: on a machine that pauses for a second, even a
// timer that is stopped at once could ring and close a working connection. The caller holds s.mu.
func (s *Socket) awaitWriter(conn *wire.Stream) {
	if !s.writing {
		return
	}
	defer time.AfterFunc(wire.CloseFrameTimeout, func() { conn.Close() }).Stop()
	for s.writing {
		s.cond.Wait()
	}
}

// closedError returns the error for calls on a session that is closing or has ended. The caller holds s.mu.
func (s *Socket) closedError() error { return s.closeErr }

// waitFor waits until done returns true, the context ends, or the session ends. The caller holds s.mu.
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
