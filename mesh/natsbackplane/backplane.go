package natsbackplane

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/bigcompany/mesh/mesh"
)

// Defaults and fixed bounds.
const (
	DefaultPrefix       = "mesh"
	DefaultQueueLimit   = 16 << 20 // bytes
	DefaultReceiveLimit = 64 << 20 // bytes

	channelSize  = 64 << 10    // messages between the connection and the queue: NATS' client drops what it has no room for
	maxOrigins   = 1024        // hubs whose last number is known
	maxRequests  = 1024        // messages of which it is not known yet whether anybody listens
	maxLogged    = time.Second // between two lines of the log about the same
	closeTimeout = time.Second // for what waits to be sent
	overhead     = 64          // what a message costs beyond its data, in bytes, roughly
)

// Options are the options of a backplane. The zero value of each field means its default, and nil means all defaults.
type Options struct {
	// Prefix is what all subjects begin with. Hubs with the same prefix form a mesh, and others at the same NATS another.
	// It is one or more tokens of letters, digits, "_" and "-", separated by dots. Default: "mesh".
	Prefix string
	// QueueLimit bounds what waits to be sent, in bytes. Default: 16 MiB.
	QueueLimit int
	// ReceiveLimit bounds what was received and waits for the hub, in bytes. Default: 64 MiB.
	ReceiveLimit int
	// Logger receives what an operator wants to know. Default: silence.
	Logger *slog.Logger
}

// Backplane joins hubs through NATS. It implements mesh.Backplane. Make it with New.
type Backplane struct {
	conn     *nats.Conn
	opts     Options
	counters counters
}

// Stats are a backplane's counters, of all hubs that have joined by it.
type Stats struct {
	Published, Received           uint64 // messages
	PublishedBytes, ReceivedBytes uint64 // data of these
	// Duplicates are messages that came more than once because several subscriptions match, and Echoes those that came
	// back. Neither is received.
	Duplicates, Echoes uint64
	// DroppedOut are messages that NATS did not take, and DroppedIn those that came while too much waited for the hub.
	DroppedOut, DroppedIn uint64
	Malformed             uint64 // messages that are none of a hub
	Disconnects           uint64
}

type counters struct {
	published, received, publishedBytes, receivedBytes atomic.Uint64
	duplicates, echoes                                 atomic.Uint64
	droppedOut, droppedIn, malformed, disconnects      atomic.Uint64
}

// New returns a backplane on a connection, which stays its owner's: it must be closed after the hubs. See the package's
// comment on its options.
func New(conn *nats.Conn, opts *Options) *Backplane {
	b := &Backplane{conn: conn}
	if opts != nil {
		b.opts = *opts
	}
	b.opts.Prefix = cmp.Or(b.opts.Prefix, DefaultPrefix)
	b.opts.QueueLimit = cmp.Or(b.opts.QueueLimit, DefaultQueueLimit)
	b.opts.ReceiveLimit = cmp.Or(b.opts.ReceiveLimit, DefaultReceiveLimit)
	if b.opts.Logger == nil {
		b.opts.Logger = slog.New(slog.DiscardHandler)
	}
	return b
}

// Stats returns the counters.
func (b *Backplane) Stats() Stats {
	c := &b.counters
	return Stats{
		Published: c.published.Load(), Received: c.received.Load(),
		PublishedBytes: c.publishedBytes.Load(), ReceivedBytes: c.receivedBytes.Load(),
		Duplicates: c.duplicates.Load(), Echoes: c.echoes.Load(),
		DroppedOut: c.droppedOut.Load(), DroppedIn: c.droppedIn.Load(),
		Malformed: c.malformed.Load(), Disconnects: c.disconnects.Load(),
	}
}

// errLeft says that the membership has ended.
var errLeft = errors.New("natsbackplane: this hub has left")

// Join makes a hub a member. It fails if the connection is closed or Options.Prefix is none. While the connection is not
// there yet, or is lost, it succeeds: mesh.BackplaneMember's Err tells.
func (b *Backplane) Join(hub string, receive func(from string, data []byte)) (mesh.BackplaneMember, error) {
	subjects, err := newSubjects(b.opts.Prefix)
	if err != nil {
		return nil, err
	}
	self, err := parseOrigin(hub)
	if err != nil {
		return nil, err
	}
	if b.conn.IsClosed() {
		return nil, fmt.Errorf("natsbackplane: %w", nats.ErrConnectionClosed)
	}
	m := &member{
		backplane: b, subjects: subjects, self: self,
		inbox:         subjects.inbox + hub + ".",
		out:           newQueue[op](b.opts.QueueLimit),
		in:            newQueue[received](b.opts.ReceiveLimit),
		came:          make(chan *nats.Msg, channelSize),
		gone:          make(chan struct{}),
		pumped:        make(chan struct{}),
		counts:        make(map[string]int),
		subscriptions: make(map[string]*nats.Subscription),
		origins:       make(map[origin]*lastNumber),
	}
	m.status = b.conn.StatusChanged(nats.CONNECTED, nats.RECONNECTING, nats.DISCONNECTED, nats.CLOSED)
	m.note(b.conn.Status())
	m.wg.Go(m.watch)
	m.wg.Go(m.sort)
	m.wg.Go(func() { m.hand(receive) })
	go m.pump() // Close does not wait for ever: NATS may hold it up
	m.out.push(op{kind: opSubscribe, subject: m.inbox + "*"}, 0)
	return m, nil
}

