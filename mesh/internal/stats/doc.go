// Package stats holds the counters of a node. Package mesh reads them for Node.Stats, which documents each of them. The
// hub, the uplink and the cluster of a node share one Counters value. All fields are atomic, so any goroutine may use
// them without a lock.
package stats
