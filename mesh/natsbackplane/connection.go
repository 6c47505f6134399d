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
	options nats.Options
	said    nats.ErrHandler // the owner's handler

	mu      sync.Mutex
	current *nats.Conn
	changed chan struct{} // closed when current changes, or when final is set
	final   bool          // current does not change again
}

// failing maps connections to their links. Settings uses it to report why an attempt to reconnect failed. The NATS
// client reports that in no other way.
var failing sync.Map // of *nats.Conn to *link

func reportFailure(nc *nats.Conn, err error) {
	if l, ok := failing.Load(nc); ok {
		l.(*link).blame(err)
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
	if !c.final {
		c.final = true
		close(c.changed)
	}
}

// after waits for a connection other than nc. It returns false if there will be no other connection, or stop is closed.
func (c *connection) after(nc *nats.Conn, stop <-chan struct{}) bool {
	c.mu.Lock()
	changed, final := c.changed, c.final
	other := c.current != nc
	c.mu.Unlock()
	if other || final {
		return other
	}
	select {
	case <-changed:
		return c.get() != nc
	case <-stop:
		return false
	}
}

// adopt makes the owner's connection the current one. Its handlers remain, and still get everything.
func (m *member) adopt(nc *nats.Conn) {
	c := &m.conn
	c.options, c.said = nc.Opts, nc.ErrorHandler()
	nc.SetErrorHandler(m.hear)
	failing.Store(nc, &m.link)
	m.follow(nc)
}

// hear handles an error of a connection, and passes it to the owner's handler.
func (m *member) hear(nc *nats.Conn, sub *nats.Subscription, err error) {
	m.learn(err)
	if m.conn.said != nil {
		m.conn.said(nc, sub, err)
	}
}

// giveBack undoes adopt, and closes the connection that the member made, if there is one.
func (m *member) giveBack() {
	own := m.backplane.conn
	nc := m.conn.get()
	nc.RemoveStatusListener(m.status)
	if nc != own {
		nc.Close()
	}
	failing.Delete(own)
	own.SetErrorHandler(m.conn.said)
}

// follow makes a connection the current one.
func (m *member) follow(nc *nats.Conn) {
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
				m.link.note(s)
			} else if !m.rebuild() {
				m.conn.end()
				return
			}
		case <-m.ctx.Done():
			m.conn.end()
			return
		}
	}
}

// rebuild makes another connection. It returns false if the owner has closed the previous one, or if the member leaves.
func (m *member) rebuild() bool {
	old := m.conn.get()
	why := old.LastError() // the NATS client sets it before it closes a connection by itself
	if why == nil || m.link.drains() {
		m.link.note(nats.CLOSED)
		return false
	}
	m.link.blame(why)
	m.link.note(nats.RECONNECTING)
	opts := m.conn.options
	opts.RetryOnFailedConnect, opts.AsyncErrorCB = true, m.hear
	said := opts.ReconnectErrCB
	opts.ReconnectErrCB = func(nc *nats.Conn, err error) {
		m.link.blame(err)
		if said != nil {
			said(nc, err)
		}
	}
	for {
		if !sleep(reconnectWait, m.ctx.Done()) {
			return false
		}
		nc, err := opts.Connect()
		if err != nil {
			m.link.blame(err)
			continue
		}
		old.RemoveStatusListener(m.status)
		if old != m.backplane.conn {
			old.Close()
		}
		m.follow(nc)
		m.link.note(nc.Status())
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

// learn classifies an error of the server.
func (m *member) learn(err error) {
	switch text := strings.ToLower(err.Error()); {
	case m.refuses(err):
		m.link.deny(err)
	case errors.Is(err, nats.ErrSlowConsumer):
		m.slow.Store(true)
	case strings.Contains(text, "maximum control line"):
		m.shorten(err)
	default:
		m.link.blame(err)
	}
}

// shorten halves the longest line that the member sends. The server does not report the maximum length. It is known
// only that the longest line so far was too long.
func (m *member) shorten(err error) {
	longest := m.longest.Load()
	m.maxLine.Store(longest / 2)
	m.longest.Store(longest / 2)
	m.link.complain("mesh: max_control_line of NATS is below 2 KiB: events with long names do not reach other hubs; raise it", err)
}
