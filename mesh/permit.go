package mesh

import (
	"fmt"
	"log/slog"
	"sync"
)

// Action is what Options.Permit decides about.
type Action uint8

// The actions of a peer.
const (
	MayEmit   Action = 1 << iota // the hub takes the event from the peer
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

// PeerInfo is a peer of a hub, as Options.Permit sees it. It prints and logs without the credentials.
type PeerInfo struct {
	ID string
	// User, Password and Token are what Authorize has admitted; without Authorize they are empty.
	Credentials
}

// String returns the ID, the name and the address.
func (p PeerInfo) String() string {
	return fmt.Sprintf("{id: %s, name: %q, remote: %s}", p.ID, p.Name, p.RemoteAddr)
}

// GoString returns String.
func (p PeerInfo) GoString() string { return p.String() }

// Format writes String, whatever the verb.
func (p PeerInfo) Format(s fmt.State, _ rune) { _, _ = s.Write([]byte(p.String())) }

// LogValue returns String.
func (p PeerInfo) LogValue() slog.Value { return slog.StringValue(p.String()) }

// MarshalText returns String, so that encoders of all kinds stay silent too.
func (p PeerInfo) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// Bounds of the decisions that a hub remembers of one peer. Beyond them some are forgotten, at random, and asked again.
const (
	maxDecisions     = 512      // names
	maxDecisionBytes = 32 << 10 // of these
)

// permits are the decisions of Permit about one peer. Any goroutine may ask for them.
type permits struct {
	mu    sync.RWMutex
	info  PeerInfo
	round uint64              // counts the times that all was forgotten
	known map[string]decision // by name
	bytes int                 // of the names
}

// decision is what Permit has said about one name.
type decision struct{ asked, granted Action }

// reset forgets all decisions. info is who they are about from now on.
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

// may tells whether Permit lets a peer do something. It is asked once, and again when its decision was forgotten.
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

// remember notes a decision. The caller holds c.mu.
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

// identify tells Permit's decisions whom they are about.
func (p *peer) identify() {
	if p.permits != nil {
		p.permits.reset(PeerInfo{ID: p.id, Credentials: p.credentials()})
	}
}

// ForgetPermits has a hub ask Options.Permit anew about every peer and event, which it otherwise does only when a peer
// presents other credentials: for when what Permit decides by has changed. A client does nothing.
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
