package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// A client moves to another hub when its hub is going to close. It connects to the new hub and drops the events that
// arrive there, which the old hub sends too, until all hubs know the client's subscriptions. From then on the client
// stores the events that arrive on the new connection. The old hub then processes and sends its remaining messages.
// After that the client continues on the new connection, and drops the events that it has already received.
// docs/packet-format.md, "Moving", describes all steps.
//
// Each connection has a reader goroutine. When one connection ends, the reader of the other one continues as the
// client's lasting goroutine. A third goroutine, move, makes the new connection and leaves the old hub. The reader of
// the old connection switches the client to the new connection, after the last message that it read: when the old hub
// has reported that no more messages follow, or when the old connection breaks after the new one is ready. conn.go,
// heard.go and client.go define the fields that this file uses, and pump.

const (
	// arriveTimeout bounds the update of the new hub after the handshake, and then the steps before $mesh.leaving.
	arriveTimeout = 5 * time.Second
	// leaveTimeout bounds the time from $mesh.leaving until the client has read the old hub's last message. The client
	// queues its own events meanwhile.
	leaveTimeout = 10 * time.Second
	// duplicateTime is how long the client remembers the old hub's events, to drop the new hub's duplicates of them.
	duplicateTime = 30 * time.Second
)

var (
	errSameHub  = errors.New("mesh: this hub is about to close")
	errLostMove = errors.New("mesh: the old connection is gone")
)

// startMove makes the client move, unless it already does. The reader of the connection calls it.
func (c *client) startMove(old *conn) {
	if old.told {
		return
	}
	old.told = true
	addrs := c.shuffled(old.addr)
	c.wg.Go(func() { c.move(old, addrs) })
}

// move tries the addresses repeatedly, until the client has moved or its old connection has ended.
func (c *client) move(old *conn, addrs []address) {
	<-old.introduced
	if old.failure != nil {
		return
	}
	if brief := c.endured(old); brief > 0 {
		c.rest(old, brief) // otherwise hubs could send it from one to the next without a pause
	}
	for failed := 0; ; failed++ {
		for _, addr := range addrs {
			if old.sock.Context().Err() != nil || c.ending() {
				return
			}
			err := c.moveTo(old, addr)
			if err == nil {
				return
			}
			c.node.opts.Logger.Debug("mesh: the client cannot move", "addr", addr.String(), "error", err)
		}
		c.rest(old, failed)
	}
}

// rest pauses between two attempts to move.
func (c *client) rest(old *conn, failed int) {
	timer := time.NewTimer(backoff(failed))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-old.sock.Context().Done():
	case <-c.life.Done():
	}
}

// moveTo moves to the hub at an address. When it returns an error, the client still uses the old connection.
func (c *client) moveTo(old *conn, addr address) (err error) {
	ctx, cancel := context.WithTimeout(c.life, moveTimeout)
	defer cancel()
	defer context.AfterFunc(old.sock.Context(), cancel)()
	to, err := c.dial(ctx, addr)
	if err != nil {
		return err
	}
	to.keeper = newKeeper(c.node.opts.CallbackLimit)
	old.heard.Store(new(heard)) // before the new hub can send events
	c.wg.Go(func() { c.live(to) })
	defer func() {
		if err != nil {
			old.heard.Store(nil)
			to.failure = err
			to.sock.Abort(nil)
			to.keeper.stop()
		}
		close(to.introduced)
	}()
	if err := c.arrive(ctx, old, to); err != nil {
		if refused := to.refused.Load(); refused != nil {
			return refused
		}
		return err
	}
	return c.depart(old, to)
}

// arrive introduces the node to the new hub. When it returns nil, the new hub sends this node every event that it
// subscribes to and that any hub receives from then on.
func (c *client) arrive(ctx context.Context, old, to *conn) error {
	offer, version := c.handshake(nil, to, c.offer(true))
	to.announced = version
	err := to.sock.Write(ctx, engineio.Message{Data: offer})
	if err == nil {
		err = to.sock.Ping(ctx)
	}
	if err != nil {
		return err
	}
	c.mu.Lock()
	to.settled.Store(true) // client.meet, which handles the hub's hello, changes nothing after this
	c.mu.Unlock()
	switch {
	case to.refused.Load() != nil:
		return to.refused.Load()
	case !to.native:
		return ErrLegacyHub
	case to.hub.ID == old.hub.ID:
		return errSameHub
	}
	ctx, cancel := context.WithTimeout(c.life, arriveTimeout)
	defer cancel()
	defer context.AfterFunc(old.sock.Context(), cancel)()
	return c.update(ctx, to)
}

