package uplink

import (
	"context"
	"encoding/json"
	"errors"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// migration is one attempt to move from a connection to a new one at another hub. The uplink moves when its hub is
// going to close. docs/packet-format.md, "Moving", describes all steps.
//
//	connecting ──▶ synced ──▶ frozen ──▶ draining ──▶ drained
//	     │            │        │  │          │           │
//	     └────────────┴────────┤  └──────────┴───────────┴──▶ switched
//	                           ▼
//	                         failed
//
// Three goroutines take part. migrate makes the new connection and leaves the old hub. The reader of the old connection
// (its live) switches the uplink to the new connection after the last message that it has read, and ends. The reader of
// the new connection then continues in its place.
type migration struct {
	old, to *conn
	held    *holdBuffer // the events of the new connection, until the switch

	// seen records the events that the old connection has delivered since the migration began. The reader of old uses
	// it until the switch, and the reader of to afterwards.
	seen seenSet

	// Guarded by Uplink.mu. Only migrate and the reader of old change the state.
	state  migrationState
	forget *time.Timer // ends the memory of seen after duplicateTime; nil before the switch, and if to has ended
}

// migrationState is the state of a migration. Each comment describes the state, and names the goroutine that ends it.
type migrationState uint8

const (
	// connecting: the uplink introduces the node to the new hub and sends it the event table. It drops the events of
	// the new connection, because the old hub sends them too. migrate ends the state when all hubs have the table
	// (synced), or after an error (failed).
	connecting migrationState = iota
	// synced: the uplink holds the events of the new connection. migrate ends the state at once (frozen), or if the
	// old connection is gone (failed).
	synced
	// frozen: the uplink writes nothing to the old hub, and queues the events that the node emits. If its table
	// has changed, it sends the table to the new hub, and drops the events of the new connection again until all hubs
	// have the table. migrate ends the state when it is about to write $mesh.leaving (draining), or after an error
	// (failed). The reader of old ends it if the old connection breaks (switched).
	frozen
	// draining: the old hub sends its remaining messages. There is no way back. The reader of old ends the state when
	// the old hub sends $mesh.left (drained), or when the old connection breaks (switched).
	draining
	// drained: the old hub has processed all events of the node, and sends no more. The reader of old ends the state
	// at once.
	drained
	// switched: the new connection is the uplink's. The reader of old delivers the held events. Then the reader of to
	// delivers events, except those in seen.
	switched
	// failed: the uplink stays at the old connection, and drops the new one.
	failed
)

const (
	// arriveTimeout bounds the update of the new hub after the handshake, and then the steps before $mesh.leaving.
	arriveTimeout = 5 * time.Second
	// leaveTimeout bounds the time from $mesh.leaving until the uplink has read the old hub's last message. The uplink
	// queues the node's events meanwhile.
	leaveTimeout = 10 * time.Second
	// duplicateTime is how long the uplink remembers the old hub's events, to drop the new hub's duplicates of them.
	duplicateTime = 30 * time.Second
)

var (
	errSameHub  = errors.New("mesh: this hub is about to close")
	errLostMove = errors.New("mesh: the old connection is gone")
)

// startMigration makes the uplink move, unless it already does. The reader of the connection calls it.
func (u *Uplink) startMigration(old *conn) {
	if old.moving {
		return
	}
	old.moving = true
	addrs := u.shuffled(old.addr)
	u.wg.Go(func() { u.migrate(old, addrs) })
}

// migrate tries the addresses repeatedly, until the uplink has moved or its old connection has ended.
func (u *Uplink) migrate(old *conn, addrs []Addr) {
	<-old.introduced
	if old.failure != nil {
		return
	}
	if before := u.countShortLived(old); before > 0 {
		u.backoffWait(old, before) // otherwise hubs that close could pass this client on without a pause
	}
	for failed := 0; ; failed++ {
		for _, addr := range addrs {
			if old.sock.Context().Err() != nil || u.ending() {
				return
			}
			err := u.migrateTo(old, addr)
			if err == nil {
				return
			}
			u.conf.Logger.Debug("mesh: the client cannot move", "addr", addr.Host, "error", err)
		}
		u.backoffWait(old, failed)
	}
}

// backoffWait pauses between two attempts to move.
func (u *Uplink) backoffWait(old *conn, failed int) {
	timer := time.NewTimer(backoff(failed))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-old.sock.Context().Done():
	case <-u.life.Done():
	}
}

