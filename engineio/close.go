package engineio

import (
	"time"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Close ends the session in good order: what was queued is sent, the peer is told, and Close returns when the peer has
// confirmed it. A peer that takes nothing of it for 5 s, or a polling client that does not poll for 30 s, is not waited for
// any longer; nor is any peer after 2 minutes. An upgrade under way is finished first. Messages that were received and not yet read are dropped. Close may be called
// more than once and from within ServeSocket; it returns nil.
func (s *Socket) Close() error {
	s.beginClose(nil)
	s.mu.Lock()
	for s.state != stateClosed {
		if s.stream != nil && !s.reading {
			// Nobody is there to see the peer's goodbye.
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

// Abort ends the session at once: nothing is flushed, and Abort does not wait for anything. The session's CloseError
// has the reason "forced close" and wraps cause, which may be nil.
func (s *Socket) Abort(cause error) {
	s.finish(&CloseError{Reason: ReasonForcedClose, Err: cause}, nil)
}

// beginClose starts what Close waits for.
func (s *Socket) beginClose(cause error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen {
		return
	}
	s.state, s.closeErr = stateClosing, &CloseError{Reason: ReasonForcedClose, Err: cause}
	s.inline = false
	s.inbox = nil
	now := time.Now()
	if s.backlog == nil {
		s.backlog = &backlog{shrank: now}
	}
	s.backlog.closeBy = now.Add(closeLimit)
	s.lookAtKernel()
	s.deadline = s.closeDeadline(now)
	s.conf.alarms.after(s, s.deadline.Sub(now))
	s.cond.Broadcast()
	s.kick()
}

// closeDeadline returns when a session that is closing ends, if the peer takes nothing more after now. The caller holds s.mu.
func (s *Socket) closeDeadline(now time.Time) time.Time {
	timeout := closeTimeout
	switch {
	case s.stream == nil && s.conf.server != nil:
		timeout = pollCloseTimeout
	case s.upgrading: // it ends by then, and what is queued leaves one way or the other
		timeout += s.conf.upgradeTimeout
	}
	if end := now.Add(timeout); end.Before(s.backlog.closeBy) {
		return end
	}
	return s.backlog.closeBy
}

// sayGoodbye sends the close frame, or at a polling client the close packet. A polling server says it in the answer to a
// poll. The caller holds s.mu, which is released while sending, and owns s.writing.
func (s *Socket) sayGoodbye() {
	s.goodbye = true
	conn, closed := s.stream, s.closeErr
	if conn == nil && !s.getting {
		// A server may hold the close packet up until a poll is there that it can answer.
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
		err = conn.sayGoodbye()
	} else if _, err = s.client.post([]*outgoing{{typ: packet.Close}}); err == nil {
		s.mu.Lock()
		s.waitAtMost(lastPollTimeout, func() bool { return !s.getting }) // the poll takes the end of the session
		s.mu.Unlock()
		s.finish(closed, nil)
	}
	if err != nil {
		s.finish(&CloseError{Reason: ReasonForcedClose, Err: err}, nil)
	}
	s.mu.Lock()
	if conn != nil && s.state == stateClosing {
		s.expireIn(closeTimeout) // the peer's turn
	}
}
