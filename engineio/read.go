package engineio

import (
	"context"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Read returns the next message. Messages come in the order in which the peer sent them, also across an upgrade.
//
// Exactly one goroutine must stay in Read, or come back to it soon: Read also answers heartbeats, notices the peer's
// goodbye, moves to the new transport at an upgrade and, at a client, polls. A ping of a revision 3 client is answered
// only when all messages before it were returned and Read is called again, so that the answer means that they were
// dealt with. Those who only write call Discard instead.
//
// Read returns ErrUnadmitted once, and the session stays open, when an unadmitted peer has sent all that the server reads
// of it: see Admission. The next Read waits for the end of the session.
//
// When the session has ended and everything that came before its end was returned, the error is a *CloseError. When ctx
// ends, Read ends the session.
func (s *Socket) Read(ctx context.Context) (Message, error) { return s.ReadInto(ctx, nil) }

// ReadInto is Read, for those who deal with a message before they read the next: the message may stand in buf, whatever
// buf holds, if its capacity is enough. Data then is a slice of it.
func (s *Socket) ReadInto(ctx context.Context, buf []byte) (m Message, err error) {
	// An idle session on a stream waits in await. The calls down to it are few and their frames small, because the
	// size of the goroutine's stack, and so of an idle session, depends on them: 2 KB or 4.
	if ctx != s.Context() && ctx.Done() != nil {
		return s.readUntil(ctx, buf)
	}
	if s.client != nil {
		s.wake()
	}
	conn, err := s.beginRead()
	m.Data = buf[:0]
	for done := err != nil; !done; {
		if conn != nil {
			conn.await()
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

// Ready tells whether Read would return a message without waiting. It may say no although there is one. It belongs to the
// goroutine that calls Read, which may gather what it has to send to others, until Ready says no, and send it together.
func (s *Socket) Ready() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.state != stateOpen:
		return false
	case len(s.inbox) > 0:
		return s.inbox[0].Type == packet.Message
	default:
		return s.stream != nil && s.stream.holdsMessage()
	}
}

// beginRead makes the caller the one who reads. It returns where from.
func (s *Socket) beginRead() (*stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading {
		if s.state == stateOpen {
			return nil, ErrConcurrentRead
		}
		for s.state != stateClosed { // Close is draining the connection
			s.cond.Wait()
		}
		return nil, s.closedError()
	}
	s.reading, s.inline = true, false
	return s.source(), nil
}

// source returns the stream that the next packet is to come from; nil if it is to come from elsewhere. The caller
// holds s.mu.
func (s *Socket) source() *stream {
	if len(s.inbox) > 0 && s.state != stateClosing || s.state == stateClosed {
		return nil
	}
	return s.stream
}

// advance takes one packet and deals with it. It is done, and nobody is reading any more, when m or err is to be
// returned; otherwise it returns the next source. What m.Data has at first is memory for a short message.
func (s *Socket) advance(conn *stream, m *Message, err *error) (next *stream, done bool) {
	var p packet.Packet
	var failure error
	if conn != nil {
		if p, failure = conn.readPacket(); failure != nil && !s.pausedBy(failure) {
			s.streamEnded(failure)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	received := conn != nil && failure == nil
	if conn == nil {
		p, received = s.takePolled()
	}
	if received && s.state == stateClosing {
		s.endIfConfirmed(p.Type)
	} else if received {
		ended := s.handle(p)
		if p.Type == packet.Message {
			m.Binary = p.Binary
			if conn == nil || !conn.inPlace {
				m.Data = p.Data
			} else {
				m.Data = append(m.Data, p.Data...)
			}
			s.reading = false
			s.inline = s.state == stateOpen && conn != nil && conn.raw != nil && conn.buffered() == 0
			return nil, true
		}
		if ended != nil {
			s.mu.Unlock()
			s.finish(ended, &frameError{reason: ended.Reason, err: ended.Err})
			s.mu.Lock()
		}
	}
	if s.state == stateClosed && len(s.inbox) == 0 {
		s.reading = false
		*err = s.closedError()
		return nil, true
	}
	if s.exhausted() {
		s.admission, s.reading = stalled, false
		s.cond.Broadcast() // a POST that waits for the admission
		*err = ErrUnadmitted
		return nil, true
	}
	return s.source(), false
}

// endIfConfirmed ends the session if the packet that came while closing is the answer to the ping with which a server
// takes its leave by WebTransport. The caller holds s.mu, which is released meanwhile.
//
//go:noinline // its variables must not be in the frame of advance, see Socket.Read
func (s *Socket) endIfConfirmed(t packet.Type) {
	if t != packet.Pong || s.conf.server == nil || s.stream == nil || s.stream.framing != lengthFrames {
		return
	}
	if s.awaitingPong {
		s.awaitingPong = false // that of the heartbeat comes before
		return
	}
	if e := s.closeErr; s.goodbye {
		s.mu.Unlock()
		s.finish(e, nil)
		s.mu.Lock()
	}
}

// takePolled returns the next packet that came by polling, waiting for it; a client polls for it. When the session has
// moved to a stream or has ended, there is none. The caller holds s.mu, which is released while waiting.
func (s *Socket) takePolled() (packet.Packet, bool) {
	for {
		switch {
		case len(s.inbox) > 0 && s.state != stateClosing:
			p := s.inbox[0]
			if s.inbox = s.inbox[1:]; len(s.inbox) == 0 {
				s.inbox = nil
				s.cond.Broadcast() // the next POST may come in
			}
			return p, true
		case s.state == stateClosed, s.stream != nil, s.exhausted():
			return packet.Packet{}, false
		case s.client != nil && !s.upgrading && s.state == stateOpen:
			s.getting = true
			s.mu.Unlock()
			packets, err := s.client.get()
			s.mu.Lock()
			if err != nil && s.state == stateOpen { // while closing, a server may have forgotten the session already
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

// Discard reads and drops all that comes, on a goroutine of the socket's own. It returns at once. Read must not be
// called after it.
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
	closing, goodbye, e := s.state == stateClosing, s.goodbye, s.closeErr
	s.mu.Unlock()
	if !closing {
		e = closeReason(err)
	} else if goodbye {
		err = nil // nothing may follow our close frame
	}
	s.finish(e, err)
}

// handle deals with one packet, other than to pass a message on. It says why the session must end, if it must. The caller
// holds s.mu.
func (s *Socket) handle(p packet.Packet) (ended *CloseError) {
	s.heardFrom()
	switch p.Type {
	case packet.Ping:
		if !s.receivesPings() {
			return wrongHeartbeat(p.Type)
		}
		s.pinged()
		return s.pushControl(pongPacket)
	case packet.Pong:
		if s.receivesPings() {
			return wrongHeartbeat(p.Type)
		}
		s.ponged()
	case packet.Close:
		return &CloseError{Reason: ReasonTransportClose, Remote: true}
	case packet.Message, packet.Open, packet.Upgrade, packet.Noop:
		// Nothing to do; the reference ignores all but messages too.
	}
	return nil
}

var errHeartbeatDirection = errors.New("engineio: invalid heartbeat direction")

func wrongHeartbeat(t packet.Type) *CloseError {
	return &CloseError{Reason: ReasonTransportError, Remote: true, Err: fmt.Errorf("%w: packet type %d", errHeartbeatDirection, t)}
}
