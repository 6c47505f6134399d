package mesh

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// A client moves when its hub is going to close: it makes a connection to another hub, keeps what comes on that, lets the
// old hub deal with all that it has for the client and from it, and goes on with the new one, less what it has heard
// already. All of it stands in docs/packet-format.md, "Moving".
//
// Each connection has its reader, which lives on as the client's lasting goroutine if the other one's ends. A third
// goroutine, move, makes the new connection and says goodbye to the old hub. The client's connection is changed by the old
// one's reader, behind the last that this has read: when the old hub has said that nothing more comes, and also when the
// connection breaks once the new one is ready.

const (
	// arriveTimeout bounds how long a new hub may take to be ready, beyond moveTimeout to be connected to.
	arriveTimeout = 5 * time.Second
	// leaveTimeout bounds how long the old hub may take to let a client go. What it emits waits meanwhile.
	leaveTimeout = 10 * time.Second
	// echoTime is how long the events of the old hub are remembered.
	echoTime = 30 * time.Second
)

var (
	errSameHub  = errors.New("mesh: it is the hub that is going to close")
	errLostMove = errors.New("mesh: the old connection is gone")
)

// startMove has the client move, if it is not about to. The reader of the connection calls it.
func (c *client) startMove(old *conn) {
	if old.told {
		return
	}
	old.told = true
	addrs := c.shuffled(old.addr)
	c.wg.Go(func() { c.move(old, addrs) })
}

// move tries the addresses, again and again, until the client has moved or its old connection is gone.
func (c *client) move(old *conn, addrs []address) {
	<-old.introduced
	if old.failure != nil {
		return
	}
	if brief := c.endured(old); brief > 0 {
		c.rest(old, brief) // hubs could send it round and round
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

// rest makes a pause between two attempts to move.
func (c *client) rest(old *conn, failed int) {
	timer := time.NewTimer(backoff(failed))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-old.sock.Context().Done():
	case <-c.life.Done():
	}
}

// moveTo moves to the hub at an address. When it returns an error, everything is as it was before.
func (c *client) moveTo(old *conn, addr address) (err error) {
	ctx, cancel := context.WithTimeout(c.life, moveTimeout)
	defer cancel()
	defer context.AfterFunc(old.sock.Context(), cancel)()
	to, err := c.dial(ctx, addr)
	if err != nil {
		return err
	}
	to.keeper = newKeeper(c.node.opts.CallbackLimit)
	old.heard.Store(new(heard)) // before the new hub knows anything
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

// arrive introduces the node to the new hub, and returns when that sends it whatever any hub gets from now on.
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
	to.settled.Store(true) // from here on meet changes nothing
	c.mu.Unlock()
	switch {
	case to.refused.Load() != nil:
		return to.refused.Load()
	case !to.native:
		return ErrNodeHub
	case to.hub.ID == old.hub.ID:
		return errSameHub
	}
	ctx, cancel := context.WithTimeout(c.life, arriveTimeout)
	defer cancel()
	defer context.AfterFunc(old.sock.Context(), cancel)()
	return c.update(ctx, to)
}

// update tells the new hub what it does not know yet, and returns when all hubs know it. What comes before that is dropped:
// it comes by the old hub as well.
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
		c.startPump() // it is the client's by now, perhaps, and has been told more than that
		c.mu.Unlock()
	}
	if watch := c.watches(); *watch != watched {
		answer, err := c.askOn(ctx, to, protocol.NameNodes, func(rid json.RawMessage) any {
			return nodesQuestion{RID: rid, Limit: 1, Watch: watch}
		})
		if err != nil {
			return err
		}
		if readAnswer(answer, new(struct{})) == nil { // else startWatch asks again, and tells
			c.mu.Lock()
			to.watched = *watch
			c.mu.Unlock()
		}
	}
	to.keeper.stop()
	answer, err := c.askOn(ctx, to, protocol.NameSync, func(rid json.RawMessage) any { return syncQuestion{RID: rid} })
	if err != nil {
		return err
	}
	return readAnswer(answer, new(struct{}))
}

// depart says goodbye to the old hub. From when that is written, there is no way back: the new connection becomes the
// client's, whatever happens to either of them.
func (c *client) depart(old, to *conn) error {
	ctx, cancel := context.WithTimeout(c.life, arriveTimeout)
	defer cancel()
	stale, err := c.hold(ctx, old, to)
	if err != nil {
		return err
	}
	if stale {
		// Who was told by Flush that all know what it listens to must not hear less than that.
		if err := c.update(ctx, to); err != nil && c.release(old) {
			return err
		}
	}
	ctx, cancel = context.WithTimeout(c.life, leaveTimeout)
	defer cancel()
	err = old.sock.Write(ctx, reserved(protocol.NameLeaving, struct{}{}))
	if err != nil {
		old.sock.Abort(nil)
	}
	select {
	case <-old.read: // by then it has been succeeded
	case <-ctx.Done():
		old.sock.Abort(nil)
		<-old.read
	}
	return nil
}

// hold stops what is written to the old connection, and makes the new one its successor. It tells whether the new hub has
// yet to learn what the node wants.
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

// release undoes hold, and returns false if it is too late for that.
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

// succeed makes the successor of a connection that is at its end the client's, if there is one, and returns it. It is
// called by the reader of the old connection.
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
	case !old.left:
		c.lose(old)
	case c.conn == old: // whose hub has dealt with everything
		old.lostBefore = c.lost
		c.confirmed = c.written
	default: // it broke behind the last word
		c.lost, c.confirmed = old.lostBefore, c.written
	}
	if c.closing {
		to.sock.Abort(nil)
		return to
	}
	to.echoes.Store(old.heard.Load())
	if !to.over {
		to.forget = time.AfterFunc(echoTime, func() { to.echoes.Store(nil) })
	}
	c.adopt(to)
	return to
}

// farewell takes note that the old hub has nothing more to say.
func (c *client) farewell(old *conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old.left = old.successor != nil; !old.left {
		c.node.counters.reserved.Add(1)
	}
}

// carryOn hands on what was kept of a connection that is the client's now.
func (c *client) carryOn(to *conn) {
	to.keeper.release(func(k kept) { c.deliver(to, k) })
	if !c.ending() {
		c.report(State{Status: Connected, Role: Client, Hub: to.hub})
	}
}