// migrateTo moves to the hub at an address. When it returns an error, the uplink has not left the old connection.
func (u *Uplink) migrateTo(old *conn, addr Addr) (err error) {
	ctx, cancel := context.WithTimeout(u.life, moveTimeout)
	defer cancel()
	defer context.AfterFunc(old.sock.Context(), cancel)()
	to, err := u.dial(ctx, addr)
	if err != nil {
		return err
	}
	m := &migration{old: old, to: to, held: newHoldBuffer(u.conf.HoldLimit), state: connecting}
	to.in.Store(m)
	old.out.Store(m) // before the new hub can send events
	u.wg.Go(func() { u.live(to) })
	defer func() {
		if err != nil {
			u.setState(m, failed)
			old.out.Store(nil)
			to.failure = err
			to.sock.Abort(nil)
			m.held.stop()
		}
		close(to.introduced)
	}()
	if err := u.joinNew(ctx, m); err != nil {
		if rejected := to.rejected.Load(); rejected != nil {
			return rejected
		}
		return err
	}
	return u.leaveOld(m)
}

func (u *Uplink) setState(m *migration, s migrationState) {
	u.mu.Lock()
	defer u.mu.Unlock()
	m.state = s
}

// leaving reports whether the uplink writes nothing to this connection, because a migration is leaving it. The caller
// holds Uplink.mu.
func (c *conn) leaving() bool {
	m := c.out.Load()
	return m != nil && m.leaving()
}

func (m *migration) leaving() bool { return frozen <= m.state && m.state <= drained }

// joinNew introduces the node to the new hub. After it has returned nil, the new hub sends this node each later event
// of the mesh to which the node subscribes.
func (u *Uplink) joinNew(ctx context.Context, m *migration) error {
	old, to := m.old, m.to
	offer, version := u.handshake(nil, to, u.offer(true))
	to.table = version
	err := to.sock.Write(ctx, engineio.Message{Data: offer})
	if err == nil {
		err = to.sock.Ping(ctx)
	}
	if err != nil {
		return err
	}
	u.mu.Lock()
	to.settled.Store(true) // meet, which handles the hub's hello, changes nothing after this
	u.mu.Unlock()
	switch {
	case to.rejected.Load() != nil:
		return to.rejected.Load()
	case !to.native:
		return fault.ErrLegacyHub
	case to.hub.ID == old.hub.ID:
		return errSameHub
	}
	ctx, cancel := context.WithTimeout(u.life, arriveTimeout)
	defer cancel()
	defer context.AfterFunc(old.sock.Context(), cancel)()
	if err := u.update(ctx, m); err != nil {
		return err
	}
	u.setState(m, synced)
	return nil
}

// update sends the new hub the data that it does not have yet: the event table, and whether the node watches presence.
// It returns when all hubs have the data. The uplink drops the messages that arrive before that, because the old hub
// sends them as well.
func (u *Uplink) update(ctx context.Context, m *migration) error {
	to := m.to
	u.mu.Lock()
	stale, watching := u.stale(to), to.watching
	u.mu.Unlock()
	if stale {
		packet, version := u.handshake(nil, to, nil)
		if err := to.sock.Write(ctx, engineio.Message{Data: packet}); err != nil {
			return err
		}
		u.mu.Lock()
		to.table = version
		u.startPump() // to may be the uplink's connection by now; the pump then sends any newer table
		u.mu.Unlock()
	}
	if watch := u.watches(); *watch != watching {
		answer, err := u.askOn(ctx, to, protocol.NameNodes, func(rid json.RawMessage) any {
			return wire.NodesQuery{RID: rid, Limit: 1, Watch: watch}
		})
		if err != nil {
			return err
		}
		if readAnswer(answer, new(struct{})) == nil { // on failure, startWatch asks again and logs
			u.mu.Lock()
			to.watching = *watch
			u.mu.Unlock()
		}
	}
	m.held.stop()
	answer, err := u.askOn(ctx, to, protocol.NameSync, func(rid json.RawMessage) any { return wire.Sync{RID: rid} })
	if err != nil {
		return err
	}
	return readAnswer(answer, new(struct{}))
}

