// Package fault has the errors that package mesh exports and that its internal packages return. Package mesh documents
// each of them.
package fault

import "errors"

// The errors, under the names of package mesh.
var (
	ErrClosed          = errors.New("mesh: node closed")
	ErrQueueFull       = errors.New("mesh: queue full")
	ErrTooLarge        = errors.New("mesh: event larger than MaxMessage")
	ErrUnconfirmed     = errors.New("mesh: the connection broke before the hub confirmed all events")
	ErrNoListener      = errors.New("mesh: no node listens to this event")
	ErrSlowPeer        = errors.New("mesh: peer too slow: its queue was full, or it read nothing while other peers waited for it")
	ErrSuperseded      = errors.New("mesh: the node is back on a newer connection")
	ErrLegacyHub       = errors.New("mesh: the hub is a Node.js hub, which does not answer requests about its mesh")
	ErrUnknownNode     = errors.New("mesh: no such node")
	ErrNotPermitted    = errors.New("mesh: not permitted")
	ErrTooManyWatchers = errors.New("mesh: too many nodes watch presence")
	ErrUnauthorized    = errors.New("mesh: peer not authorized")
)
