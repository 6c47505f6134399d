package engineio

import (
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// runUpgrade moves a session whose upgrade has begun to c. It abandons the upgrade if that takes too long.
func (s *Socket) runUpgrade(c *wire.Stream) {
	defer s.conf.server.wg.Done()
	if !s.attachProbe(c) {
		s.abandonUpgrade(c, nil)
		return
	}
	var timeout *time.Timer // guarded by s.mu
	s.mu.Lock()
	timeout = time.AfterFunc(s.conf.upgradeTimeout, func() {
		s.mu.Lock()
		expired := false
		switch {
		case s.probe != c || s.phase == phaseSwitching: // the upgrade has ended, or will not fail any more
		case s.awaitsUpgrade():
			timeout.Reset(s.conf.upgradeTimeout)
		default:
			s.phase, expired = phaseExpired, true
		}
		s.mu.Unlock()
		if expired {
			c.Close() // without the lock, because Close can take time
		}
	})
	s.mu.Unlock()
	err := s.answerProbe(c)
	s.mu.Lock()
	timeout.Stop()
	failed := err != nil || s.phase == phaseExpired
	if !failed {
		s.phase = phaseSwitching
	}
	s.mu.Unlock()
	if failed {
		s.abandonUpgrade(c, err)
		return
	}
	s.completeUpgrade(c)
}

// awaitsUpgrade reports whether the client can only complete the upgrade. Stock clients stop polling when they have
// received 3probe. If the probing stream then ends before they have sent 5, they never poll, send or report anything
// again. They may be slow, or they may wait for a POST that waits for the reader. If the client is gone, the heartbeat
// ends its session. A client that keeps polling has not reached this point. The caller holds s.mu.
func (s *Socket) awaitsUpgrade() bool {
	pollsOn := s.poll != nil && s.noops >= promptNoops
	return s.state == stateOpen && s.phase == phaseProbed && !pollsOn
}

// beginUpgrade begins an upgrade before its stream exists. It returns false if the session cannot be upgraded now. The
// caller ends the upgrade with runUpgrade or cancelUpgrade.
func (s *Socket) beginUpgrade() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != stateOpen || s.phase != phasePolling || s.conf.server.opts.NoUpgrade {
		return false
	}
	s.conf.server.wg.Add(1) // the session's goroutine keeps the counter above zero meanwhile
	s.phase, s.quiet, s.noops = phaseHandshake, false, 0
	return true
}

// cancelUpgrade ends an upgrade that has no stream.
func (s *Socket) cancelUpgrade() {
	s.mu.Lock()
	s.endUpgrade()
	s.mu.Unlock()
	s.conf.server.wg.Done()
}

// endUpgrade ends an upgrade and leaves the session on its transport. The caller holds s.mu.
func (s *Socket) endUpgrade() {
	s.phase, s.probe = phasePolling, nil
	s.cond.Broadcast()
	if s.poll != nil {
		s.poll.release() // it may have to return a close
	}
	s.kick()
}

// attachProbe makes c the stream of the current upgrade. It returns false if the session cannot move to c.
func (s *Socket) attachProbe(c *wire.Stream) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == stateClosed || !s.canSwitchTo(c) {
		return false
	}
	c.OnInput(func(attempt func() bool) bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.quiet = !attempt()
		if s.quiet {
			s.cond.Broadcast()
		}
		return !s.quiet
	})
	s.phase, s.probe = phaseProbing, c
	s.cond.Broadcast()
	return true
}

// probeGrace is how long a poll that may have overtaken the client's 5 waits on TLS, where the server cannot see
// whether there is input.
const probeGrace = 10 * time.Millisecond

// awaitProbe waits until the server has handled all input that the client sent on the probing stream before it sent a
// poll. After the client's 5 the server must reject polls. But a poll comes on another connection, so the server may
// see it before the 5. The caller holds s.mu, which is released while waiting.
func (s *Socket) awaitProbe() {
	for s.phase.upgrades() && s.state != stateClosed {
		switch c := s.probe; {
		case c == nil: // its handshake is in progress
		case !c.CanWriteNow():
			if c.IsTLS() && s.phase.probed() {
				s.waitAtMost(probeGrace, func() bool { return !s.phase.upgrades() })
			}
			return
		case s.quiet && !c.HasInput():
			return
		}
		s.cond.Wait()
	}
}

// waitAtMost waits until done returns true or the session ends, but at most for d. The caller holds s.mu, which is
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

// answerProbe replies to the probe and returns when the client has sent 5. The client may send nothing else on c before
// that.
func (s *Socket) answerProbe(c *wire.Stream) error {
	for {
		p, err := c.ReadPacket()
		switch {
		case err != nil:
			return err
		case p.Type == packet.Ping && string(p.Data) == "probe":
			if err := c.WritePacket(packet.Packet{Type: packet.Pong, Data: p.Data}); err != nil {
				return err
			}
			// Release a waiting poll only after the reply to the probe. A client whose poll ended before the reply
			// would poll again.
			s.mu.Lock()
			if s.phase == phaseProbing {
				s.phase = phaseProbed
			}
			if s.poll != nil {
				s.poll.release()
			}
			s.mu.Unlock()
		case p.Type == packet.Upgrade:
			return nil
		default:
			return &wire.Error{Fault: wire.Violation, Err: errProbe}
		}
	}
}

func (s *Socket) abandonUpgrade(c *wire.Stream, err error) {
	s.conf.log.Debug("engineio: an upgrade was given up", "error", err)
	s.mu.Lock()
	s.endUpgrade()
	s.mu.Unlock()
	c.End(err)
}

func (s *Socket) completeUpgrade(c *wire.Stream) {
	s.mu.Lock()
	// The packets that the client posted come before its packets on c.
	for (s.posting || s.writing) && s.state != stateClosed {
		s.cond.Wait()
	}
	if s.state == stateClosed {
		s.mu.Unlock()
		c.End(nil)
		return
	}
	s.setStream(c)
	c.OnInput(nil)
	if s.poll != nil {
		s.poll.release()
	}
	if s.state.closing() {
		s.setDeadline(closeTimeout)
	}
	s.poll = nil // its own goroutine responds with a noop
	s.kick()
	s.cond.Broadcast()
	s.mu.Unlock()
}
