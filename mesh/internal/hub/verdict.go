package hub

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/bigcompany/mesh/protocol"
)

// subscriber is the part of a peer that decides which events the peer receives: its ID, whether it negotiated the
// extensions, the names that its table excludes, and its permissions. It has no session, because the hub will also
// decide about peers that are away. No code does so yet.
type subscriber struct {
	// Set with the peer's first packet. They do not change after the peer is in the index.
	id         string
	idHead     uint64 // the head of id: routing compares it for each peer, without loading the memory of id
	negotiated bool   // the peer negotiated the extensions

	// optOuts holds the names that the peer's table excludes although one of its patterns matches them. It is nil in
	// nearly all cases. All goroutines that route read it.
	optOuts atomic.Pointer[map[string]struct{}]
	permits *permits // nil without Permit; fixed at creation
}

// emission is an event, or some events of one name and emitter, about which a hub decides.
type emission struct {
	name, from string
	fromHead   uint64
	byPattern  bool // the subscriber's table matches the name by a pattern
	special    bool // byPattern is set, or the name is protocol.NameError
}

func emissionOf(name, from string) emission {
	return emission{name: name, from: from, fromHead: headOf(from)}
}

// matchedBy returns the emission for subscribers whose table matches the name in the given way.
func (e emission) matchedBy(pattern bool) emission {
	e.byPattern, e.special = pattern, pattern || e.name == protocol.NameError
	return e
}

// verdict is the result of the decision whether a subscriber whose table matches an event receives it.
type verdict uint8

const (
	deliver verdict = iota
	fromItself
	optedOut
	errorName
	notPermitted
)

// rule returns the rule of a verdict.
func (v verdict) rule() protocol.Rule {
	return [...]protocol.Rule{
		deliver: protocol.RuleListens, fromItself: protocol.RuleSender, optedOut: protocol.RuleNotRemote,
		errorName: protocol.RuleErrorName, notPermitted: protocol.RuleMayNotListen,
	}[v]
}

// decide returns whether the subscriber receives an event that its table matches, by a pattern or by the name.
// routeName, hasSubscriber and explainFor all use it. It compares IDs and not connections, because the emitter may be
// back on another connection, or may have moved here from another hub.
func (s *subscriber) decide(e *emission) verdict {
	// The compiler inlines this part, which decides nearly all deliveries. A call would take 5 % of a delivery's time.
	if s.idHead != e.fromHead && !e.special && s.permits == nil {
		return deliver
	}
	return s.decideByRules(e)
}

func (s *subscriber) decideByRules(e *emission) verdict {
	switch {
	case s.idHead == e.fromHead && s.id == e.from:
		return fromItself
	case e.byPattern && s.optsOut(e.name):
		return optedOut
	case !s.negotiated && e.name == protocol.NameError: // see protocol.NameError
		return errorName
	case s.permits != nil && !s.may(Listen, e.name):
		return notPermitted
	}
	return deliver
}

// optsOut reports whether the subscriber's table excludes an event that matches one of its patterns.
func (s *subscriber) optsOut(event string) bool {
	optOuts := s.optOuts.Load()
	if optOuts == nil {
		return false
	}
	_, is := (*optOuts)[event]
	return is
}

// headOf returns the first 8 bytes of an ID as a number, and 0 for a shorter ID.
func headOf(id string) uint64 {
	if len(id) < 8 {
		return 0
	}
	return binary.LittleEndian.Uint64([]byte(id[:8]))
}
