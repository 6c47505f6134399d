package mesh

import "sync/atomic"

// Stats are a node's counters since its start.
type Stats struct {
	// Peers is the number of admitted peers that are connected to a hub. A client counts its hub.
	Peers int
	// Muted is the number of peers that are connected to a hub and are not admitted, or not yet.
	Muted int

	Received uint64 // events that the hub accepted from peers, or that a client received
	// SearchSteps is the work of finding the peers that subscribe to those events, in steps as
	// protocol.EventTable.Steps counts them. A step takes about 12 ns.
	SearchSteps uint64
	Sent        uint64 // events queued for peers; an event counts once for each peer
	// BytesIn counts the bytes of all messages from peers, also of rejected messages. BytesOut counts the bytes of the
	// events in Sent, as encoded. Neither includes the overhead of transports and heartbeats.
	BytesIn, BytesOut uint64
	// Overflowed counts events for which a peer's queue had no room. The hub then disconnects the peer and drops the
	// content of its queue.
	Overflowed uint64

	// Rejected packets. Malformed counts messages that are not valid packets. Reserved counts packets whose event name
	// is reserved. Unauthorized counts packets of peers that were not admitted. BadTables counts event tables beyond
	// the limits; the hub uses the rest of such a packet.
	Malformed, Reserved, Unauthorized, BadTables uint64

	// NotPermitted counts the events and queries of peers that Options.Permit rejected. Withheld counts the deliveries
	// to peers that it rejected. RateLimited counts the events beyond Options.Rate. Refused counts events of this node
	// that its hub reported as rejected, and queued events that are larger than the hub accepts.
	NotPermitted, Withheld, RateLimited, Refused uint64

	// Hubs is the number of other hubs that a hub with Options.Backplane knows. HubsIn counts the events from those
	// hubs. HubsOut counts the events that the hub passed to the backplane. HubsDropped counts the events and the
	// control messages of the hub that the backplane did not accept.
	Hubs                         int
	HubsIn, HubsOut, HubsDropped uint64
	// HubsBytesIn and HubsBytesOut are the encoded bytes of the events in HubsIn and HubsOut.
	HubsBytesIn, HubsBytesOut uint64
	// Apart is true while a hub's backplane cannot reach the other hubs.
	Apart bool
	// Missed counts the events and the presence changes from other hubs that a hub dropped for its own listeners
	// because CallbackQueue was full. The hub's peers still received them.
	Missed uint64

	Undecodable uint64 // events whose payload did not decode for a listener of the function On; an event counts once for each listener
	Refusals    uint64 // rejections and timeouts of Authorize
	// SlowPeers counts peers that were disconnected because their queue was full, because they read nothing while other
	// peers waited for them, or because BufferLimit was reached.
	SlowPeers uint64
	// Pauses counts the times that the hub stopped reading from a peer that emits, until a listener's queue had room.
	Pauses      uint64
	Connections uint64 // connections that a client made to hubs, or that peers made to a hub

	// Superseded counts sessions that a hub ended because their node was back on a newer connection. Late counts the
	// events of such sessions that arrived afterwards, at this hub or at another hub, and that the hub dropped.
	Superseded, Late uint64

	// TooEarly counts peers that sent more than 64 KB before the hub admitted them.
	TooEarly uint64
	// RejectedConnections counts the connections beyond Options.ConnsPerAddr, and the requests from
	// Options.TrustedProxies beyond it. RejectedSessions counts the sessions beyond Options.SessionsPerAddr.
	// RejectedWatchers counts requests to watch presence beyond 256 peers of a hub or 64 peers of one user.
	RejectedConnections, RejectedSessions, RejectedWatchers uint64

	// CallbackQueue is the number of bytes of the events that wait for this node's callbacks or are being processed by
	// them. Options.CallbackLimit limits it.
	CallbackQueue int
	// FanOut is the time, at a hub, from reading an event until the queues of all subscribed peers hold it. The hub
	// routes consecutive events of a peer together, as a batch. It measures one batch in 64, from reading its first
	// event.
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