// member is a hub's membership.
type member struct {
	backplane *Backplane
	subjects  subjects
	self      origin
	inbox     string

	out        *queue[op]
	in         *queue[received]
	came       chan *nats.Msg // what all subscriptions bring
	status     chan nats.Status
	gone       chan struct{} // closed by Close
	pumped     chan struct{} // closed when pump has ended
	wg         sync.WaitGroup
	closing    sync.Once
	connected  atomic.Bool
	maxPayload atomic.Int64

	mu     sync.Mutex
	number uint64         // of the last message
	counts map[string]int // patterns that need a subject
	left   bool

	requests requests

	subscriptions map[string]*nats.Subscription // pump's
	origins       map[origin]*lastNumber        // sort's
	tick          uint64                        // sort's
	logged        [3]time.Time                  // sort's and pump's, each its own
}

type lastNumber struct{ number, tick uint64 }

// op is something for NATS to do.
type op struct {
	kind    opKind
	subject string
	reply   string
	number  uint64
	data    []byte
}

type opKind uint8

const (
	opPublish opKind = iota
	opSubscribe
	opUnsubscribe
)

type received struct {
	from origin
	data []byte
}

// Subscribe is mesh.BackplaneMember's.
func (m *member) Subscribe(patterns ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pattern := range patterns {
		for _, subject := range m.subjects.matching(pattern) {
			if m.counts[subject]++; m.counts[subject] == 1 {
				m.out.push(op{kind: opSubscribe, subject: subject}, 0)
			}
		}
	}
}

// Unsubscribe is mesh.BackplaneMember's.
func (m *member) Unsubscribe(patterns ...string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, pattern := range patterns {
		for _, subject := range m.subjects.matching(pattern) {
			if m.counts[subject]--; m.counts[subject] == 0 {
				delete(m.counts, subject)
				m.out.push(op{kind: opUnsubscribe, subject: subject}, 0)
			}
		}
	}
}

// Publish is mesh.BackplaneMember's.
func (m *member) Publish(name string, data []byte, unheard func()) error {
	if most := m.maxPayload.Load(); most > 0 && int64(headerSize+len(data)) > most {
		return fmt.Errorf("natsbackplane: %d bytes, and this NATS takes %d: %w", headerSize+len(data), most, mesh.ErrTooLarge)
	}
	o := op{subject: m.subjects.of(name), data: data}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.left {
		return errLeft
	}
	if !m.out.hasRoom(len(data) + overhead) {
		m.backplane.counters.droppedOut.Add(1)
		return mesh.ErrBackplaneFull
	}
	m.number++
	o.number = m.number
	if unheard != nil {
		o.reply = m.inbox + strconv.FormatUint(o.number, 10)
		m.requests.add(o.number, unheard)
	}
	m.out.push(o, len(data)+overhead)
	return nil
}

// Err is mesh.BackplaneMember's.
func (m *member) Err() error {
	select {
	case <-m.gone:
		return errLeft
	default:
	}
	if !m.connected.Load() {
		return errDisconnected
	}
	return nil
}

var errDisconnected = errors.New("natsbackplane: no connection to NATS")

// Close is mesh.BackplaneMember's.
func (m *member) Close() error {
	m.closing.Do(m.leave)
	return nil
}

func (m *member) leave() {
	m.mu.Lock()
	m.left = true
	m.mu.Unlock()
	m.out.close() // pump ends when it is empty
	timer := time.NewTimer(closeTimeout)
	defer timer.Stop()
	select {
	case <-m.pumped:
	case <-timer.C:
		m.backplane.opts.Logger.Warn("mesh: NATS did not take all that was to be sent to other hubs")
	}
	m.out.clear()
	close(m.gone)
	m.in.close()
	m.in.clear()
	m.backplane.conn.RemoveStatusListener(m.status)
	m.wg.Wait()
}

// pump gives NATS what is to be done, in order. It may be held up by NATS, and nobody else is.
func (m *member) pump() {
	defer close(m.pumped)
	for {
		row, ok := m.out.take()
		for i := range row {
			m.do(&row[i])
		}
		if !ok {
			break
		}
	}
	for _, s := range m.subscriptions {
		_ = s.Unsubscribe() // fails if the connection is closed
	}
	_ = m.backplane.conn.FlushTimeout(closeTimeout / 2) // fails if the connection is not there
}

