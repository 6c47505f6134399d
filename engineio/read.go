package engineio

import (
	"context"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// Read returns the next message. It returns messages in the order in which the peer sent them, also during an upgrade.
//
// Exactly one goroutine must stay in Read, or return to it soon: Read also replies to heartbeats, handles the peer's
// close, moves to the new transport during an upgrade and, at a client, polls. The server replies to a ping of a
// revision 3 client only when Read has returned all messages before it and is called again. So the reply means that the
// handler has processed these messages. A program that only writes calls Discard instead.
//
// When an unadmitted peer has sent all that the server reads before admission, Read returns ErrUnadmitted once, and the
// session stays open: see Admission. The next Read waits for the end of the session.
//
// If the peer ends the session, Read first returns the messages that came before the end. After them, or after an end
// by this side, Read returns a *CloseError. When ctx ends, Read ends the session.
func (s *Socket) Read(ctx context.Context) (Message, error) { return s.ReadInto(ctx, nil) }

// ReadInto is like Read, for callers that process a message before they read the next one. It may store the message in
// the memory of buf, if that is large enough. Data is then a slice of buf, and the earlier contents are overwritten.
func (s *Socket) ReadInto(ctx context.Context, buf []byte) (m Message, err error) {
	// An idle session on a stream waits in Await. The calls down to Await are few and their frames are small, because
	// they decide whether the stack of the goroutine, and so an idle session, needs 2 KB or 4 KB.
	if ctx != s.Context() && ctx.Done() != nil {
		return s.readUntil(ctx, buf)
	}
	if s.client != nil {
		s.checkDeadline()
	}
	conn, err := s.beginRead()
	m.Data = buf[:0]
	for done := err != nil; !done; {
		if conn != nil {
			conn.Await()
		}
		conn, done = s.advance(conn, &m, &err)
	}
	if err != nil {
		return Message{}, err
	}
	return m, nil
}

func (s *Socket) readUntil(ctx context.Context, buf []byte) (Message, error) {
	defer context.AfterFunc(ctx, func() { s.Abort(context.Cause(ctx)) })()
	return s.ReadInto(s.Context(), buf)
}

// Ready reports whether a whole message is buffered, so that Read would not wait. Read may still fail. Ready may return
// false although there is a message. Only the goroutine that calls Read may call Ready. That goroutine may collect
// messages for other peers until Ready returns false, and then send them together.
func (s *Socket) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != stateOpen:
		return false
	case len(s.inbox) > 0:
		return s.inbox[0].Type == packet.Message
	default:
		return s.stream != nil && s.stream.HoldsMessage()
	}
}

// beginRead makes the caller the reader. It returns the stream to read from, or nil.
func (s *Socket) beginRead() (*wire.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reader == readerInside {
		if s.state == stateOpen {
			return nil, ErrConcurrentRead
		}
		for s.state != stateClosed { // Close is reading until the peer's close
			s.cond.Wait()
		}
		return nil, s.closedError()
	}
	s.reader = readerInside
	return s.source(), nil
}

// source returns the stream from which the next packet must come, or nil if the packet does not come from a stream. The
// caller holds s.mu.
func (s *Socket) source() *wire.Stream {
	if len(s.inbox) > 0 && !s.state.closing() || s.state == stateClosed {
		return nil
	}
	return s.stream
}

