package natsbackplane

import (
	"sync"

	"github.com/nats-io/nats.go"
)

// publication is a message that waits to be sent.
type publication struct {
	subject string
	reply   string // where NATS says that nobody listens; empty if nobody wants to know
	number  uint64
	data    []byte
}

func (p *publication) size() int { return len(p.data) + len(p.subject) + overhead }

// maxScratch bounds the memory that pump keeps for the next message, in bytes.
const maxScratch = 128 << 10

// pump gives NATS what is to be subscribed to and sent. NATS may hold it up, and nobody else. While there is no connection
// it waits, so that what is published meanwhile is bounded by Options.QueueLimit.
func (m *member) pump() {
	for {
		row, more := m.out.take()
		m.link.await(m.ctx.Done())
		// What was subscribed to before one of these was published has changed by now.
		m.subscribe()
		if len(row) > 0 {
			m.link.regroup(m.ctx.Done())
		}
		for i := range row {
			m.send(&row[i])
		}
		if !more {
			break
		}
	}
	for _, s := range m.subs.all {
		_ = s.Unsubscribe() // fails if the connection is closed
	}
	if m.link.connected() {
		_ = m.conn.FlushWithContext(m.deadline) // it was handed over, at least
	}
}

// subscribe brings the connection's subscriptions up to date.
func (m *member) subscribe() {
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
	m.mu.Unlock()
	var failed error
	for _, subject := range wanted {
		if m.isGone() {
			return
		}
		s, err := m.conn.ChanSubscribe(subject, m.came)
		if err != nil {
			failed = err
			continue
		}
		m.subs.add(subject, s)
	}
	for _, subject := range unwanted {
		s := m.subs.remove(subject)
		if s == nil { // it had failed
			continue
		}
		if err := s.Unsubscribe(); err != nil {
			failed = err
		}
	}
	if failed != nil {
		m.link.complain("mesh: NATS did not take a subscription", failed)
	}
}

func (m *member) send(p *publication) {
	c := &m.backplane.counters
	defer m.out.done(p.size())
	if m.isGone() {
		c.droppedOut.Add(1)
		return
	}
	m.scratch = appendMessage(m.scratch[:0], m.self, p.number, p.data)
	var err error
	if p.reply == "" {
		err = m.conn.Publish(p.subject, m.scratch)
	} else {
		err = m.conn.PublishRequest(p.subject, p.reply, m.scratch)
	}
	if cap(m.scratch) > maxScratch {
		m.scratch = nil
	}
	if err != nil {
		c.droppedOut.Add(1)
		m.link.complain("mesh: NATS did not take what was for other hubs", err)
		return
	}
	c.published.Add(1)
	c.publishedBytes.Add(uint64(len(p.data)))
}

// isGone tells whether Close waits no longer.
func (m *member) isGone() bool {
	select {
	case <-m.gone:
		return true
	default:
		return false
	}
}

// subscriptions are those of the connection, by subject. pump alone changes them.
type subscriptions struct {
	mu      sync.Mutex
	all     map[string]*nats.Subscription
	dropped int // by those that are gone
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
	delete(s.all, subject)
	if n, err := sub.Dropped(); err == nil {
		s.dropped += n
	}
	return sub
}

// overflow counts the messages for which the channel had no room.
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
