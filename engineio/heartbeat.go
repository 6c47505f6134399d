package engineio

import (
	"context"
	"errors"
	"time"
)

// heartbeat is the phase of a session's heartbeat. A side that receives the pings stays in heartbeatQuiet.
type heartbeat uint8

const (
	heartbeatOff      heartbeat = iota // the heartbeat has not started
	heartbeatQuiet                     // no pong is due
	heartbeatAwaiting                  // this side has sent a ping and awaits the pong
	heartbeatGraced                    // the same, and the deadline for the pong was extended: see extendPongDeadline
)

// awaitsPong reports whether this side has sent a ping and awaits the pong. The caller holds s.mu.
func (s *Socket) awaitsPong() bool { return s.heartbeat >= heartbeatAwaiting }

// receivesPings reports whether the peer sends the pings. In revision 4 the server sends them, in revision 3 the
// client.
func (s *Socket) receivesPings() bool { return (s.client == nil) == (s.rev == Revision3) }

// startHeartbeat sets the first timer at the handshake, not at the first poll.
func (s *Socket) startHeartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen { // the session is ending and has set its own timer
		return
	}
	first := s.conf.pingInterval
	if s.receivesPings() {
		first += s.conf.pingTimeout
	}
	s.deadline = time.Now().Add(first)
	s.heartbeat = heartbeatQuiet
	s.conf.timers.set(s, first)
}

// setDeadline sets the deadline, and the timer once the heartbeat has started, to d from now. The caller holds s.mu.
func (s *Socket) setDeadline(d time.Duration) {
	s.deadline = time.Now().Add(d)
	if s.heartbeat != heartbeatOff {
		s.conf.timers.set(s, d)
	}
}

// onTimer runs when the socket's timer fires.
func (s *Socket) onTimer() {
	s.mu.Lock()
	switch left := time.Until(s.deadline); {
	case s.state == stateClosed:
	case s.state == stateLeaving: // even before the deadline, which a late pong moves
		e := s.closeErr
		s.mu.Unlock()
		s.finish(e, nil)
		return
	case left > 0: // the deadline has moved
		if s.awaitsPong() {
			left = min(left, s.conf.pingInterval) // the pong will move the deadline, possibly to an earlier time
		}
		s.conf.timers.set(s, left)
	case s.state.closing() && s.lookAtKernel() && time.Now().Before(s.backlog.closeBy):
		s.deadline = s.closeDeadline(time.Now())
		s.conf.timers.set(s, time.Until(s.deadline))
	case s.state.closing():
		e := s.closeErr
		s.mu.Unlock()
		s.finish(e, nil)
		return
	case s.receivesPings() || s.awaitsPong():
		s.mu.Unlock()
		s.finish(&CloseError{Reason: ReasonPingTimeout, Remote: true}, nil)
		return
	default:
		s.heartbeat = heartbeatAwaiting
		s.deadline = time.Now().Add(s.conf.pingTimeout)
		s.conf.timers.set(s, min(s.conf.pingTimeout, s.conf.pingInterval))
		if e := s.ping(); e != nil {
			s.mu.Unlock()
			s.finish(e, nil)
			return
		}
	}
	s.mu.Unlock()
}

// checkDeadline ends a client's session whose deadline has passed by the wall clock. Timers stop while a machine
// sleeps: they do not count all of the peer's silence, and a write to a dead connection would seem to succeed.
//
//go:noinline // Read's frame must stay small
func (s *Socket) checkDeadline() {
	s.mu.Lock()
	end := s.deadline
	if !s.receivesPings() && !s.awaitsPong() { // the deadline is the time to ping; a server waits for that ping only for PingTimeout longer
		end = end.Add(s.conf.pingTimeout)
	}
	over := s.state == stateOpen && time.Now().Round(0).After(end.Round(0)) // Round(0) removes the monotonic clock reading
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

// onPing moves the deadline of a side that receives pings. It does not set the timer: when the timer fires, onTimer
// sees the new deadline. The caller holds s.mu.
func (s *Socket) onPing() { s.deadline = time.Now().Add(s.conf.pingInterval + s.conf.pingTimeout) }

// onPong starts the next interval of a side that sends pings. The caller holds s.mu.
func (s *Socket) onPong() {
	if s.client != nil {
		s.client.pongs++
	}
	s.heartbeat = heartbeatQuiet
	s.deadline = time.Now().Add(s.conf.pingInterval)
	s.cond.Broadcast()
}

// LastHeartbeat returns when the peer's last ping or pong came, or when the session began if none has come. Its result
// is meaningless once the session is closing.
func (s *Socket) LastHeartbeat() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	ahead := s.conf.pingInterval // how far the last heartbeat set the deadline ahead
	switch {
	case s.heartbeat == heartbeatGraced:
		ahead = s.conf.pingTimeout
	case s.awaitsPong() || s.receivesPings():
		ahead += s.conf.pingTimeout
	}
	return s.deadline.Add(-ahead)
}

// extendPongDeadline gives a peer one more timeout if it owes a pong but sends other packets: the pong may be queued
// after much data. engine.io does so since 6.6.12. The caller holds s.mu.
func (s *Socket) extendPongDeadline() {
	if s.heartbeat == heartbeatAwaiting {
		s.heartbeat = heartbeatGraced
		s.deadline = time.Now().Add(s.conf.pingTimeout)
	}
}

var errNotRevision3Client = errors.New("engineio: Ping is for clients of revision 3")

// Ping sends a ping after all queued messages and returns when the reply has come. The reply means that the server has
// received all earlier messages, and that a server of this package has processed them. Only a client of revision 3 may
// send pings; for other sockets Ping returns an error. A goroutine must be in Read.
func (s *Socket) Ping(ctx context.Context) error {
	if s.client == nil || s.rev != Revision3 {
		return errNotRevision3Client
	}
	s.checkDeadline()
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
