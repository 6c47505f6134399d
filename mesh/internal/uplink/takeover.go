package uplink

import (
	"context"
	"slices"
	"time"
)

// healGrace is how long a node that has become the hub delays the events that it emits. The other nodes lost their hub
// at the same moment, and a node that has not reconnected yet does not receive the events.
const healGrace = 250 * time.Millisecond

// takeOver makes this node the hub if it may become the hub and the address is free. The nodes need no agreement on the
// next hub: the system gives an address to one process only. While a hub holds the address, no node can take it, even
// if connections to that hub broke.
func (u *Uplink) takeOver(cause error, failed int) bool {
	if u.conf.TakeOver == nil || failed < u.attemptsBeforeTakeover() {
		return false
	}
	ctx, cancel := context.WithTimeout(u.life, connectTimeout)
	defer cancel()
	hub, own := u.conf.TakeOver(ctx, u.own)
	if hub == nil {
		u.replaceOwn(own) // the new hub may have another of the addresses of the host name
		return false
	}
	u.mu.Lock()
	if u.phase >= closing {
		u.mu.Unlock()
		hub.Abandon()
		return false
	}
	u.phase = retired
	hub.Begin()
	u.wake()
	u.mu.Unlock()
	hub.Serve()
	u.wg.Go(func() { u.transferQueue(hub) })
	// This comes last, because Report waits while the queue for callbacks is full.
	u.conf.Local.Report(State{Err: cause, Attempt: failed})
	hub.Report()
	return true
}

// attemptsBeforeTakeover returns the number of attempts that try every hub at an address other than the own one.
func (u *Uplink) attemptsBeforeTakeover() (attempts int) {
	for i, addr := range u.addrs {
		if addr != u.own {
			attempts = i + 1
		}
	}
	return attempts
}

// replaceOwn replaces the own address in the list.
func (u *Uplink) replaceOwn(addr Addr) {
	if i := slices.Index(u.addrs, u.own); i >= 0 {
		addrs := slices.Clone(u.addrs)
		addrs[i] = addr
		u.setAddrs(addrs)
	}
	u.own = addr
}

// transferQueue passes the queued events to the hub after healGrace. The hub then also gets the events that the node
// emits later.
func (u *Uplink) transferQueue(hub Successor) {
	grace := time.NewTimer(healGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-u.life.Done():
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.await(context.Background(), func() bool { return !u.pumping }) // the pump's connection has ended
	hub.Continue(u.written)
	for ; !u.queue.empty(); u.queue.pop() {
		next := u.queue.front()
		if err := hub.Accept(next.event, next.payload, next.rid); err != nil { // as if it was emitted just now
			u.conf.Local.FailRequest(next.rid, err)
		}
		u.written++
	}
	u.confirmed = u.written
	u.phase = emptied
	hub.End()
	u.wake()
}
