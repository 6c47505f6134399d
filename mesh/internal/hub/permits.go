package hub

import "sync"

// Limits of the decisions that a hub remembers for one peer. Beyond them it forgets decisions at random, and calls
// Permit again when it needs them.
const (
	maxDecisions     = 512      // names
	maxDecisionBytes = 32 << 10 // total bytes of the names
)

// permits are the decisions of Permit about one peer. Any goroutine may use them.
type permits struct {
	permit func(p Identity, a Action, event string) bool // fixed

	mu    sync.RWMutex
	info  Identity
	round uint64              // the number of calls of forget
	known map[string]decision // by name
	bytes int                 // total bytes of the names
}

// decision holds the decisions about one name: for which actions Permit was called, and which it granted.
type decision struct{ asked, granted Action }

// reset forgets all decisions. Later decisions are about info.
func (c *permits) reset(info Identity) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.info = info
	c.forget()
}

func (c *permits) forget() {
	clear(c.known)
	c.bytes = 0
	c.round++
}

// may reports whether Permit lets a subscriber do something. It calls Permit only if it does not remember a decision.
func (s *subscriber) may(a Action, event string) bool {
	c := s.permits
	if c == nil {
		return true
	}
	c.mu.RLock()
	d, info, round := c.known[event], c.info, c.round
	c.mu.RUnlock()
	if d.asked&a != 0 {
		return d.granted&a != 0
	}
	granted := c.permit(info, a, event)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.round == round { // otherwise the decision may be about other credentials
		c.remember(event, a, granted)
	}
	return granted
}

// remember stores a decision. The caller holds c.mu.
func (c *permits) remember(event string, a Action, granted bool) {
	d, known := c.known[event]
	if !known {
		for name := range c.known {
			if len(c.known) < maxDecisions && c.bytes+len(event) <= maxDecisionBytes {
				break
			}
			delete(c.known, name)
			c.bytes -= len(name)
		}
		c.bytes += len(event)
	}
	d.asked |= a
	if granted {
		d.granted |= a
	}
	if c.known == nil {
		c.known = make(map[string]decision)
	}
	c.known[event] = d
}

// identify sets the peer's description for Permit, and forgets the decisions about the earlier one.
func (p *peer) identify() {
	if p.permits != nil {
		p.permits.reset(p.identity())
	}
}

// ForgetPermits makes the hub forget all decisions of Permit.
func (h *Hub) ForgetPermits() {
	r := &h.roster
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range r.slots {
		if p != nil && p.permits != nil {
			p.permits.mu.Lock()
			p.permits.forget()
			p.permits.mu.Unlock()
		}
	}
}