// update sends the new hub the data that it does not have yet: the event table, and whether the node watches presence.
// It returns when all hubs have the data. The client drops the messages that arrive before that, because the old hub
// sends them as well.
func (c *client) update(ctx context.Context, to *conn) error {
	c.mu.Lock()
	stale, watched := c.stale(to), to.watched
	c.mu.Unlock()
	if stale {
		packet, version := c.handshake(nil, to, nil)
		if err := to.sock.Write(ctx, engineio.Message{Data: packet}); err != nil {
			return err
		}
		c.mu.Lock()
		to.announced = version
		c.startPump() // to may be the client's connection by now; the pump then sends any newer table
		c.mu.Unlock()
	}
	if watch := c.watches(); *watch != watched {
		answer, err := c.askOn(ctx, to, protocol.NameNodes, func(rid json.RawMessage) any {
			return wire.NodesQuery{RID: rid, Limit: 1, Watch: watch}
		})
		if err != nil {
			return err
		}
		if readAnswer(answer, new(struct{})) == nil { // on failure, startWatch asks again and logs
			c.mu.Lock()
			to.watched = *watch
			c.mu.Unlock()
		}
	}
	to.keeper.stop()
	answer, err := c.askOn(ctx, to, protocol.NameSync, func(rid json.RawMessage) any { return wire.Sync{RID: rid} })
	if err != nil {
		return err
	}
	return readAnswer(answer, new(struct{}))
}

// depart leaves the old hub. After it has written $mesh.leaving it cannot go back: the new connection becomes the
// client's, even if one of the two breaks.
func (c *client) depart(old, to *conn) error {
	ctx, cancel := context.WithTimeout(c.life, arriveTimeout)
	defer cancel()
	stale, err := c.hold(ctx, old, to)
	if err != nil {
		return err
	}
	if stale {
		// After a Flush that covered the subscriptions, the node must not miss an event that matches them.
		if err := c.update(ctx, to); err != nil && c.release(old) {
			return err
		}
	}
	ctx, cancel = context.WithTimeout(c.life, leaveTimeout)
	defer cancel()
	err = old.sock.Write(ctx, wire.Control(protocol.NameLeaving, wire.Empty{}))
	if err != nil {
		old.sock.Abort(nil)
	}
	select {
	case <-old.read: // succeed has been called by then
	case <-ctx.Done():
		old.sock.Abort(nil)
		<-old.read
	}
	return nil
}

// hold stops writing to the old connection, and makes the new connection its successor. It reports whether the new hub
// has an outdated event table.
func (c *client) hold(ctx context.Context, old, to *conn) (stale bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.conn != old || old.over || c.closing {
		return false, errLostMove
	}
	old.successor = to
	c.await(ctx, func() bool { return !c.pumping || old.over })
	if ctx.Err() != nil && c.releaseLocked(old) {
		return false, context.Cause(ctx)
	}
	return c.stale(to), nil
}

// release undoes hold. It returns false if it is too late for that.
func (c *client) release(old *conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.releaseLocked(old)
}

func (c *client) releaseLocked(old *conn) bool {
	if old.over {
		return false
	}
	old.successor = nil
	c.tell()
	c.startPump()
	return true
}

// succeed makes the successor of an ended connection the client's connection, and returns it; nil if there is no
// successor. The reader of the old connection calls it.
func (c *client) succeed(old *conn) *conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	old.over = true
	if old.forget != nil {
		old.forget.Stop()
	}
	c.tell()
	to := old.successor
	if to == nil {
		return nil
	}
	switch {
	case !old.left: // the old connection broke before the old hub's last message: written events may be lost
		c.lose(old)
	case c.conn == old: // the old hub's last message came, and it has processed everything
		old.lostBefore = c.lost
		c.confirmed = c.written
	default: // lose has run, but the old hub's last message had come: nothing was lost
		c.lost, c.confirmed = old.lostBefore, c.written
	}
	if c.closing {
		to.sock.Abort(nil)
		return to
	}
	to.duplicates.Store(old.heard.Load())
	if !to.over {
		to.forget = time.AfterFunc(duplicateTime, func() { to.duplicates.Store(nil) })
	}
	c.adopt(to)
	return to
}

// farewell handles the old hub's report that no more messages follow.
func (c *client) farewell(old *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old.left = old.successor != nil; !old.left { // a $mesh.left that was not asked for
		c.node.counters.Reserved.Add(1)
	}
}

// carryOn delivers the events that were stored for a connection that is now the client's.
func (c *client) carryOn(to *conn) {
	to.keeper.release(func(k kept) { c.deliver(to, k) })
	if !c.ending() {
		c.report(State{Status: Connected, Role: RoleClient, Hub: to.hub})
	}
}
