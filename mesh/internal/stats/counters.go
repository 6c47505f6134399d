package stats

import "sync/atomic"

// Counters are the counters of one node. The zero value is ready to use.
type Counters struct {
	Received, Sent, Overflowed                         atomic.Uint64
	SearchSteps                                        atomic.Uint64
	BytesIn, BytesOut                                  atomic.Uint64
	Malformed, Reserved, Unauthorized, BadTables       atomic.Uint64
	NotPermitted, Withheld, RateLimited, RejectedByHub atomic.Uint64
	Undecodable                                        atomic.Uint64
	AuthFailures, SlowPeers, Connections               atomic.Uint64
	Superseded, Late                                   atomic.Uint64
	TooEarly                                           atomic.Uint64
	RejectedConnections, RejectedSessions              atomic.Uint64
	Pauses                                             atomic.Uint64
	RejectedWatchers                                   atomic.Uint64
	HubsIn, HubsOut, HubsDropped                       atomic.Uint64
	HubsBytesIn, HubsBytesOut, Missed                  atomic.Uint64
	Peers, Muted, Hubs                                 atomic.Int64
	FanOut                                             Latencies
}
