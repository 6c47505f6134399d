package mesh

import (
	"context"
	"errors"
	"net"
	"slices"
	"time"
)

// healGrace is how long a client that has become the hub holds back what it emits: the others have lost their hub in the
// same moment, and who is not back yet does not get it.
const healGrace = 250 * time.Millisecond

// takeOver makes this node the hub if it may become one and the address is free. Nobody has to agree on who does: the
// system gives an address to one process only, and to none while the hub holds it, whatever became of the connection.
func (c *client) takeOver(cause error, failed int) bool {
	if c.home == nil || failed < c.elsewhere() {
		return false
	}
	ctx, cancel := context.WithTimeout(c.life, connectTimeout)
	defer cancel()
	listeners, err := bind(ctx, *c.home)
	if err != nil {
		c.giveWay(err)
		return false
	}
	h := hubOf(c.node, c.home.path)
	if err := h.joinOthers(ctx); err != nil {
		c.node.opts.Logger.Error("mesh: this node cannot take over from the hub: it cannot join the others", "error", err)
		closeAll(listeners)
		return false
	}
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		h.cluster.close()
		closeAll(listeners)
		return false
	}
	c.hub = h
	c.node.addr.Store(c.home)
	c.node.hub.Store(h)
	c.tell()
	c.mu.Unlock()
	h.serve(listeners)
	c.wg.Go(func() { c.handOver(h) })
	// Last, because it waits while the callbacks' queue is full.
	c.report(State{Status: Disconnected, Role: Client, Err: cause, Attempt: failed})
	info, _ := h.hubInfo()
	c.report(State{Status: Connected, Role: Hub, Hub: info})
	return true
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// giveWay takes note of why this node does not become the hub.
func (c *client) giveWay(err error) {
	var be *bindError
	switch {
	case errors.As(err, &be) && be.taken:
		c.local = c.replace(c.local, c.home.at(be.host)) // of the addresses that a name has, the new hub may have another one
	case errors.As(err, &be) && be.foreign:
	default:
		c.node.opts.Logger.Debug("mesh: this node cannot take over from the hub", "addr", c.home.String(), "error", err)
	}
}

// elsewhere returns after how many attempts all hubs were tried that have another address than home.
func (c *client) elsewhere() (attempts int) {
	for i, addr := range c.addrs {
		if addr != c.local {
			attempts = i + 1
		}
	}
	return attempts
}

// replace puts an address in the place of another one.
func (c *client) replace(old, with address) address {
	addrs := slices.Clone(c.addrs)
	if i := slices.Index(addrs, old); i >= 0 {
		addrs[i] = with
		c.setAddrs(addrs)
	}
	return with
}

// handOver gives the hub what waits, once the others had time to come back, and all that is emitted from then on.
func (c *client) handOver(h *hub) {
	grace := time.NewTimer(healGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-c.life.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.await(context.Background(), func() bool { return !c.pumping }) // its connection has ended
	c.node.numbered.Store(c.written)                                 // it goes on counting
	for ; !c.out.empty(); c.out.pop() {
		next := c.out.front()
		if err := h.emit(next.event, next.payload, next.rid); err != nil { // as if it had been emitted just now
			c.node.inbox.fail(next.rid, err)
		}
		c.written++
	}
	c.confirmed = c.written
	c.heir.Store(h)
	c.tell()
}
