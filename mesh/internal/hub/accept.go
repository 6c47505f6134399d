package hub

import (
	"errors"
	"net"
	"sync/atomic"
)

// reporting wraps a listener of a hub. After an error such as "too many open files", net/http retries and writes only
// to its own log. reporting writes the first such error after each accepted connection to the hub's log, at most once a
// second.
type reporting struct {
	net.Listener
	hub    *Hub
	failed *atomic.Bool
}

func (h *Hub) reporting(l net.Listener) net.Listener { return reporting{l, h, new(atomic.Bool)} }

// logAccept groups the log lines about connections that cannot be accepted.
const logAccept = "accept"

func (l reporting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	switch {
	case err == nil:
		l.failed.Store(false)
	case !errors.Is(err, net.ErrClosed) && !l.failed.Swap(true):
		if times := l.hub.rejectLog.Allow(logAccept); times > 0 {
			l.hub.conf.Logger.Warn("mesh: new connections cannot be accepted; if files are too many, raise LimitNOFILE or ulimit -n",
				"addr", l.Addr().String(), "error", err, "times", times)
		}
	}
	return conn, err
}
