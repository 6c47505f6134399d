package mesh

import (
	"fmt"
	"log/slog"
	"sync"
)

// Action is an action that Options.Permit permits or rejects.
type Action uint8

// The actions of a peer.
const (
	MayEmit   Action = 1 << iota // the hub accepts the event from the peer
	MayListen                    // the hub sends the event to the peer
)

func (a Action) String() string {
	switch a {
	case MayEmit:
		return "emit"
	case MayListen:
		return "listen"
	}
	return fmt.Sprintf("Action(%d)", uint8(a))
}

// PeerInfo describes a peer of a hub for Options.Permit. It prints and logs without the credentials.
type PeerInfo struct {
	ID string
	// User, Password and Token are the credentials that Authorize has accepted. Without Authorize they are empty.
	Credentials
}

// String returns the ID, the name and the address.
func (p PeerInfo) String() string {
	return fmt.Sprintf("{id: %s, name: %q, remote: %s}", p.ID, p.Name, p.RemoteAddr)
}

// GoString returns String.
func (p PeerInfo) GoString() string { return p.String() }

// Format writes String for every verb.
func (p PeerInfo) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(p.String())) }

// LogValue returns String.
func (p PeerInfo) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns String, so that no encoder writes the credentials.
func (p PeerInfo) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Limits of the decisions that a hub remembers for one peer. Beyond them it forgets decisions at random, and calls
// Permit again when it needs them.
const (
	maxDecisions     = 512      // names
	maxDecisionBytes = 32 << 10 // total bytes of the names
)

// permits are the decisions of Permit about one peer. Any goroutine may use them.
type permits struct {
	mu    sync.RWMutex
	info  PeerInfo
	round uint64              // the number of calls of forget
	known map[string]decision // by name
	bytes int                 // total bytes of the names
}

// decision holds the decisions about one name: for which actions Permit was called, and which it granted.
type decision struct{ asked, granted Action }

// reset forgets all decisions. Later decisions are about info.
func (c *permits) reset(info PeerInfo) {
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

// may reports whether Permit lets a peer do something. It calls Permit only if it does not remember a decision.
func (p *peer) may(a Action, event string) bool {
	c := p.permits
	if c == nil {
		return true
	}
	c.mu.RLock()
	d, info, round := c.known[event], c.info, c.round
	c.mu.RUnlock()
	if d.asked&a != 0 {
		return d.granted&a != 0
	}
	granted := p.hub.node.opts.Permit(info, a, event)
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
		p.permits.reset(PeerInfo{ID: p.id, Credentials: p.credentials()})
	}
}

// ForgetPermits makes a hub forget all decisions of Options.Permit. The hub then calls Permit again for each peer and
// event. Call it when the rules behind Permit have changed. Otherwise a hub forgets the decisions about a peer only
// when that peer sends other credentials. At a client, ForgetPermits does nothing.
func (n *Node) ForgetPermits() {
	h := n.hub.Load()
	if h == nil {
		return
	}
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
