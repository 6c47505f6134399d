// Package cluster connects a hub to the other hubs of its mesh through a backplane. It publishes the hub's events and
// subscriptions, passes the events of the other hubs to the hub, and replies to the questions of the other hubs. It
// also fences a node that has reconnected at another hub, so that its old events do not arrive after its newer ones.
// docs/cluster.md describes the messages.
//
// # Callers
//
// Package mesh creates a Cluster for each hub that has a Backplane. The hub calls it as its hub.Others, and it calls
// the hub as Hub. Neither package imports the other.
//
// # Goroutines
//
// The backplane calls receive from one goroutine at a time. That goroutine processes the messages of the other hubs,
// and runs the callbacks of the questions that they reply to. The cluster owns the goroutine live, which publishes the
// heartbeat and gives up silent hubs, and one goroutine that asks the other hubs after a stall. Close waits for both.
//
// # Locks
//
// Cluster.mu guards the members, the subscriptions, the open questions and the round in progress. fences.mu guards the
// fences, and receive holds it while the hub routes events of another hub. The hub calls the cluster while it holds the
// lock of its roster. So while the cluster holds Cluster.mu, it calls no method of the hub, and of the backplane only
// Member.Subscribe and Member.Unsubscribe, which do not call back.
package cluster
