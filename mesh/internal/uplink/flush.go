package uplink

import (
	"context"
	"errors"
	"fmt"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/fault"
)

// Flush returns nil when the hub has processed every event that the uplink has accepted, and has the node's current
// table. It returns ErrUnconfirmed as LossSince does. Package mesh documents the errors.
func (u *Uplink) Flush(ctx context.Context) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	target, version, mark := u.accepted, u.conf.Local.Version(), u.reportedLost
	for {
		switch {
		case u.phase == emptied: // the hub has every accepted event
			return ErrRetired
		case u.phase >= closing:
			return fault.ErrClosed
		}
		conn := u.conn
		if conn == nil || u.written < target || conn.table < version {
			u.wait(ctx)
			if ctx.Err() != nil {
				return fmt.Errorf("mesh: flush: %w", context.Cause(ctx))
			}
			continue
		}
		until := u.written
		u.mu.Unlock()
		err := conn.sock.Ping(ctx)
		if errors.Is(err, engineio.ErrQueueFull) {
			err = conn.sock.Flush(ctx)
			u.mu.Lock()
			if err == nil {
				continue
			}
		} else {
			u.mu.Lock()
		}
		switch {
		case err == nil:
			u.confirm(conn, until)
			return u.lossSince(mark) // before an event that follows this Flush can be lost
		case ctx.Err() != nil:
			return fmt.Errorf("mesh: flush: %w", context.Cause(ctx))
		}
		u.lose(conn)
	}
}

// confirm records that the hub has processed the first until events. The caller holds u.mu.
func (u *Uplink) confirm(conn *conn, until uint64) {
	u.confirmed = max(u.confirmed, until)
	if u.conn != conn && u.lost <= until {
		u.lost = conn.lostBefore // the connection broke after the reply: no event was lost
	}
}

// LossMark returns the position up to which Flush has reported losses. A Flush that the hub of this node completes passes it to LossSince at its end.
func (u *Uplink) LossMark() uint64 {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.reportedLost
}

// LossSince returns ErrUnconfirmed if events may be lost that no Flush had reported when the calling Flush began.
func (u *Uplink) LossSince(mark uint64) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.lossSince(mark)
}

// lossSince is LossSince for a caller that holds u.mu.
func (u *Uplink) lossSince(mark uint64) error {
	if u.lost > mark {
		u.reportedLost = max(u.reportedLost, u.lost)
		return fault.ErrUnconfirmed
	}
	return nil
}

// lose records that a connection has ended or is of no more use. The caller holds u.mu.
func (u *Uplink) lose(conn *conn) {
	if u.conn != conn {
		return
	}
	conn.sock.Abort(nil) // if it has not ended yet
	u.conn = nil
	u.conf.Counters.Peers.Store(0)
	conn.lostBefore = u.lost
	if u.written > u.confirmed {
		u.lost = u.written
	}
	u.confirmed = u.written
	u.wake()
}
