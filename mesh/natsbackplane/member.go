package natsbackplane

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bigcompany/mesh/mesh"
)

const (
	// channelSize is the number of messages that fit between the connection and the hub's queue. The NATS client drops
	// further messages, and it is fast: while filter waits some 10 ms for a processor, tens of thousands of messages
	// arrive. Of two million small messages, published without a pause on two busy processors, a third was lost with a
	// size of 16,384, 0.1 % with 65,536, and no message with this size, which takes 1 MiB.
	channelSize = 128 << 10
	// closeTimeout bounds the time in which Close waits for the queued messages to be sent.
	closeTimeout = time.Second
)

// member is a hub's membership.
//
// The methods of the connection can block: it holds its lock while it writes, up to nats.Options.FlusherTimeout, and
// while it dials. So only three goroutines call them: watch, pump and probe. Close waits for these for at most
// closeTimeout.
type member struct {
	backplane *Backplane
	conn      connection
	subjects  subjects
	self      source
	inbox     string // the subject of a reply to this member is inbox and a number
	state     connState

	out      *queue[publication]
	in       *queue[arrival]
	requests requests
	messages chan *nats.Msg   // the messages of all subscriptions
	status   chan nats.Status // of the current connection; only watch uses it

	// Length of lines to NATS, in bytes: the longest one so far, and the limit.
	longest, maxLine atomic.Int64

	ctx          context.Context // ends when Close begins
	cancel       context.CancelFunc
	deadline     context.Context // of Close; set before out is closed
	aborted      chan struct{}   // closed when Close stops waiting for the queued messages
	calling      sync.WaitGroup  // watch, pump and probe
	filtering    sync.WaitGroup  // filter
	delivering   sync.WaitGroup  // deliver
	unsubscribed chan struct{}   // closed when there are no subscriptions any more
	released     chan struct{}   // closed when the connection is no longer used
	closeOnce    sync.Once

	mu      sync.Mutex
	left    bool
	lastSeq uint64              // the sequence number of the last message
	counts  map[string]int      // the number of subscribed patterns by subject
	changed map[string]struct{} // subjects to subscribe to or to unsubscribe from
	retry   []string            // denied subjects to subscribe to again

	subs       subscriptions
	scratch    []byte      // only pump uses it
	overflowed atomic.Bool // the channel has been full at least once
	overflow   int         // the value of subs.overflow at the last report; only probe uses it
}

// errLeft reports that the membership has ended.
var errLeft = errors.New("natsbackplane: this hub has left")

func newMember(b *Backplane, subjects subjects, id hubID, receive func(from string, data []byte)) *member {
	self := newSource(id)
	ctx, cancel := context.WithCancel(context.Background())
	m := &member{
		backplane: b, subjects: subjects, self: self,
		inbox:        subjects.inboxOf(self),
		out:          newQueue[publication](b.opts.QueueLimit),
		in:           newQueue[arrival](b.opts.ReceiveLimit),
		messages:     make(chan *nats.Msg, channelSize),
		ctx:          ctx,
		cancel:       cancel,
		aborted:      make(chan struct{}),
		unsubscribed: make(chan struct{}),
		released:     make(chan struct{}),
		counts:       make(map[string]int),
		changed:      make(map[string]struct{}),
		subs:         subscriptions{all: make(map[string]*nats.Subscription)},
	}
	m.state.init(b)
	m.maxLine.Store(maxControlLine)
	m.useOwner(b.conn)
	m.state.noteMaxPayload(b.conn.MaxPayload())
	m.state.start(b.conn.Status())
	m.counts[m.inbox+"*"], m.changed[m.inbox+"*"] = 1, struct{}{}
	m.out.wake()
	m.delivering.Go(func() { m.deliver(receive) })
	m.calling.Go(m.watch)
	m.calling.Go(m.pump)
	m.calling.Go(m.probe)
	m.filtering.Go(m.filter)
	return m
}

// Subscribe implements mesh.BackplaneMember.
func (m *member) Subscribe(patterns ...string) { m.addPatterns(1, patterns) }

// Unsubscribe implements mesh.BackplaneMember.
func (m *member) Unsubscribe(patterns ...string) { m.addPatterns(-1, patterns) }

// addPatterns adds n to the number of patterns for each subject. It bounds the changes that wait for NATS by the
// current and the wanted subscriptions: a subscription that is added and removed while NATS stalls leaves no change.
func (m *member) addPatterns(n int, patterns []string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return
	}
	for _, pattern := range patterns {
		for _, subject := range m.subjects.matching(pattern) {
			before := m.counts[subject]
			m.counts[subject] = before + n
			if before+n == 0 {
				delete(m.counts, subject)
			}
			if before == 0 || before+n == 0 {
				m.toggleChange(subject)
			}
		}
	}
	m.out.wake()
}

// toggleChange records that pump must subscribe to a subject or unsubscribe from it. It removes a change that pump has
// not seen yet.
func (m *member) toggleChange(subject string) {
	if _, ok := m.changed[subject]; ok {
		delete(m.changed, subject)
	} else {
		m.changed[subject] = struct{}{}
	}
}

// Publish implements mesh.BackplaneMember.
func (m *member) Publish(name string, data []byte, unheard func()) error {
	if most := m.state.maxPayload.Load(); most > 0 && int64(headerSize+len(data)) > most {
		return fmt.Errorf("natsbackplane: %d bytes, and this NATS accepts %d: %w", headerSize+len(data), most, mesh.ErrTooLarge)
	}
	p := publication{subject: m.subjects.of(name), data: data}
	if !m.fits(p.subject) {
		return fmt.Errorf("natsbackplane: max_control_line of this NATS is below 2 KiB, too small for this name: %w", mesh.ErrTooLarge)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return errLeft
	}
	if err := m.state.closed(); err != nil {
		return err
	}
	if !m.out.hasRoom(p.size()) {
		m.backplane.counters.droppedOut.Add(1)
		return mesh.ErrBackplaneFull
	}
	m.lastSeq++
	p.seq = m.lastSeq
	if unheard != nil {
		p.reply = m.inbox + strconv.FormatUint(m.requests.add(unheard), 10)
	}
	m.out.push(p, p.size())
	return nil
}

// Err implements mesh.BackplaneMember.
func (m *member) Err() error {
	if m.ctx.Err() != nil {
		return errLeft
	}
	return m.state.err()
}

// Close implements mesh.BackplaneMember.
func (m *member) Close() error {
	m.closeOnce.Do(m.leave)
	return nil
}

func (m *member) leave() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	m.deadline = ctx
	m.mu.Lock()
	m.left = true
	m.mu.Unlock()
	m.cancel()
	m.out.close() // pump ends when the queue is empty
	go m.release()
	select {
	case <-m.released:
	case <-ctx.Done():
		m.backplane.opts.Logger.Warn("mesh: NATS did not accept all messages for other hubs")
	}
	close(m.aborted)
	m.in.close()
	m.delivering.Wait()
}

// release waits until the connection is no longer used. If the connection is stalled, this may be after Close, because
// no other goroutine can end a call that waits for the connection's lock.
func (m *member) release() {
	m.calling.Wait()
	m.releaseConn()
	close(m.unsubscribed)
	m.filtering.Wait()
	m.backplane.joined.Store(false)
	close(m.released)
}
