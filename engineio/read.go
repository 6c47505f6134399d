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
// When the session has ended and everything that came before its end was returned, the error is a *CloseError. When ctx
// ends, Read ends the session.
func (s *Socket) Read(ctx context.Context) (Message, error) {
	if ctx.Done() != nil && ctx != s.ctx {
		defer context.AfterFunc(ctx, func() { s.Abort(context.Cause(ctx)) })()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.reading {
		if s.state != stateOpen { // Close is draining the connection
			for s.state != stateClosed {
				s.cond.Wait()
			}
			return Message{}, s.closedError()
		}
		return Message{}, ErrConcurrentRead
	}
	s.reading, s.inline = true, false
	m, err := s.read()
	s.reading = false
	s.inline = err == nil && s.state == stateOpen && s.ws != nil && s.ws.raw != nil && s.ws.in.buffered() == 0
	return m, err
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
			if _, err := s.Read(s.ctx); err != nil {
				return
			}
		}
	})
}

// read returns the next message. The caller holds s.mu and has set s.reading.
func (s *Socket) read() (Message, error) {
	for {
		var p packet.Packet
		switch {
		case len(s.inbox) > 0 && s.state != stateClosing:
			p = s.inbox[0]
			if s.inbox = s.inbox[1:]; len(s.inbox) == 0 {
				s.inbox = nil
				s.cond.Broadcast() // the next POST may come in
			}
		case s.state == stateClosed:
			return Message{}, s.closedError()
		case s.ws != nil:
			conn := s.ws
			s.mu.Unlock()
			var err error
			if p, err = conn.readPacket(); err != nil {
				s.wsEnded(err)
			}
			s.mu.Lock()
			if err != nil || s.state == stateClosing {
				continue
			}
		case s.client != nil && !s.upgrading && s.state == stateOpen:
			s.getting = true
			s.mu.Unlock()
			packets, err := s.client.get(s)
			if err != nil {
				s.finish(&CloseError{Reason: ReasonTransportError, Remote: true, Err: err}, nil)
			}
			s.mu.Lock()
			s.getting = false
			s.inbox = append(s.inbox, packets...)
			s.cond.Broadcast() // an upgrade may wait for the end of the poll
			continue
		default:
			s.cond.Wait()
			continue
		}
		m, ok, failure := s.handle(p)
		if ok {
			return m, nil
		}
		if failure != nil {
			s.mu.Unlock()
			s.finish(failure, &frameError{reason: failure.Reason, err: failure.Err})
			s.mu.Lock()
		}
	}
}

// wsEnded ends the session after its WebSocket failed or was closed.
func (s *Socket) wsEnded(err error) {
	s.mu.Lock()
	closing, goodbye, cause := s.state == stateClosing, s.goodbye, s.cause
	s.mu.Unlock()
	if closing {
		if goodbye {
			err = nil // nothing may follow our close frame
		}
		s.finish(&CloseError{Reason: ReasonForcedClose, Err: cause}, err)
		return
	}
	s.finish(closeReason(err), err)
}

// handle deals with one packet. It returns a message for the caller of Read, or why the session must end. The caller
// holds s.mu.
func (s *Socket) handle(p packet.Packet) (m Message, ok bool, failure *CloseError) {
	s.heardFrom()
	switch p.Type {
	case packet.Message:
		return Message{Binary: p.Binary, Data: p.Data}, true, nil
	case packet.Ping:
		if !s.receivesPings() {
			return m, false, wrongHeartbeat(p.Type)
		}
		s.pinged()
		failure = s.pushControl(pongPacket)
	case packet.Pong:
		if s.receivesPings() {
			return m, false, wrongHeartbeat(p.Type)
		}
		s.ponged()
	case packet.Close:
		failure = &CloseError{Reason: ReasonTransportClose, Remote: true}
	case packet.Open, packet.Upgrade, packet.Noop:
		// Nothing to do; the reference ignores them too.
	}
	return m, false, failure
}

var errHeartbeatDirection = errors.New("engineio: invalid heartbeat direction")

func wrongHeartbeat(t packet.Type) *CloseError {
	return &CloseError{Reason: ReasonTransportError, Remote: true, Err: fmt.Errorf("%w: packet type %d", errHeartbeatDirection, t)}
}
