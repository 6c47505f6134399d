package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/hub"
)

// healGrace is how long a client that has become the hub delays the events that it emits. The other nodes lost their
// hub at the same moment, and a node that has not reconnected yet does not receive the events.
const healGrace = 250 * time.Millisecond

// takeover is the role of a node that has become the hub, until the hub has the events that the client had queued. Events
// go into that queue meanwhile, so that all of them keep their order.
type takeover struct {
	hubRole
	client *client
}

func (t takeover) Emit(event string, payload json.RawMessage, rid string) error {
	return t.client.Emit(event, payload, rid)
}

func (t takeover) Flush(ctx context.Context) error { return t.client.Flush(ctx) }

// takeOver makes this node the hub if it may become the hub and the address is free. The nodes need no agreement on the
// next hub: the system gives an address to one process only. While a hub holds the address, no node can take it, even
// if connections to that hub broke.
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
	h, err := c.node.newHub(ctx, *c.home)
	if err != nil {
		c.node.opts.Logger.Error("mesh: this node cannot take over from the hub: it cannot join the others", "error", err)
		closeAll(listeners)
		return false
	}
	c.mu.Lock()
	if c.closing {
		c.mu.Unlock()
		h.Close()
		closeAll(listeners)
		return false
	}
	c.retired = true
	c.node.addr.Store(c.home)
	c.node.setRole(takeover{hubRole: hubRole{h, c.node}, client: c})
	c.tell()
	c.mu.Unlock()
	h.Announce() // a listener may be new since joinOthers
	h.WatchPresence()
	h.Serve(listeners)
	c.wg.Go(func() { c.handOver(h) })
	// This comes last, because report waits while the queue for callbacks is full.
	c.report(State{Status: Disconnected, Role: RoleClient, Err: cause, Attempt: failed})
	info, _ := hubRole{h, c.node}.hubInfo()
	c.report(State{Status: Connected, Role: RoleHub, Hub: info})
	return true
}

func closeAll(listeners []net.Listener) {
	for _, l := range listeners {
		_ = l.Close()
	}
}

// giveWay records why this node does not become the hub.
func (c *client) giveWay(err error) {
	var be *bindError
	switch {
	case errors.As(err, &be) && be.taken:
		c.local = c.replace(c.local, c.home.at(be.host)) // the new hub may have another of the addresses of the host name
	case errors.As(err, &be) && be.foreign:
	default:
		c.node.opts.Logger.Debug("mesh: this node cannot take over from the hub", "addr", c.home.String(), "error", err)
	}
}

// elsewhere returns the number of attempts that try every hub at an address other than home.
func (c *client) elsewhere() (attempts int) {
	for i, addr := range c.addrs {
		if addr != c.local {
			attempts = i + 1
		}
	}
	return attempts
}

// replace replaces an address in the list by another one, and returns the new one.
func (c *client) replace(old, with address) address {
	addrs := slices.Clone(c.addrs)
	if i := slices.Index(addrs, old); i >= 0 {
		addrs[i] = with
		c.setAddrs(addrs)
	}
	return with
}

// handOver passes the queued events to the hub after healGrace. The hub then also gets the events that the node emits
// later.
func (c *client) handOver(h *hub.Hub) {
	grace := time.NewTimer(healGrace)
	defer grace.Stop()
	select {
	case <-grace.C:
	case <-c.life.Done():
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.await(context.Background(), func() bool { return !c.pumping }) // the pump's connection has ended
	h.SetLastSeq(c.written)                                          // the hub continues the numbers of the client
	for ; !c.out.empty(); c.out.pop() {
		next := c.out.front()
		if err := h.Emit(next.event, next.payload, next.rid); err != nil { // as if it was emitted just now
			c.node.inbox.fail(next.rid, err)
		}
		c.written++
	}
	c.confirmed = c.written
	c.emptied = true
	c.node.setRole(hubRole{h, c.node})
	c.tell()
}
