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

// regroupTime is the time for which a hub that has reconnected holds its messages back. After an outage of NATS, the
// other hubs retry as often as this hub, and they miss messages that are sent before they are connected.
const regroupTime = 3 * reconnectWait

const (
	// probePause is the time between two checks whether NATS responds, and between two log lines about the same error.
	probePause = time.Second
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

// link holds a member's view of its connection. To ask the connection itself could block for a long time.
type link struct {
	backplane  *Backplane
	maxPayload atomic.Int64 // 0 until it is known

	mu       sync.Mutex
	status   nats.Status
	ever     bool          // it has been connected
	late     bool          // it was not connected when the hub joined
	again    time.Time     // the time of the last reconnect, or of a first connect after the hub joined
	up       chan struct{} // closed while messages need not wait for a connection
	answered time.Time
	denials  denials // since the last connect
	causes   causes  // the reasons why there is no connection

	complaints []complaint // errors since the last report
}

// complaint is an error to log, with its number of occurrences.
type complaint struct {
	text  string
	err   error
	times int
}

func (l *link) init(b *Backplane) {
	l.backplane = b
	l.up = make(chan struct{})
}

// begin sets the connection's first status.
func (l *link) begin(s nats.Status) {
	l.note(s)
	if s != nats.CONNECTED {
		l.late = true
		l.backplane.opts.Logger.Warn("mesh: no connection to NATS: other hubs cannot be reached", "status", s.String())
	}
}

// note sets the status of the connection and logs the change. It logs without the lock, because a log handler may call
// methods that need the lock.
func (l *link) note(s nats.Status) {
	was := l.set(s)
	log := l.backplane.opts.Logger
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

// set sets the status and returns the previous one.
func (l *link) set(s nats.Status) (was nats.Status) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was, l.status = l.status, s
	ready := s != nats.RECONNECTING && s != nats.DISCONNECTED && s != nats.CONNECTING // or there will never be a connection again
	if isUp := isClosed(l.up); ready && !isUp {
		close(l.up)
	} else if !ready && isUp {
		l.up = make(chan struct{})
	}
	count := &l.backplane.counters
	switch {
	case s == nats.CONNECTED:
		l.answered, l.denials = time.Now(), nil
		if was != nats.CONNECTED && (l.ever || l.late) {
			l.again = l.answered
		}
		if was != nats.CONNECTED && l.ever {
			count.reconns.Add(1)
		}
		l.ever = true
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
func (l *link) await(stop <-chan struct{}) {
	l.mu.Lock()
	up := l.up
	l.mu.Unlock()
	select {
	case <-up:
	case <-stop:
	}
}

// regroup returns when the other hubs have had time to reconnect, or stop is closed.
func (l *link) regroup(stop <-chan struct{}) {
	l.mu.Lock()
	rest := time.Until(l.again.Add(regroupTime))
	l.mu.Unlock()
	if rest <= 0 {
		return
	}
	timer := time.NewTimer(rest)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-stop:
	}
}

func (l *link) connected() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status == nats.CONNECTED
}

// closed returns an error if the connection is closed for good.
func (l *link) closed() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch l.status {
	case nats.CLOSED:
		return errClosed
	case nats.DRAINING_PUBS:
		return errDraining
	}
	return nil
}

// err returns the reason why other hubs cannot be reached.
func (l *link) err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch {
	case l.status == nats.CLOSED:
		return errClosed
	case l.status == nats.DRAINING_SUBS || l.status == nats.DRAINING_PUBS:
		return errDraining
	case l.status != nats.CONNECTED:
		return errDisconnected
	case time.Since(l.answered) > answerTimeout:
		return errSilent
	}
	return l.denials.err()
}

// drains reports whether the owner has begun to drain the connection.
func (l *link) drains() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.status == nats.DRAINING_SUBS || l.status == nats.DRAINING_PUBS
}

// complain counts an error for the log.
func (l *link) complain(text string, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range l.complaints {
		if c := &l.complaints[i]; c.text == text {
			c.err = err
			c.times++
			return
		}
	}
	l.complaints = append(l.complaints, complaint{text, err, 1})
}

// probe checks repeatedly whether NATS responds, and logs errors.
func (m *member) probe() {
	tick := time.NewTicker(probePause)
	defer tick.Stop()
	before := m.backplane.Stats()
	for {
		select {
		case <-tick.C:
		case <-m.ctx.Done():
			m.report(before)
			return
		}
		if m.link.connected() {
			m.ask()
		} else if err := m.conn.get().LastError(); err != nil {
			m.link.blame(err)
		}
		before = m.report(before)
	}
}

// ask checks whether NATS responds, and notes a response.
func (m *member) ask() {
	ctx, cancel := context.WithTimeout(m.ctx, probePause)
	defer cancel()
	nc := m.conn.get()
	if nc.FlushWithContext(ctx) != nil {
		return // err reports it
	}
	m.link.noteMaxPayload(nc.MaxPayload())
	if again := m.link.answer(); len(again) > 0 {
		m.mu.Lock()
		m.retried = append(m.retried, again...)
		m.mu.Unlock()
		m.out.wake()
	}
}

// report logs the causes, denials, complaints and dropped messages since before.
func (m *member) report(before Stats) (now Stats) {
	l := &m.link
	log := m.backplane.opts.Logger
	if m.slow.Load() {
		n := m.subs.overflow()
		m.backplane.counters.droppedIn.Add(uint64(n - m.overflow))
		m.overflow = n
	}
	now = m.backplane.Stats()
	l.mu.Lock()
	complaints := l.complaints
	l.complaints = nil
	causes, denied := l.causes.report(time.Now(), l.status == nats.CONNECTED), l.denials.report()
	l.mu.Unlock()
	for _, err := range causes {
		log.Warn("mesh: error of the connection to NATS", "error", err)
	}
	for _, err := range denied {
		log.Error("mesh: NATS does not permit an operation that this hub needs", "error", err)
	}
	for _, c := range complaints {
		log.Error(c.text, "error", c.err, "times", c.times)
	}
	if n := now.DroppedIn - before.DroppedIn; n > 0 {
		log.Error("mesh: messages of other hubs dropped: this hub does not keep up", "messages", n)
	}
	if n := now.Malformed - before.Malformed; n > 0 {
		log.Warn("mesh: messages on this mesh's subjects that are no hub's", "messages", n)
	}
	return now
}
