// Package uplink connects a node to its hub: it connects and reconnects, writes the node's events, reads the
// hub's events, asks the hub queries, moves to another hub without loss, and hands its queue over when the node becomes
// the hub itself.
//
// # Ownership
//
// A Node of package mesh owns one Uplink, from mesh.Connect or mesh.Start until mesh.Node.Close. Package mesh
// implements Local, and also Successor, which Config.TakeOver returns. The Uplink owns its connections: conn is one
// connection, and migration is one attempt to replace a connection by another. Package uplink imports neither package
// hub nor package cluster.
//
// # Goroutines
//
// Close waits for all of them.
//
//   - live reads a connection and makes the next one. One runs until Close or a takeover. A migration starts a second
//     one, for the new connection. If the migration succeeds, the older of the two ends, otherwise the newer.
//   - introduce introduces the node to a hub while live reads the reply. During Connect, the caller does that.
//   - migrate moves the uplink to another hub. It runs from $mesh.move until the uplink has moved, or its connection
//     has ended.
//   - pump writes the events and tables that Emit and Announce could not write directly. It runs while the queue has
//     events.
//   - startWatch starts a goroutine for one query, which turns the presence reports of the hub on or off.
//   - transferQueue passes the queue to the hub that the node has become.
//
// # Locks
//
// Uplink.mu guards the uplink, the standing of its connections and the state of its migrations. queries.mu and
// holdBuffer.mu guard one object each. No goroutine holds two of the three at the same time.
//
// holdBuffer.release calls Local.Receive and Local.Presence while it holds holdBuffer.mu. Both may wait for a callback
// of the node, and the callback may call the uplink. So no goroutine that holds Uplink.mu uses a holdBuffer.
//
// While it holds Uplink.mu, the uplink calls the methods of Local other than Receive, Presence and Report, the methods
// Begin, Continue, Accept and End of a Successor, and methods of engineio.Socket that do not block.
package uplink
