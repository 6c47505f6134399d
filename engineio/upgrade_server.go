package engineio

import (
	"crypto/tls"
	"time"

	"github.com/bigcompany/mesh/engineio/packet"
)

// upgradeOn moves a session whose upgrade has begun to c, unless that takes too long.
func (s *Socket) upgradeOn(c *stream) {
	defer s.conf.server.wg.Done()
	if !s.attachProbe(c) {
		s.abandonUpgrade(c, nil)
		return
	}
	var timeout *time.Timer
	over, late := false, false // guarded by s.mu, as timeout is
	s.mu.Lock()
	timeout = time.AfterFunc(s.conf.upgradeTimeout, func() {
		s.mu.Lock()
		switch {
		case over:
		case s.awaitsUpgrade():
			timeout.Reset(s.conf.upgradeTimeout)
		default:
			late = true
			defer func() { _ = c.conn.Close() }() // without the lock: it can take time
		}
		s.mu.Unlock()
	})
	s.mu.Unlock()
	err := s.answerProbe(c)
	s.mu.Lock()
	over = true
	timeout.Stop()
	failed := err != nil || late
	s.mu.Unlock()
	if failed {
		s.abandonUpgrade(c, err)
		return
	}
	s.completeUpgrade(c)
}

// awaitsUpgrade tells whether the client has no way back: once stock clients have their 3probe they stop polling, and if the
// probing stream ends before they have said 5 they neither poll nor send nor report anything. They may be slow, or wait
// for a POST that waits for the reader. The heartbeat ends a session whose client is gone. A client that polls on and on has
// not stopped. The caller holds s.mu.
func (s *Socket) awaitsUpgrade() bool {
	pollsOn := s.poll != nil && s.noops >= promptNoops
	return s.state == stateOpen && s.probed && !pollsOn
}

// beginUpgrade begins an upgrade whose stream is yet to come. It returns false if the session cannot be upgraded now. The
// caller ends the upgrade with upgradeOn or cancelUpgrade.
func (s *Socket) beginUpgrade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen || !s.polling || s.upgrading || s.conf.server.opts.NoUpgrade {
		return false
	}
	s.conf.server.wg.Add(1) // the session's own goroutine keeps the count above zero
	s.upgrading, s.quiet, s.noops = true, false, 0
	return true
}

// cancelUpgrade ends an upgrade that has no stream.
func (s *Socket) cancelUpgrade() {
	s.mu.Lock()
	s.endUpgrade()
	s.mu.Unlock()
	s.conf.server.wg.Done()
}

// endUpgrade leaves the session on the transport that it has. The caller holds s.mu.
func (s *Socket) endUpgrade() {
	s.upgrading, s.probe, s.probed = false, nil, false
	s.cond.Broadcast()
	if s.poll != nil {
		s.poll.release() // it may have a close to report
	}
	s.kick()
}

// attachProbe makes c the stream of the upgrade under way. It returns false if the session cannot move to c.
func (s *Socket) attachProbe(c *stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || !s.mayMoveTo(c) {
		return false
	}
	if c.raw != nil {
		c.pull = func(fd uintptr) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.quiet = !c.pullRaw(fd)
			if s.quiet {
				s.cond.Broadcast()
			}
			return !s.quiet
		}
	}
	s.probe = c
	s.cond.Broadcast()
	return true
}

// probeGrace is how long a poll that may have overtaken the client's 5 waits on TLS, which hides whether there is input.
const probeGrace = 10 * time.Millisecond

// awaitProbe waits until the server has dealt with all that the client sent on the probing stream before it sent a poll.
// After the client's 5 the poll must be rejected, but it comes on another connection, and so may be seen before the 5. The
// caller holds s.mu, which is released while waiting.
func (s *Socket) awaitProbe() {
	for s.upgrading && s.state != stateClosed {
		switch c := s.probe; {
		case c == nil: // its handshake is under way
		case c.raw == nil:
			if _, secure := c.conn.(*tls.Conn); secure && s.probed {
				s.waitAtMost(probeGrace, func() bool { return !s.upgrading })
			}
			return
		case s.quiet && !hasInput(c.raw):
			return
		}
		s.cond.Wait()
	}
}

// waitAtMost waits until done returns true or the session ends, but no longer than d. The caller holds s.mu, which is
// released while waiting.
func (s *Socket) waitAtMost(d time.Duration, done func() bool) {
	late := false // guarded by s.mu
	defer time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		late = true
		s.cond.Broadcast()
	}).Stop()
	for !late && s.state != stateClosed && !done() {
		s.cond.Wait()
	}
}

// answerProbe returns when the client has said 5. Only the probe and 5 may come before the session has moved.
func (s *Socket) answerProbe(c *stream) error {
	for {
		p, err := c.readPacket()
		switch {
		case err != nil:
			return err
		case p.Type == packet.Ping && string(p.Data) == "probe":
			if err := c.writePacket(packet.Packet{Type: packet.Pong, Data: p.Data}); err != nil {
				return err
			}
			// Only now may a waiting poll go: a client that gets its end before the answer would poll again.
			s.mu.Lock()
			s.probed = true
			if s.poll != nil {
				s.poll.release()
			}
			s.mu.Unlock()
		case p.Type == packet.Upgrade:
			return nil
		default:
			return &frameError{reason: ReasonTransportError, err: errProbe}
		}
	}
}

func (s *Socket) abandonUpgrade(c *stream, err error) {
	s.conf.log.Debug("engineio: an upgrade was given up", "error", err)
	s.mu.Lock()
	s.endUpgrade()
	s.mu.Unlock()
	c.end(err)
}

func (s *Socket) completeUpgrade(c *stream) {
	s.mu.Lock()
	// What the client posted comes before what it sends here.
	for (s.posting || s.writing) && s.state != stateClosed {
		s.cond.Wait()
	}
	if s.state == stateClosed {
		s.mu.Unlock()
		c.end(nil)
		return
	}
	s.adopt(c)
	if c.raw != nil {
		c.pull = c.pullRaw
	}
	s.upgrading, s.probe, s.probed = false, nil, false
	if s.poll != nil {
		s.poll.release()
	}
	if s.state == stateClosing {
		s.expireIn(closeTimeout)
	}
	s.poll = nil // answered with a noop by its own goroutine
	s.kick()
	s.cond.Broadcast()
	s.mu.Unlock()
}
