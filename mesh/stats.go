package mesh

import (
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/stats"
)

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
	// to peers that it rejected. RateLimited counts the events beyond Options.Rate. RejectedByHub counts events of this node
	// that its hub reported as rejected, and queued events that are larger than the hub accepts.
	NotPermitted, Withheld, RateLimited, RejectedByHub uint64

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

	Undecodable  uint64 // events whose payload did not decode for a listener of the function On; an event counts once for each listener
	AuthFailures uint64 // rejections and timeouts of Authorize
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

func readStats(c *stats.Counters) Stats {
	return Stats{
		Peers:         int(c.Peers.Load()),
		Muted:         int(c.Muted.Load()),
		Received:      c.Received.Load(),
		SearchSteps:   c.SearchSteps.Load(),
		Sent:          c.Sent.Load(),
		BytesIn:       c.BytesIn.Load(),
		BytesOut:      c.BytesOut.Load(),
		Overflowed:    c.Overflowed.Load(),
		Malformed:     c.Malformed.Load(),
		Reserved:      c.Reserved.Load(),
		Unauthorized:  c.Unauthorized.Load(),
		BadTables:     c.BadTables.Load(),
		NotPermitted:  c.NotPermitted.Load(),
		Withheld:      c.Withheld.Load(),
		RateLimited:   c.RateLimited.Load(),
		RejectedByHub: c.RejectedByHub.Load(),
		Hubs:          int(c.Hubs.Load()),
		HubsIn:        c.HubsIn.Load(),
		HubsOut:       c.HubsOut.Load(),
		HubsDropped:   c.HubsDropped.Load(),
		HubsBytesIn:   c.HubsBytesIn.Load(),
		HubsBytesOut:  c.HubsBytesOut.Load(),
		Missed:        c.Missed.Load(),
		Undecodable:   c.Undecodable.Load(),
		AuthFailures:  c.AuthFailures.Load(),
		SlowPeers:     c.SlowPeers.Load(),
		Pauses:        c.Pauses.Load(),
		Connections:   c.Connections.Load(),
		Superseded:    c.Superseded.Load(),
		Late:          c.Late.Load(),
		TooEarly:      c.TooEarly.Load(),

		RejectedConnections: c.RejectedConnections.Load(),
		RejectedSessions:    c.RejectedSessions.Load(),
		RejectedWatchers:    c.RejectedWatchers.Load(),

		FanOut: readLatency(&c.FanOut),
	}
}

// Latency is a histogram of durations.
type Latency struct {
	Count   uint64
	Sum     time.Duration
	Buckets [19]LatencyBucket // the shortest first; a longer duration than the last bucket's counts only in Count
}

// LatencyBucket is the number of durations of at most Most, including the durations in the buckets before it.
type LatencyBucket struct {
	Most  time.Duration
	Count uint64
}

func readLatency(l *stats.Latencies) Latency {
	sum, counts := l.Read()
	r := Latency{Sum: sum}
	for i, n := range counts {
		r.Count += n
		if i < len(stats.Bounds) {
			r.Buckets[i] = LatencyBucket{Most: stats.Bounds[i], Count: r.Count}
		}
	}
	return r
}

// Session is the state of a connection of a node at one moment.
type Session struct {
	Transport engineio.Transport
	Revision  engineio.Revision
	Queued    int // bytes that wait to be written
}

// Sessions returns a hub's connections with its peers, including peers that are not admitted, or a client's connection
// with its hub. The order is undefined. Sessions locks each connection briefly: call it occasionally, not for each
// event.
func (n *Node) Sessions() []Session {
	sockets := n.role().Sockets()
	all := make([]Session, len(sockets))
	for i, s := range sockets {
		all[i] = Session{Transport: s.Transport(), Revision: s.Revision(), Queued: s.Queued()}
	}
	return all
}
