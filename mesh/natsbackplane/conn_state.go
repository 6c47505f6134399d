package natsbackplane

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bigcompany/mesh/mesh"
)

// The values with which Settings makes the connection of a hub.
const (
	dialTimeout   = time.Second
	reconnectWait = 250 * time.Millisecond // plus a random time of the same maximum
	pingInterval  = 2 * time.Second        // two pings may be unanswered
	flushTimeout  = 5 * time.Second
)

// settleDelay is the time for which a hub that has reconnected holds its messages back. After an outage of NATS, the
// other hubs retry as often as this hub, and they miss messages that are sent before they are connected.
const settleDelay = 3 * reconnectWait

const (
	// probeInterval is the time between two checks whether NATS responds, and between two log lines about the same
	// error.
	probeInterval = time.Second
	// answerTimeout is the silence of NATS after which Err reports that other hubs cannot be reached.
	answerTimeout = 3 * time.Second
)

// The errors that Err returns.
var (
	errDisconnected = errors.New("natsbackplane: no connection to NATS")
	errSilent       = errors.New("natsbackplane: NATS does not answer")
	errClosed       = fmt.Errorf("natsbackplane: %w (%w)", nats.ErrConnectionClosed, mesh.ErrBackplaneClosed)
	errDraining     = fmt.Errorf("natsbackplane: %w (%w)", nats.ErrConnectionDraining, mesh.ErrBackplaneClosed)
)

// connState holds a member's view of its connection. To ask the connection itself could block for a long time.
type connState struct {
	backplane  *Backplane
	maxPayload atomic.Int64 // 0 until it is known

	mu             sync.Mutex
	status         nats.Status
	everConnected  bool          // it has been connected
	startedOffline bool          // it was not connected when the hub joined
	reconnectedAt  time.Time     // the time of the last reconnect, or of a first connect after the hub joined
	ready          chan struct{} // closed while messages need not wait for a connection
	lastReply      time.Time
	denials        denials // since the last connect
	causes         causes  // the reasons why there is no connection

	loggedErrors []loggedError // errors since the last report
}

// loggedError is an error to log, with its number of occurrences.
type loggedError struct {
	text  string
	err   error
	times int
}

func (c *connState) init(b *Backplane) {
	c.backplane = b
	c.ready = make(chan struct{})
}

// start sets the connection's first status.
func (c *connState) start(s nats.Status) {
	c.setStatus(s)
	if s != nats.CONNECTED {
		c.startedOffline = true
		c.backplane.opts.Logger.Warn("mesh: no connection to NATS: other hubs cannot be reached", "status", s.String())
	}
}

// setStatus sets the status of the connection and logs the change. It logs without the lock, because a log handler may
// call methods that need the lock.
func (c *connState) setStatus(s nats.Status) {
	was := c.swapStatus(s)
	log := c.backplane.opts.Logger
	switch {
	case s == was:
	case s == nats.CONNECTED:
		log.Info("mesh: connected to NATS")
	case was == nats.CONNECTED:
		log.Warn("mesh: no connection to NATS: other hubs cannot be reached", "status", s.String())
	case s == nats.CLOSED:
		log.Error("mesh: the connection to NATS is closed: other hubs cannot be reached")
	}
}

// swapStatus sets the status and returns the previous one.
func (c *connState) swapStatus(s nats.Status) (was nats.Status) {
	c.mu.Lock()
	defer c.mu.Unlock()
	was, c.status = c.status, s
	ready := s != nats.RECONNECTING && s != nats.DISCONNECTED && s != nats.CONNECTING // or there will never be a connection again
	if isReady := isClosed(c.ready); ready && !isReady {
		close(c.ready)
	} else if !ready && isReady {
		c.ready = make(chan struct{})
	}
	count := &c.backplane.counters
	switch {
	case s == nats.CONNECTED:
		c.lastReply, c.denials = time.Now(), nil
		if was != nats.CONNECTED && (c.everConnected || c.startedOffline) {
			c.reconnectedAt = c.lastReply
		}
		if was != nats.CONNECTED && c.everConnected {
			count.reconns.Add(1)
		}
		c.everConnected = true
	case was == nats.CONNECTED:
		count.disconnects.Add(1)
	}
	return was
}

