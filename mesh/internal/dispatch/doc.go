// Package dispatch calls a node's listeners. A Registry finds the listeners of an event, and a Queue calls them, one
// call after another. The type parameter E is the argument of a call.
//
// listener.go has the Listener and the Group of a resource's listeners, registry.go the Registry, observers.go the
// lists of listeners that have no pattern, and queue.go the Queue.
//
// # Ownership
//
// A node owns one Registry and one Queue. A Listener belongs to the node that added it. The Registry guards its place
// among the subscriptions, and the Queue guards its remaining calls.
//
// The Queue has one goroutine, which exists only while tasks are queued. It makes all calls and holds no lock during a
// call, so a call may use the Queue and the Registry. A call that ends its goroutine, as t.FailNow does, does not end
// the Queue: another goroutine makes the remaining calls.
//
// # Locks
//
// Registry.mu guards the subscriptions, Observers.mu guards a list of listeners, and Queue.mu guards the tasks. None of
// them is held while another is locked. The Registry locks its index, see package interest, with Registry.mu held. Push
// waits for room with no lock held. The Queue calls no function of its caller with a lock held.
//
// # Callers
//
// Package mesh is the only caller. Its goroutines that read from connections call Push, which slows them down while
// the Queue is full. Emit calls Reserve and Commit, and the goroutine that receives events of other hubs calls Offer:
// these never wait.
package dispatch
