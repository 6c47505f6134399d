package mesh

import "sync/atomic"

// Stats are a node's counters, since it started.
type Stats struct {
	// Peers are those connected to a hub that hear and are heard. A client counts its hub.
	Peers int
	// Muted are those connected to a hub that were not admitted, or not yet.
	Muted int

	Received uint64 // events from peers that were taken
	Sent     uint64 // events queued to peers, counted once a peer

	// Packets refused: those that are no packets, those whose event is not for others to emit, those of peers that
	// were not admitted. And event tables beyond the limits, whose packets were taken otherwise.
	Malformed, Reserved, Unauthorized, BadTables uint64

	Undecodable uint64 // events whose payload did not fit a listener of On, the function; counted once a listener
	Refusals    uint64 // of Authorize, and its timeouts
	SlowPeers   uint64 // closed because their queue was full
	Connections uint64 // of a client to hubs, and of peers to a hub
}

type counters struct {
	received, sent                               atomic.Uint64
	malformed, reserved, unauthorized, badTables atomic.Uint64
	undecodable                                  atomic.Uint64
	refusals, slowPeers, connections             atomic.Uint64
	peers, muted                                 atomic.Int64
}

func (c *counters) read() Stats {
	return Stats{
		Peers:        int(c.peers.Load()),
		Muted:        int(c.muted.Load()),
		Received:     c.received.Load(),
		Sent:         c.sent.Load(),
		Malformed:    c.malformed.Load(),
		Reserved:     c.reserved.Load(),
		Unauthorized: c.unauthorized.Load(),
		BadTables:    c.badTables.Load(),
		Undecodable:  c.undecodable.Load(),
		Refusals:     c.refusals.Load(),
		SlowPeers:    c.slowPeers.Load(),
		Connections:  c.connections.Load(),
	}
}
