package engineio

import (
	"context"
	"errors"
	"time"
)

// In revision 4 the server pings, in revision 3 the client.
func (s *Socket) receivesPings() bool { return (s.conf.server != nil) == (s.rev == Revision3) }

// startHeartbeat sets the alarm, at the handshake and not at the first poll.
func (s *Socket) startHeartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen { // the session ends already, and has set the alarm for it
		return
	}
	first := s.conf.pingInterval
	if s.receivesPings() {
		first += s.conf.pingTimeout
	}
	s.deadline = time.Now().Add(first)
	s.beating = true
	s.conf.alarms.after(s, first)
}

// expireIn lets the alarm act after d. The caller holds s.mu.
func (s *Socket) expireIn(d time.Duration) {
	s.deadline = time.Now().Add(d)
	if s.beating {
		s.conf.alarms.after(s, d)
	}
}

// tick acts when the alarm rings.
func (s *Socket) tick() {
	s.mu.Lock()
	switch left := time.Until(s.deadline); {
	case s.state == stateClosed:
	case s.state == stateLeaving: // whatever the deadline: a pong that is read late moves it
		e := s.closeErr
		s.mu.Unlock()
		s.finish(e, nil)
		return
	case left > 0: // the deadline has moved
		if s.awaitingPong {
			left = min(left, s.conf.pingInterval) // the pong will move it, maybe ahead
		}
		s.conf.alarms.after(s, left)
	case s.state == stateClosing && s.lookAtKernel() && time.Now().Before(s.backlog.closeBy):
		s.deadline = s.closeDeadline(time.Now())
		s.conf.alarms.after(s, time.Until(s.deadline))
	case s.state == stateClosing:
		e := s.closeErr
		s.mu.Unlock()
		s.finish(e, nil)
		return
	case s.receivesPings() || s.awaitingPong:
		s.mu.Unlock()
		s.finish(&CloseError{Reason: ReasonPingTimeout, Remote: true}, nil)
		return
	default:
		s.awaitingPong, s.graced = true, false
		s.deadline = time.Now().Add(s.conf.pingTimeout)
		s.conf.alarms.after(s, min(s.conf.pingTimeout, s.conf.pingInterval))
		if e := s.ping(); e != nil {
			s.mu.Unlock()
			s.finish(e, nil)
			return
		}
	}
	s.mu.Unlock()
}

// wake ends a client's session whose time is over by the wall clock. While a machine sleeps, so do its timers: for them
// the peer was silent for less than it was, and a write to a connection that is long gone would seem to succeed.
//
//go:noinline // Read's frame must stay small
func (s *Socket) wake() {
	s.mu.Lock()
	end := s.deadline
	if !s.receivesPings() && !s.awaitingPong { // the deadline is when to ping, which no server waits for any longer
		end = end.Add(s.conf.pingTimeout)
	}
	over := s.state == stateOpen && time.Now().Round(0).After(end.Round(0)) // Round strips the monotonic clock
	s.mu.Unlock()
	if over {
		s.finish(&CloseError{Reason: ReasonPingTimeout, Remote: true}, nil)
	}
}

// ping queues a ping. The caller holds s.mu.
func (s *Socket) ping() *CloseError {
	e := s.pushControl(pingPacket)
	if e == nil && s.client != nil {
		s.client.pings++
	}
	return e
}

// pinged moves the deadline of a side that waits for pings. The alarm is not touched: when it rings, it sees that there
// is time left. The caller holds s.mu.
func (s *Socket) pinged() { s.deadline = time.Now().Add(s.conf.pingInterval + s.conf.pingTimeout) }

// ponged starts the next interval of a side that sends pings. The caller holds s.mu.
func (s *Socket) ponged() {
	if s.client != nil {
		s.client.pongs++
	}
	s.awaitingPong = false
	s.deadline = time.Now().Add(s.conf.pingInterval)
	s.cond.Broadcast()
}

// LastHeartbeat returns when the peer's last ping or pong came, or when the session began if none has. It means nothing
// once the session is closing.
func (s *Socket) LastHeartbeat() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	ahead := s.conf.pingInterval // of the heartbeat that the deadline was set by
	switch {
	case s.awaitingPong && s.graced:
		ahead = s.conf.pingTimeout
	case s.awaitingPong || s.receivesPings():
		ahead += s.conf.pingTimeout
	}
	return s.deadline.Add(-ahead)
}

// heardFrom gives a peer that owes a pong, but is sending something else, one more timeout: the pong may stand behind
// much data. engine.io does so since 6.6.12. The caller holds s.mu.
func (s *Socket) heardFrom() {
	if s.awaitingPong && !s.graced {
		s.graced = true
		s.deadline = time.Now().Add(s.conf.pingTimeout)
	}
}

var errNotRevision3Client = errors.New("engineio: Ping is for clients of revision 3")

// Ping sends a ping behind everything that was queued and returns when its answer has come, which means that the
// server has received, and a server of this package has dealt with, all that was written before. Only a client of
// revision 3 may send pings; for others Ping returns an error. Somebody must be in Read.
func (s *Socket) Ping(ctx context.Context) error {
	if s.client == nil || s.rev != Revision3 {
		return errNotRevision3Client
	}
	s.wake()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return s.closedError()
	}
	if e := s.ping(); e != nil {
		return ErrQueueFull
	}
	mine := s.client.pings
	return s.waitFor(ctx, func() bool { return s.client.pongs >= mine })
}