// leaveOld leaves the old hub. After it has written $mesh.leaving it cannot go back: the new connection becomes the
// uplink's, even if one of the two breaks.
func (u *Uplink) leaveOld(m *migration) error {
	old := m.old
	ctx, cancel := context.WithTimeout(u.life, arriveTimeout)
	defer cancel()
	stale, err := u.freeze(ctx, m)
	if err != nil {
		return err
	}
	if stale {
		// After a Flush that covered the subscriptions, the node must not miss an event that matches them.
		if err := u.update(ctx, m); err != nil && u.thaw(m) {
			return err
		}
	}
	u.drain(m)
	ctx, cancel = context.WithTimeout(u.life, leaveTimeout)
	defer cancel()
	err = old.sock.Write(ctx, wire.Control(protocol.NameLeaving, wire.Empty{}))
	if err != nil {
		old.sock.Abort(nil)
	}
	select {
	case <-old.read: // the uplink has switched by then
	case <-ctx.Done():
		old.sock.Abort(nil)
		<-old.read
	}
	return nil
}

// freeze stops writing to the old connection. It reports whether the new hub has an outdated event table.
func (u *Uplink) freeze(ctx context.Context, m *migration) (stale bool, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn != m.old || m.old.ended || u.phase >= closing {
		return false, errLostMove
	}
	m.state = frozen
	u.await(ctx, func() bool { return !u.pumping || m.old.ended })
	if ctx.Err() != nil && u.thawLocked(m) {
		return false, context.Cause(ctx)
	}
	return u.stale(m.to), nil
}

// thaw undoes freeze. It returns false if it is too late for that.
func (u *Uplink) thaw(m *migration) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.thawLocked(m)
}

func (u *Uplink) thawLocked(m *migration) bool {
	if m.old.ended {
		return false
	}
	m.state = failed
	u.wake()
	u.startPump()
	return true
}

// drain begins the end of the old connection, unless that has ended already.
func (u *Uplink) drain(m *migration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if m.state == frozen {
		m.state = draining
	}
}

// onLeft handles the old hub's report that no more messages follow. It returns false if no migration has frozen
// the connection.
func (u *Uplink) onLeft(old *conn) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	if !old.leaving() {
		u.conf.Counters.Reserved.Add(1)
		return false
	}
	old.out.Load().state = drained
	return true
}

// endConn handles the end of a connection. If a migration is leaving the connection, endConn makes the new connection
// the uplink's and returns it; otherwise nil. The reader of the connection calls it.
func (u *Uplink) endConn(old *conn) (to *conn) {
	u.mu.Lock()
	defer u.mu.Unlock()
	old.ended = true
	if m := old.in.Load(); m != nil && m.forget != nil {
		m.forget.Stop()
	}
	u.wake()
	if !old.leaving() {
		return nil
	}
	m := old.out.Load()
	switch {
	case m.state != drained: // the old connection broke before the old hub's last message: written events may be lost
		u.lose(old)
	case u.conn == old: // the old hub's last message came, and it has processed everything
		old.lostBefore = u.lost
		u.confirmed = u.written
	default: // lose has run, but the old hub's last message had come: nothing was lost
		u.lost, u.confirmed = old.lostBefore, u.written
	}
	m.state = switched
	if u.phase >= closing {
		m.to.sock.Abort(nil)
	} else {
		u.adopt(m.to)
	}
	return m.to
}

// replayHeld delivers the events that were held for a connection that is now the uplink's.
func (u *Uplink) replayHeld(to *conn) {
	m := to.in.Load()
	m.held.release(func(e heldEvent) { u.deliver(to, e) })
	u.mu.Lock()
	if !to.ended {
		m.forget = time.AfterFunc(duplicateTime, func() { to.in.Store(nil) })
	}
	u.mu.Unlock()
	if !u.ending() {
		u.conf.Local.Report(State{Connected: true, Hub: to.hub})
	}
}
