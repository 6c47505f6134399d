package engineio

import (
	"errors"
	"slices"

	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// phase is the place of a session on its way from its first transport to its last. Polling, phasePolling, is the only
// transport that a session leaves.
//
//	                transport    side     a poll gets             this phase ends when                    next phase
//	phaseOpening    –            both     an error                the stream is there                     phaseStream
//	phaseStream     the stream   both     an error, or a noop if  –                                       –
//	                                      it waited before
//	phasePolling    polling      server   packets                 an upgrade begins                       phaseHandshake
//	phasePolling    polling      client   packets                 the server has replied to a probe       phasePausing
//	phaseHandshake  polling      server   packets                 the stream's handshake has ended        phaseProbing
//	phaseProbing    polling      server   packets                 the server has replied to the probe     phaseProbed
//	phaseProbed     polling      server   packets, or a noop      the client has sent the upgrade packet  phaseSwitching
//	phaseSwitching  polling      server   packets, or a noop      the last POST and response are complete phaseStream
//	phaseExpired    polling      server   packets                 the upgrade's goroutine sees it         phasePolling
//	phasePausing    polling      client   none is made            the client has sent the upgrade packet  phaseStream
//
// An upgrade that fails returns to phasePolling. A client probes before phasePausing: it may try two transports at
// once, and only the first that replies to its probe pauses polling.
type phase uint8

const (
	phaseOpening phase = iota
	phaseStream
	phasePolling
	phaseHandshake
	phaseProbing
	phaseProbed
	phaseSwitching
	phaseExpired
	phasePausing
)

// polls reports whether polling is the transport.
func (p phase) polls() bool { return p >= phasePolling }

// upgrades reports whether an upgrade is in progress. At a client, only the end of an upgrade, phasePausing,
// is a phase.
func (p phase) upgrades() bool { return p > phasePolling }

// probed reports whether the server has replied to the probe of an upgrade that may still succeed. The client stops
// polling, so waiting polls get a noop.
func (p phase) probed() bool { return p == phaseProbed || p == phaseSwitching }

var errProbe = errors.New("engineio: unexpected packet in an upgrade")

// canSwitchTo reports whether c can carry all queued packets. The caller holds s.mu, and must set s.probe before it
// unlocks s.mu, so that push rejects packets that c cannot carry.
func (s *Socket) canSwitchTo(c *wire.Stream) bool {
	isEmpty := func(o *wire.Outgoing) bool { return o.Packet().Binary && len(o.Data()) == 0 }
	return !c.IsWebTransport() || !slices.ContainsFunc(s.queue, isEmpty)
}