func isClosed(ch chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// await returns when there is a connection, when there will never be one again, or when stop is closed.
func (c *connState) await(stop <-chan struct{}) {
	c.mu.Lock()
	ready := c.ready
	c.mu.Unlock()
	select {
	case <-ready:
	case <-stop:
	}
}

// settle returns when the other hubs have had time to reconnect, or stop is closed.
func (c *connState) settle(stop <-chan struct{}) {
	c.mu.Lock()
	left := time.Until(c.reconnectedAt.Add(settleDelay))
	c.mu.Unlock()
	if left > 0 {
		sleep(left, stop)
	}
}

func (c *connState) connected() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status == nats.CONNECTED
}

// closed returns an error if the connection is closed for good.
func (c *connState) closed() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.status {
	case nats.CLOSED:
		return errClosed
	case nats.DRAINING_PUBS:
		return errDraining
	}
	return nil
}

// err returns the reason why other hubs cannot be reached.
func (c *connState) err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.status == nats.CLOSED:
		return errClosed
	case c.status == nats.DRAINING_SUBS || c.status == nats.DRAINING_PUBS:
		return errDraining
	case c.status != nats.CONNECTED:
		return errDisconnected
	case time.Since(c.lastReply) > answerTimeout:
		return errSilent
	}
	return c.denials.oldest()
}

// draining reports whether the owner has begun to drain the connection.
func (c *connState) draining() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status == nats.DRAINING_SUBS || c.status == nats.DRAINING_PUBS
}

// logLater counts an error for the log.
func (c *connState) logLater(text string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.loggedErrors {
		if e := &c.loggedErrors[i]; e.text == text {
			e.err = err
			e.times++
			return
		}
	}
	c.loggedErrors = append(c.loggedErrors, loggedError{text, err, 1})
}

// probe checks repeatedly whether NATS responds, and logs errors.
func (m *member) probe() {
	tick := time.NewTicker(probeInterval)
	defer tick.Stop()
	before := m.backplane.Stats()
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			m.report(before)
			return
		}
		if m.state.connected() {
			m.checkServer()
		} else if err := m.conn.get().LastError(); err != nil {
			m.state.addCause(err)
		}
		before = m.report(before)
	}
}

// checkServer checks whether NATS responds, and notes a response.
func (m *member) checkServer() {
	ctx, cancel := context.WithTimeout(m.ctx, probeInterval)
	defer cancel()
	nc := m.conn.get()
	if nc.FlushWithContext(ctx) != nil {
		return // err reports it
	}
	m.state.noteMaxPayload(nc.MaxPayload())
	if retry := m.state.noteReply(); len(retry) > 0 {
		m.mu.Lock()
		m.retry = append(m.retry, retry...)
		m.mu.Unlock()
		m.out.wake()
	}
}

// report logs the causes, denials, other errors and dropped messages since before.
func (m *member) report(before Stats) (now Stats) {
	s := &m.state
	log := m.backplane.opts.Logger
	if m.overflowed.Load() {
		n := m.subs.overflow()
		m.backplane.counters.droppedIn.Add(uint64(n - m.overflow))
		m.overflow = n
	}
	now = m.backplane.Stats()
	s.mu.Lock()
	loggedErrors := s.loggedErrors
	s.loggedErrors = nil
	causes, denied := s.causes.unshown(time.Now(), s.status == nats.CONNECTED), s.denials.unshown()
	s.mu.Unlock()
	for _, err := range causes {
		log.Warn("mesh: error of the connection to NATS", "error", err)
	}
	for _, err := range denied {
		log.Error("mesh: NATS does not permit an operation that this hub needs", "error", err)
	}
	for _, e := range loggedErrors {
		log.Error(e.text, "error", e.err, "times", e.times)
	}
	if n := now.DroppedIn - before.DroppedIn; n > 0 {
		log.Error("mesh: messages of other hubs dropped: this hub does not keep up", "messages", n)
	}
	if n := now.Malformed - before.Malformed; n > 0 {
		log.Warn("mesh: messages on this mesh's subjects that are no hub's", "messages", n)
	}
	return now
}
