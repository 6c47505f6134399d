package uplink

import (
	"context"
	"math/rand/v2"
	"time"
)

// live reads a connection until it ends, and then makes the next one, until the uplink is closed or this node is the
// hub. Connect or migrate introduces the first connection. If that fails, live ends. When a migration replaces conn,
// the reader of the new connection continues in place of this goroutine.
func (u *Uplink) live(conn *conn) {
	failed := 0     // attempts since the last connection
	shortLived := 0 // consecutive short-lived connections before that one, if it was short-lived too
	for first := true; ; first = false {
		cause := u.readAll(conn)
		if to := u.endConn(conn); to != nil {
			u.wg.Go(func() { _ = conn.sock.Close() })
			u.replayHeld(to)
			close(conn.read)
			return
		}
		_ = conn.sock.Close() // it has ended already; Close waits for its goroutines
		close(conn.read)
		<-conn.introduced
		switch rejected := conn.rejected.Load(); {
		case conn.failure != nil && first:
			return
		case conn.failure != nil:
			failed++
			cause = conn.failure
		default:
			failed, shortLived = 0, u.countShortLived(conn)
			if rejected != nil {
				cause = rejected
			}
			u.mu.Lock()
			u.lose(conn)
			u.mu.Unlock()
			u.shuffle(conn.addr)
		}
		if conn, failed = u.redial(cause, failed, shortLived); conn == nil {
			return
		}
	}
}

// countShortLived returns the number of consecutive short-lived connections before conn if conn was short-lived too,
// otherwise 0. A short-lived connection ends before steadyTime. The caller calls countShortLived when conn has ended or
// is about to end.
func (u *Uplink) countShortLived(conn *conn) (before int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case time.Since(conn.since) >= steadyTime:
		u.shortLived = 0
		return 0
	case !conn.shortLived:
		conn.shortLived = true
		u.shortLived++
	}
	return u.shortLived - 1
}

// redial makes the next connection, and introduces this node on another goroutine. It returns nil if the uplink is
// closed or this node is the hub. It also returns the number of failed attempts. The pauses grow with that number, and
// with the number of short-lived connections before: the uplink must not flood a hub that admits its clients and
// disconnects them at once.
func (u *Uplink) redial(cause error, failed, shortLived int) (*conn, int) {
	for !u.ending() {
		if u.takeOver(cause, failed) {
			return nil, failed
		}
		pause := backoff(failed + shortLived)
		u.conf.Local.Report(State{Err: cause, Attempt: failed, Retry: pause})
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-u.life.Done():
			timer.Stop()
		}
		timeout := connectTimeout
		if len(u.addrs) > 1 {
			timeout = moveTimeout
		}
		ctx, cancel := context.WithTimeout(u.life, timeout)
		conn, err := u.dial(ctx, u.next())
		if err == nil {
			u.wg.Go(func() {
				defer cancel()
				_ = u.introduce(ctx, conn) // the error is in conn.failure
			})
			return conn, failed
		}
		cancel()
		failed++
		cause = err
	}
	return nil, failed
}

// backoff returns the pause before the next attempt, from the number of failed attempts and short-lived connections.
// Half of the pause is random, so that the clients of a hub that died do not all reconnect at the same moment.
func backoff(failed int) time.Duration {
	d := maxBackoff
	if failed < 10 {
		d = min(maxBackoff, minBackoff<<failed)
	}
	return d/2 + rand.N(d/2)
}
