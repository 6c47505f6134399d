package natsbackplane

import (
	"errors"
	"sync"

	"github.com/nats-io/nats.go"
)

// publication is a message that waits to be sent.
type publication struct {
	subject string
	reply   string // the subject for the "no responders" reply of NATS; empty if Publish had no unheard
	seq     uint64
	data    []byte
}

func (p *publication) size() int { return len(p.data) + len(p.subject) + overhead }

// maxScratch limits the memory that pump keeps for the next message, in bytes.
const maxScratch = 128 << 10

// pump passes subscriptions and messages to NATS. NATS may block it, but no other goroutine. While there is no
// connection it waits, so that Options.QueueLimit limits the published messages.
func (m *member) pump() {
	for {
		batch, more := m.out.take()
		m.state.await(m.ctx.Done())
		m.resubscribe()
		// A subscription before one of these publications is in m.changed by now, so it goes first.
		m.updateSubscriptions()
		if len(batch) > 0 {
			m.state.settle(m.ctx.Done())
		}
		for i := range batch {
			m.send(&batch[i])
		}
		if !more {
			break
		}
	}
	for _, s := range m.subs.all {
		_ = s.Unsubscribe() // it fails if the connection is closed
	}
	if m.state.connected() {
		_ = m.conn.get().FlushWithContext(m.deadline) // the messages are at least written
	}
}

// resubscribe repeats all subscriptions if there is another connection.
func (m *member) resubscribe() {
	nc := m.conn.get()
	if nc == m.subs.conn {
		return
	}
	m.subs.reset(nc)
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.changed)
	for subject := range m.counts {
		m.changed[subject] = struct{}{}
	}
}

// updateSubscriptions updates the connection's subscriptions.
func (m *member) updateSubscriptions() {
	m.mu.Lock()
	changed := m.changed
	wanted := make([]string, 0, len(changed))
	unwanted := make([]string, 0, len(changed))
	for subject := range changed {
		if m.counts[subject] > 0 {
			wanted = append(wanted, subject)
		} else {
			unwanted = append(unwanted, subject)
		}
	}
	clear(changed)
	for _, subject := range m.retry {
		if m.counts[subject] > 0 {
			wanted = append(wanted, subject)
		}
	}
	m.retry = nil
	m.mu.Unlock()
	var failed error
	for _, subject := range wanted {
		if m.isAborted() {
			return
		}
		if denied := m.subs.remove(subject); denied != nil {
			_ = denied.Unsubscribe()
		}
		if !m.fits(subject) {
			m.state.logLater("mesh: max_control_line of NATS is below 2 KiB: this hub does not get events with long names; raise it", errLine)
			continue
		}
		s, err := m.subs.conn.ChanSubscribe(subject, m.messages)
		if err != nil {
			failed = err
			continue
		}
		m.subs.add(subject, s)
	}
	for _, subject := range unwanted {
		s := m.subs.remove(subject)
		if s == nil { // its subscription failed, or its name was too long
			continue
		}
		if err := s.Unsubscribe(); err != nil {
			failed = err
		}
	}
	if failed != nil {
		m.state.logLater("mesh: NATS did not accept a subscription", failed)
	}
}

func (m *member) send(p *publication) {
	c := &m.backplane.counters
	defer m.out.done(p.size())
	if m.isAborted() {
		c.droppedOut.Add(1)
		return
	}
	m.scratch = appendMessage(m.scratch[:0], m.self, p.seq, p.data)
	err := m.publish(p)
	for errors.Is(err, nats.ErrConnectionClosed) && m.conn.awaitOther(m.subs.conn, m.ctx.Done()) {
		m.state.await(m.ctx.Done())
		m.resubscribe()
		m.updateSubscriptions()
		err = m.publish(p)
	}
	if cap(m.scratch) > maxScratch {
		m.scratch = nil
	}
	if err != nil {
		c.droppedOut.Add(1)
		m.state.logLater("mesh: NATS did not accept messages for other hubs", err)
		return
	}
	c.published.Add(1)
	c.publishedBytes.Add(uint64(len(p.data)))
}

func (m *member) publish(p *publication) error {
	switch {
	case !m.fits(p.subject):
		return errLine
	case p.reply == "":
		return m.subs.conn.Publish(p.subject, m.scratch)
	}
	return m.subs.conn.PublishRequest(p.subject, p.reply, m.scratch)
}

// maxControlLine is the default limit of a NATS protocol line, in bytes.
const maxControlLine = 4096

var errLine = errors.New("natsbackplane: the name is too long for a line of this NATS, see max_control_line")

// fits reports whether a line with a subject is short enough for the server. It records the length of the longest such
// line.
func (m *member) fits(subject string) bool {
	line := int64(len(subject) + len(m.inbox) + 2*maxDigits + len("PUB   \r\n"))
	if line > m.maxLine.Load() {
		return false
	}
	for longest := m.longest.Load(); line > longest && !m.longest.CompareAndSwap(longest, line); longest = m.longest.Load() {
	}
	return true
}

// maxDigits is the maximum number of digits of a number in a line.
const maxDigits = 20

// isAborted reports whether Close no longer waits for the queued messages.
func (m *member) isAborted() bool {
	select {
	case <-m.aborted:
		return true
	default:
		return false
	}
}

// subscriptions are the subscriptions of the connection, by subject. Only pump changes them.
type subscriptions struct {
	conn *nats.Conn // the connection of the subscriptions; only pump uses it

	mu      sync.Mutex
	all     map[string]*nats.Subscription
	dropped int // messages dropped by removed subscriptions
}

// reset removes the subscriptions of a closed connection.
func (s *subscriptions) reset(nc *nats.Conn) {
	s.conn = nc
	s.mu.Lock()
	defer s.mu.Unlock()
	for subject, sub := range s.all {
		s.drop(subject, sub)
	}
}

func (s *subscriptions) drop(subject string, sub *nats.Subscription) {
	delete(s.all, subject)
	if n, err := sub.Dropped(); err == nil {
		s.dropped += n
	}
}

func (s *subscriptions) add(subject string, sub *nats.Subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[subject] = sub
}

func (s *subscriptions) remove(subject string) *nats.Subscription {
	s.mu.Lock()
	defer s.mu.Unlock()
	sub := s.all[subject]
	if sub != nil {
		s.drop(subject, sub)
	}
	return sub
}

// overflow returns the number of messages for which the channel had no room.
func (s *subscriptions) overflow() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	total := s.dropped
	for _, sub := range s.all {
		if n, err := sub.Dropped(); err == nil {
			total += n
		}
	}
	return total
}
