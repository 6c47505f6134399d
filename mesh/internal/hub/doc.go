// Package hub routes the events of a mesh. A Hub serves the peers that are connected to it: clients of this module, of
// the original, web pages and stock Engine.IO clients. It decides which of them it admits, which events they may emit,
// and which peers receive an event.
//
// # Callers
//
// Package mesh creates the hub of a node and calls it as the node's role. The hub calls its own node as Local, and the
// other hubs as Others. Package cluster implements Others, and calls the hub as cluster.Hub. Package hub imports
// neither of the two packages.
//
// # A packet's path
//
// engineio calls ServeSocket with each session, on the goroutine that reads it. The peer parses each packet (peer.go),
// and collects consecutive events in a batch (batch.go). route sends a batch to the peers that the index of interests
// finds, if decide permits it (verdict.go), to the hub's own node, and to the other hubs (route.go). Events for peers
// whose queues are half full wait: see hold.go.
//
// # Goroutines
//
// The goroutine that reads a session owns the fields of its peer that have no other guard, and routes the peer's
// events. The goroutine of the cluster routes events of other hubs, and any goroutine of the program routes the events
// of the hub's node. There is no central loop. The hub owns one goroutine for each address that it listens on
// (net.Listener); Close waits for them.
//
// # Locks
//
// A goroutine takes these locks in this order, and may skip any of them:
//
//	peer.indexing    while the peer's entries in the index change
//	Hub.announcing   while the hub sends the node's changed subscriptions to the other hubs
//	Hub.emitting     while an event of the node gets its number and is routed
//	Hub.heavy        while a batch is routed of a peer whose previous batch was heavy, see peer.relay
//	Hub.inflight     shared by all goroutines that route; Quiesce waits for the current ones
//	roster.mu        the list of peers, and the fields of peer whose comments say so
//	permits.mu       the decisions of Permit about one peer
//	guests.mu        the connections of each address
//
// The index has its own lock, and so has each session's queue. The hub calls Others also while it holds locks of this
// list, except permits.mu and guests.mu. While it holds one, it calls only Interests, WatchesPresence and FailRequest
// of Local, which do not wait.
package hub
