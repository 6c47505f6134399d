package mesh

import "sync/atomic"

// Stats are a node's counters, since it started.
type Stats struct {
	// Peers are those connected to a hub that hear and are heard. A client counts its hub.
	Peers int
	// Muted are those connected to a hub that were not admitted, or not yet.
	Muted int

	Received uint64 // events from peers that were taken
	// SearchSteps is the work of finding the peers that listen to those events, in steps as protocol.EventTable.Steps
	// counts them. A step takes about 12 ns.
	SearchSteps uint64
	Sent        uint64 // events queued to peers, counted once a peer
	// BytesIn are those of all messages that came from peers, whatever became of them, and BytesOut those of the events
	// in Sent, as encoded. What transports and heartbeats add is in neither.
	BytesIn, BytesOut uint64
	// Overflowed are events for which a peer's queue had no room. The peer is closed then, and with it goes what its
	// queue held.
	Overflowed uint64

	// Packets refused: those that are no packets, those whose event is not for others to emit, those of peers that
	// were not admitted. And event tables beyond the limits, whose packets were taken otherwise.
	Malformed, Reserved, Unauthorized, BadTables uint64

	// NotPermitted are events and questions of peers that Options.Permit has refused, Withheld deliveries that it has, and
	// RateLimited events beyond Options.Rate. Refused are events of this node that its hub says to have refused, or that
	// waited for a hub and are larger than it accepts.
	NotPermitted, Withheld, RateLimited, Refused uint64

	// Hubs are the other hubs that a hub knows, with Options.Backplane. HubsIn are the events that came from them, HubsOut
	// those that were handed to the backplane for them. HubsDropped are those that it did not take, and messages of the
	// hubs' own that it did not.
	Hubs                         int
	HubsIn, HubsOut, HubsDropped uint64
	// HubsBytesIn and HubsBytesOut are the bytes of those events, as encoded.
	HubsBytesIn, HubsBytesOut uint64
	// Apart is true while a hub's backplane cannot reach the others.
	Apart bool
	// Missed are events from other hubs, and notes of who came or went there, that a hub's own listeners did not hear since
	// CallbackQueue was full. Its peers did.
	Missed uint64

	Undecodable uint64 // events whose payload did not fit a listener of On, the function; counted once a listener
	Refusals    uint64 // of Authorize, and its timeouts
	SlowPeers   uint64 // closed because their queue was full, or because BufferLimit was spent
	// Pauses counts rows of events whose emitter the hub did not read from until a listener's queue had room.
	Pauses      uint64
	Connections uint64 // of a client to hubs, and of peers to a hub

	// Superseded are sessions that a hub has ended because their node was back on a newer connection. Late are the events
	// that came on such sessions afterwards, at this hub or at another one, and were dropped.
	Superseded, Late uint64

	// TooEarly counts peers that sent more than 64 KB before the hub admitted them.
	TooEarly uint64
	// RejectedConnections counts connections, and requests through Options.TrustedProxies, beyond Options.ConnsPerAddr.
	// RejectedSessions counts sessions beyond Options.SessionsPerAddr.
	// RejectedWatchers counts questions to watch who comes and goes, beyond 256 peers or 64 of one user.
	RejectedConnections, RejectedSessions, RejectedWatchers uint64

	// CallbackQueue is what waits for this node's callbacks or is in them, in bytes; Options.CallbackLimit bounds it.
	CallbackQueue int
	// FanOut is the time, at a hub, from the read of an event until it stands in the queues of all peers that want it.
	// Peers send events in rows, which are routed together: one row in 64 is measured, from the read of its first event.
	FanOut Latency
}

type counters struct {
	received, sent, overflowed                   atomic.Uint64
	searchSteps                                  atomic.Uint64
	bytesIn, bytesOut                            atomic.Uint64
	malformed, reserved, unauthorized, badTables atomic.Uint64
	notPermitted, withheld, rateLimited, refused atomic.Uint64
	undecodable                                  atomic.Uint64
	refusals, slowPeers, connections             atomic.Uint64
	superseded, late                             atomic.Uint64
	tooEarly                                     atomic.Uint64
	rejectedConnections, rejectedSessions        atomic.Uint64
	pauses                                       atomic.Uint64
	rejectedWatchers                             atomic.Uint64
	hubsIn, hubsOut, hubsDropped                 atomic.Uint64
	hubsBytesIn, hubsBytesOut, missed            atomic.Uint64
	peers, muted, hubs                           atomic.Int64
	fanOut                                       latencies
}

func (c *counters) read() Stats {
	return Stats{
		Peers:        int(c.peers.Load()),
		Muted:        int(c.muted.Load()),
		Received:     c.received.Load(),
		SearchSteps:  c.searchSteps.Load(),
		Sent:         c.sent.Load(),
		BytesIn:      c.bytesIn.Load(),
		BytesOut:     c.bytesOut.Load(),
		Overflowed:   c.overflowed.Load(),
		Malformed:    c.malformed.Load(),
		Reserved:     c.reserved.Load(),
		Unauthorized: c.unauthorized.Load(),
		BadTables:    c.badTables.Load(),
		NotPermitted: c.notPermitted.Load(),
		Withheld:     c.withheld.Load(),
		RateLimited:  c.rateLimited.Load(),
		Refused:      c.refused.Load(),
		Hubs:         int(c.hubs.Load()),
		HubsIn:       c.hubsIn.Load(),
		HubsOut:      c.hubsOut.Load(),
		HubsDropped:  c.hubsDropped.Load(),
		HubsBytesIn:  c.hubsBytesIn.Load(),
		HubsBytesOut: c.hubsBytesOut.Load(),
		Missed:       c.missed.Load(),
		Undecodable:  c.undecodable.Load(),
		Refusals:     c.refusals.Load(),
		SlowPeers:    c.slowPeers.Load(),
		Pauses:       c.pauses.Load(),
		Connections:  c.connections.Load(),
		Superseded:   c.superseded.Load(),
		Late:         c.late.Load(),
		TooEarly:     c.tooEarly.Load(),

		RejectedConnections: c.rejectedConnections.Load(),
		RejectedSessions:    c.rejectedSessions.Load(),
		RejectedWatchers:    c.rejectedWatchers.Load(),

		FanOut: c.fanOut.read(),
	}
}
