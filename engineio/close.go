package engineio

import (
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// Close ends the session in good order: it sends the queued messages and a close frame or packet, and returns when the
// peer has confirmed the close. Close gives up a peer that accepts no data for 5 s, a polling client that does not poll
// for 30 s, and any peer after 2 minutes. If an upgrade is in progress, Close finishes it first. Close drops messages
// that were received and not yet read. Close may be called more than once, and from within ServeSocket. It returns nil.
func (s *Socket) Close() error {
	s.beginClose(nil)
	s.mu.Lock()
	for s.state != stateClosed {
		if s.stream != nil && s.reader != readerInside {
			// No goroutine reads, so Close itself reads until the peer's close.
			s.mu.Unlock()
			_, _ = s.Read(s.Context())
			s.mu.Lock()
			continue
		}
		s.cond.Wait()
	}
	s.mu.Unlock()
	if s.client != nil {
		s.client.wait()
	}
	return nil
}

// Abort ends the session at once: it does not send queued messages and does not wait. The session's CloseError has the
// reason "forced close" and wraps cause, which may be nil.
func (s *Socket) Abort(cause error) {
	s.finish(&CloseError{Reason: ReasonForcedClose, Err: cause}, nil)
}

// beginClose starts the close without waiting for its end.
func (s *Socket) beginClose(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return
	}
	s.state, s.closeErr = stateClosing, &CloseError{Reason: ReasonForcedClose, Err: cause}
	s.reader.stopReplies()
	s.inbox = nil
	now := time.Now()
	if s.backlog == nil {
		s.backlog = &backlog{shrank: now}
	}
	s.backlog.closeBy = now.Add(closeLimit)
	s.lookAtKernel()
	s.deadline = s.closeDeadline(now)
	s.conf.timers.set(s, s.deadline.Sub(now))
	s.cond.Broadcast()
	s.kick()
}

// closeDeadline returns the time at which a closing session ends if the peer accepts no more data after now. The caller
// holds s.mu.
func (s *Socket) closeDeadline(now time.Time) time.Time {
	timeout := closeTimeout
	switch {
	case s.stream == nil && s.client == nil:
		timeout = pollCloseTimeout
	case s.phase.upgrades(): // the upgrade has ended by then, and the queue leaves on one of the two transports
		timeout += s.conf.upgradeTimeout
	}
	if end := now.Add(timeout); end.Before(s.backlog.closeBy) {
		return end
	}
	return s.backlog.closeBy
}

// sendClose sends the close frame, or the close packet at a polling client. A polling server sends the close packet in
// the response to a poll instead. The caller holds s.mu, which is released while sending, and owns s.writing.
func (s *Socket) sendClose() {
	s.state = stateCloseSent
	conn, closed := s.stream, s.closeErr
	if conn == nil && !s.getting {
		// A server may not respond to the close packet until it has a poll to respond to.
		s.getting = true
		s.conf.wg.Go(func() {
			_, _ = s.client.get()
			s.mu.Lock()
			defer s.mu.Unlock()
			s.getting = false
			s.cond.Broadcast()
		})
	}
	s.mu.Unlock()
	var err error
	if conn != nil {
		err = conn.WriteGoodbye()
	} else if _, err = s.client.post([]*wire.Outgoing{wire.EncodeOnce(packet.Packet{Type: packet.Close})}); err == nil {
		s.mu.Lock()
		s.waitAtMost(lastPollTimeout, func() bool { return !s.getting }) // the poll returns the end of the session
		s.mu.Unlock()
		s.finish(closed, nil)
	}
	if err != nil {
		s.finish(&CloseError{Reason: ReasonForcedClose, Err: err}, nil)
	}
	s.mu.Lock()
	if conn != nil && s.state.closing() {
		s.setDeadline(closeTimeout) // now the peer must confirm
	}
}