func (m *member) do(o *op) {
	b := m.backplane
	var err error
	switch o.kind {
	case opSubscribe:
		var s *nats.Subscription
		if s, err = b.conn.ChanSubscribe(o.subject, m.came); err == nil {
			m.subscriptions[o.subject] = s
		}
	case opUnsubscribe:
		if s := m.subscriptions[o.subject]; s != nil {
			err = s.Unsubscribe()
			delete(m.subscriptions, o.subject)
		}
	case opPublish:
		body := pack(m.self, o.number, o.data)
		if o.reply == "" {
			err = b.conn.Publish(o.subject, body)
		} else {
			err = b.conn.PublishRequest(o.subject, o.reply, body)
		}
		m.out.done(len(o.data) + overhead)
		if err == nil {
			b.counters.published.Add(1)
			b.counters.publishedBytes.Add(uint64(len(o.data)))
		} else {
			b.counters.droppedOut.Add(1)
		}
	}
	if err != nil && m.mayLog(0) {
		b.opts.Logger.Error("mesh: NATS did not take what was for other hubs", "error", err)
	}
}

// mayLog tells whether it is time for a line of the log again.
func (m *member) mayLog(about int) bool {
	if now := time.Now(); now.Sub(m.logged[about]) >= maxLogged {
		m.logged[about] = now
		return true
	}
	return false
}

// sort takes what the connection brings, drops what the hub must not get, and queues the rest.
func (m *member) sort() {
	for {
		select {
		case msg := <-m.came:
			m.take(msg)
		case <-m.gone:
			return
		}
	}
}

func (m *member) take(msg *nats.Msg) {
	c := &m.backplane.counters
	if number, ok := strings.CutPrefix(msg.Subject, m.inbox); ok {
		if msg.Header.Get("Status") == "503" && len(msg.Data) == 0 {
			if n, err := strconv.ParseUint(number, 10, 64); err == nil {
				m.requests.unheard(n)
			}
		}
		return
	}
	from, number, data, ok := unpack(msg.Data)
	switch {
	case !ok:
		c.malformed.Add(1)
		return
	case from == m.self:
		c.echoes.Add(1)
		return
	case !m.isNew(from, number):
		c.duplicates.Add(1)
		return
	}
	size := len(data) + overhead
	if !m.in.hasRoom(size) {
		c.droppedIn.Add(1)
		if m.mayLog(1) {
			m.backplane.opts.Logger.Error("mesh: events of other hubs dropped: this hub does not keep up", "limit", m.backplane.opts.ReceiveLimit)
		}
		return
	}
	c.received.Add(1)
	c.receivedBytes.Add(uint64(len(data)))
	m.in.push(received{from: from, data: data}, size)
}

// isNew tells whether a message comes for the first time. Those of a hub come in order.
func (m *member) isNew(from origin, number uint64) bool {
	m.tick++
	last := m.origins[from]
	if last == nil {
		if len(m.origins) >= maxOrigins {
			m.forgetOrigin()
		}
		last = new(lastNumber)
		m.origins[from] = last
	}
	last.tick = m.tick
	if number <= last.number {
		return false
	}
	last.number = number
	return true
}

// forgetOrigin forgets the hub that was silent longest.
func (m *member) forgetOrigin() {
	var oldest origin
	least := m.tick + 1
	for o, last := range m.origins {
		if last.tick < least {
			oldest, least = o, last.tick
		}
	}
	delete(m.origins, oldest)
}

// hand gives the hub what was received.
func (m *member) hand(receive func(from string, data []byte)) {
	var last origin
	var name string // of last
	for {
		row, ok := m.in.take()
		if !ok {
			return
		}
		for i := range row {
			select {
			case <-m.gone:
				return
			default:
			}
			r := &row[i]
			if name == "" || r.from != last {
				last, name = r.from, r.from.String()
			}
			receive(name, r.data)
			m.in.done(len(r.data) + overhead)
			r.data = nil
		}
	}
}

// watch notes whether there is a connection.
func (m *member) watch() {
	for {
		select {
		case s, ok := <-m.status:
			if !ok {
				return
			}
			m.note(s)
		case <-m.gone:
			return
		}
	}
}

func (m *member) note(s nats.Status) {
	is := s == nats.CONNECTED
	was := m.connected.Swap(is)
	log := m.backplane.opts.Logger
	switch {
	case is:
		m.maxPayload.Store(m.backplane.conn.MaxPayload())
		if !was {
			log.Info("mesh: connected to NATS")
		}
	case was:
		m.backplane.counters.disconnects.Add(1)
		log.Warn("mesh: no connection to NATS: other hubs cannot be reached", "status", s.String())
	}
}
