// Package limit limits rates: Bucket the messages of a peer, Throttle the log lines about them. A Bucket belongs to one
// goroutine. Any goroutine may use a Throttle.
package limit