// advance takes one packet and handles it. If the caller must return m or err, done is true and the caller is no longer
// the reader. Otherwise advance returns the next source. On entry m.Data is empty, and its capacity is memory
// that the message may use.
func (s *Socket) advance(conn *wire.Stream, m *Message, err *error) (next *wire.Stream, done bool) {
	var p packet.Packet
	var failure error
	if conn != nil {
		if p, failure = conn.ReadPacket(); failure != nil && !s.pausedBy(failure) {
			s.streamEnded(failure)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	received := conn != nil && failure == nil
	if conn == nil {
		p, received = s.takePolled()
	}
	if received && s.state.closing() {
		s.endIfConfirmed(p.Type)
	} else if received {
		ended := s.handle(p)
		if p.Type == packet.Message {
			m.Binary = p.Binary
			if conn == nil || !conn.InPlace() {
				m.Data = p.Data
			} else {
				m.Data = append(m.Data, p.Data...)
			}
			s.reader = readerOutside
			if s.client == nil && s.state == stateOpen && conn != nil && conn.CanWriteNow() && conn.Buffered() == 0 {
				s.reader = readerReplying
			}
			return nil, true
		}
		if ended != nil {
			s.mu.Unlock()
			s.finish(ended, wire.ErrCloseFrame)
			s.mu.Lock()
		}
	}
	if s.state == stateClosed && len(s.inbox) == 0 {
		s.reader = readerOutside
		*err = s.closedError()
		return nil, true
	}
	if s.exhausted() {
		s.admission, s.reader = stalled, readerOutside
		s.cond.Broadcast() // for a POST that waits for the admission
		*err = ErrUnadmitted
		return nil, true
	}
	return s.source(), false
}

// endIfConfirmed handles a packet that came while this side closes the session. A server that closes a WebTransport
// session sends a last ping, and the reply to it confirms the close. The caller holds s.mu, which is released while the
// session ends.
//
//go:noinline // its variables must not be in the frame of advance, see Socket.Read
func (s *Socket) endIfConfirmed(t packet.Type) {
	if t != packet.Pong || s.client != nil || !s.stream.IsWebTransport() {
		return
	}
	if s.awaitsPong() {
		s.heartbeat = heartbeatQuiet // the heartbeat's pong comes first
		return
	}
	if e := s.closeErr; s.state == stateCloseSent {
		s.mu.Unlock()
		s.finish(e, nil)
		s.mu.Lock()
	}
}

// takePolled waits for the next packet that comes by polling, and returns it; a client polls for it. It returns false
// when the session has moved to a stream or has ended, or when an unadmitted peer has sent all that the server reads
// before admission. The caller holds s.mu, which is released while waiting.
func (s *Socket) takePolled() (packet.Packet, bool) {
	for {
		switch {
		case len(s.inbox) > 0 && !s.state.closing():
			p := s.inbox[0]
			if s.inbox = s.inbox[1:]; len(s.inbox) == 0 {
				s.inbox = nil
				s.cond.Broadcast() // the next POST may proceed
			}
			return p, true
		case s.state == stateClosed, s.stream != nil, s.exhausted():
			return packet.Packet{}, false
		case s.client != nil && s.phase == phasePolling && s.state == stateOpen:
			s.getting = true
			s.mu.Unlock()
			packets, err := s.client.get()
			s.mu.Lock()
			if err != nil && s.state == stateOpen { // while this side closes, the server may have removed the session already
				s.mu.Unlock()
				s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: err}, nil)
				s.mu.Lock()
			}
			s.getting = false
			s.inbox = append(s.inbox, packets...)
			s.cond.Broadcast() // an upgrade may wait for the end of the poll
		default:
			s.cond.Wait()
		}
	}
}

// Discard reads and drops all messages on a separate goroutine. It returns at once. Do not call Read after Discard.
func (s *Socket) Discard() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed {
		return
	}
	s.conf.wg.Go(func() {
		for {
			if _, err := s.Read(s.Context()); err != nil {
				return
			}
		}
	})
}

// streamEnded ends the session after its stream failed or was closed.
func (s *Socket) streamEnded(err error) {
	s.mu.Lock()
	state, e := s.state, s.closeErr
	s.mu.Unlock()
	switch {
	case !state.closing():
		e = closeReason(err)
	case state == stateCloseSent:
		err = nil // no frame may follow our close frame
	}
	s.finish(e, err)
}

// handle handles one packet, except that it does not pass on messages. It returns the reason to end the session, or
// nil. The caller holds s.mu.
func (s *Socket) handle(p packet.Packet) (ended *CloseError) {
	s.extendPongDeadline()
	switch p.Type {
	case packet.Ping:
		if !s.receivesPings() {
			return wrongHeartbeat(p.Type)
		}
		s.onPing()
		return s.pushControl(pongPacket)
	case packet.Pong:
		if s.receivesPings() {
			return wrongHeartbeat(p.Type)
		}
		s.onPong()
	case packet.Close:
		return &CloseError{Reason: ReasonTransportClose, Remote: true}
	case packet.Message, packet.Open, packet.Upgrade, packet.Noop:
		// advance returns messages. The reference also ignores open, upgrade and noop packets here.
	}
	return nil
}

var errHeartbeatDirection = errors.New("engineio: invalid heartbeat direction")

func wrongHeartbeat(t packet.Type) *CloseError {
	return &CloseError{Reason: ReasonTransportError, Remote: true, Err: fmt.Errorf("%w: packet type %d", errHeartbeatDirection, t)}
}
