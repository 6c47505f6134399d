package mesh

// Rate limits the messages that a peer may send to a hub. The hub drops the events beyond it, and counts them in
// Stats.RateLimited. It delays all other messages beyond it (tables, queries and malformed messages), and with them the
// messages that the peer sent after them.
type Rate struct {
	Events int // events per second. Default: no limit
	Bytes  int // bytes of packets per second. Default: no limit
	// EventBurst and ByteBurst are the events and the bytes that may come at once after a pause. Default: the events
	// and the bytes of one second, and at least Options.MaxMessage bytes. An event whose packet is larger than
	// ByteBurst is always dropped.
	EventBurst, ByteBurst int
}
