package natsbackplane

import (
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// connection is the member's current connection. The first one belongs to the owner. The NATS client closes a
// connection for good after some errors of the server, such as a message above max_payload. The member then makes
// another connection with the same options, and later closes that one itself.
type connection struct {
	options      nats.Options
	ownerHandler nats.ErrHandler // the owner's handler

	mu      sync.Mutex
	current *nats.Conn
	changed chan struct{} // closed when current changes, or when final is set
	ended   bool          // current does not change again
}

// connStates maps connections to their states. Settings uses it to report why an attempt to reconnect failed. The NATS
// client reports that in no other way.
var connStates sync.Map // of *nats.Conn to *connState

func reportReconnectError(nc *nats.Conn, err error) {
	if state, ok := connStates.Load(nc); ok {
		state.(*connState).addCause(err)
	}
}

func (c *connection) get() *nats.Conn {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.current
}

func (c *connection) set(nc *nats.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.changed != nil {
		close(c.changed)
	}
	c.current, c.changed = nc, make(chan struct{})
}

// end marks the current connection as the last one.
func (c *connection) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.ended {
		c.ended = true
		close(c.changed)
	}
}

// awaitOther waits for a connection other than nc. It returns false if there will be no other connection, or stop is
// closed.
func (c *connection) awaitOther(nc *nats.Conn, stop <-chan struct{}) bool {
	c.mu.Lock()
	changed, ended := c.changed, c.ended
	other := c.current != nc
	c.mu.Unlock()
	if other || ended {
		return other
	}
	select {
	case <-changed:
		return c.get() != nc
	case <-stop:
		return false
	}
}

// useOwner makes the owner's connection the current one. Its handlers remain, and still get everything.
func (m *member) useOwner(nc *nats.Conn) {
	c := &m.conn
	c.options, c.ownerHandler = nc.Opts, nc.ErrorHandler()
	nc.SetErrorHandler(m.onError)
	connStates.Store(nc, &m.state)
	m.setConn(nc)
}

// onError handles an error of a connection, and passes it to the owner's handler.
func (m *member) onError(nc *nats.Conn, sub *nats.Subscription, err error) {
	m.classify(err)
	if m.conn.ownerHandler != nil {
		m.conn.ownerHandler(nc, sub, err)
	}
}

// releaseConn undoes useOwner, and closes the connection that the member made, if there is one.
func (m *member) releaseConn() {
	own := m.backplane.conn
	nc := m.conn.get()
	nc.RemoveStatusListener(m.status)
	if nc != own {
		nc.Close()
	}
	connStates.Delete(own)
	own.SetErrorHandler(m.conn.ownerHandler)
}

// setConn makes a connection the current one.
func (m *member) setConn(nc *nats.Conn) {
	m.status = nc.StatusChanged(
		nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.DRAINING_SUBS, nats.DRAINING_PUBS, nats.CLOSED)
	m.conn.set(nc)
}

// watch follows the status of the connection, and makes another one when it is closed. It never calls a connection that
// other goroutines use, because the call could block.
func (m *member) watch() {
	for {
		select {
		case s, ok := <-m.status:
			if !ok {
				return
			}
			if s != nats.CLOSED {
				m.state.setStatus(s)
			} else if !m.reconnectClosed() {
				m.conn.end()
				return
			}
		case <-m.ctx.Done():
			m.conn.end()
			return
		}
	}
}

// reconnectClosed makes another connection. It returns false if the owner has closed the previous one, or if the member
// leaves.
func (m *member) reconnectClosed() bool {
	old := m.conn.get()
	cause := old.LastError() // the NATS client sets it before it closes a connection by itself
	if cause == nil || m.state.draining() {
		m.state.setStatus(nats.CLOSED)
		return false
	}
	m.state.addCause(cause)
	m.state.setStatus(nats.RECONNECTING)
	opts := m.conn.options
	opts.RetryOnFailedConnect, opts.AsyncErrorCB = true, m.onError
	ownerCallback := opts.ReconnectErrCB
	opts.ReconnectErrCB = func(nc *nats.Conn, err error) {
		m.state.addCause(err)
		if ownerCallback != nil {
			ownerCallback(nc, err)
		}
	}
	for {
		if !sleep(reconnectWait, m.ctx.Done()) {
			return false
		}
		nc, err := opts.Connect()
		if err != nil {
			m.state.addCause(err)
			continue
		}
		old.RemoveStatusListener(m.status)
		if old != m.backplane.conn {
			old.Close()
		}
		m.setConn(nc)
		m.state.setStatus(nc.Status())
		m.out.wake()
		return true
	}
}

// sleep waits for d. It returns false if stop was closed first.
func sleep(d time.Duration, stop <-chan struct{}) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-stop:
		return false
	}
}

// classify classifies an error of the server.
func (m *member) classify(err error) {
	switch text := strings.ToLower(err.Error()); {
	case m.isPermissionError(err):
		m.state.addDenial(err)
	case errors.Is(err, nats.ErrSlowConsumer):
		m.overflowed.Store(true)
	case strings.Contains(text, "maximum control line"):
		m.halveMaxLine(err)
	default:
		m.state.addCause(err)
	}
}

// halveMaxLine halves the longest line that the member sends. The server does not report the maximum length. It is
// known only that the longest line so far was too long.
func (m *member) halveMaxLine(err error) {
	longest := m.longest.Load()
	m.maxLine.Store(longest / 2)
	m.longest.Store(longest / 2)
	m.state.logLater("mesh: max_control_line of NATS is below 2 KiB: events with long names do not reach other hubs; raise it", err)
}
