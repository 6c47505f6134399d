package mesh

import (
	"errors"
	"net"
	"sync/atomic"
)

// reporting is a listener of a hub. net/http tries again after errors such as "too many open files", and says so to its own
// log only. The hub's log gets the first error since a connection was accepted, at most one a second.
type reporting struct {
	net.Listener
	hub    *hub
	failed *atomic.Bool
}

func (h *hub) reporting(l net.Listener) net.Listener { return reporting{l, h, new(atomic.Bool)} }

// ruleAccept bundles the lines of the log about connections that cannot be accepted.
const ruleAccept Rule = "accept"

func (l reporting) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	switch {
	case err == nil:
		l.failed.Store(false)
	case !errors.Is(err, net.ErrClosed) && !l.failed.Swap(true):
		if times := l.hub.refusals.note(ruleAccept); times > 0 {
			l.hub.node.opts.Logger.Warn("mesh: new connections cannot be accepted; if files are too many, raise LimitNOFILE or ulimit -n",
				"addr", l.Addr().String(), "error", err, "times", times)
		}
	}
	return conn, err
}
