package uplink

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/limit"
)

// Uplink connects a node to a hub, or looks for one. Make it with New and begin with Connect.
type Uplink struct {
	conf   Config
	dialed atomic.Uint64 // connections that were introduced to a hub, or are about to be

	// Used by Connect, and later by live: the addresses of hubs, in the order of the attempts, and the number of
	// attempts. The slice is replaced with mu held. Its elements never change.
	addrs []Addr
	own   Addr // the entry of addrs for Config.Own
	tries int

	life   context.Context // ends with the node
	cancel context.CancelFunc
	wg     sync.WaitGroup

	// Limits the log lines about events that the hub has rejected.
	rejectLog limit.Throttle

	mu      sync.Mutex
	conn    *conn // nil until a hub has replied, and after the connection has ended
	phase   phase
	pumping bool
	queue   queue
	packet  []byte        // a buffer for encoding
	asking  bool          // a goroutine asks the hub to start or stop presence reports
	changed chan struct{} // closed at the next change; nil if no goroutine waits for one
	// The number of consecutive short-lived connections, counted back from the latest: see countShortLived.
	shortLived int

	// For Flush: numbers of events since the start of the uplink. Accepted events are written or in the queue. Events
	// that were written but not confirmed when their connection broke may be lost. lost is the number of the last such
	// event. reportedLost is the value of lost that a Flush has reported last.
	accepted, written, confirmed, lost, reportedLost uint64
}

// phase is the phase of an uplink. A phase only follows a lower one.
//
//	active ──takeOver──▶ retired ──transferQueue──▶ emptied
//	   │                    │                          ▲
//	   │                  Close                        │
//	   │                    ▼                          │
//	   └──────Close─────▶ closing ──transferQueue──────┘
//
// transferQueue runs only after takeOver. Close changes nothing in an emptied uplink, whose events are the hub's.
type phase uint8

const (
	active  phase = iota
	retired       // the node is the hub: the uplink makes no more connections
	closing       // new events are rejected; queued events are still sent
	emptied       // the hub has the queue: the uplink accepts no more events
)

// ErrRetired is the error of an uplink whose node has become the hub. The node's role has changed when a method returns
// it, so the caller uses the hub instead.
var ErrRetired = errors.New("mesh: this node has become the hub")

// New returns an uplink that does nothing yet.
func New(conf Config) *Uplink {
	u := &Uplink{conf: conf, addrs: conf.Addrs, own: conf.Own, queue: queue{limit: conf.OfflineLimit}}
	u.life, u.cancel = context.WithCancel(context.Background())
	return u
}

// Connect connects to the hub at the next address. The uplink then reconnects until Close. If Connect fails, the uplink
// does not try again.
func (u *Uplink) Connect(ctx context.Context) error {
	if len(u.addrs) > 1 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, moveTimeout)
		defer cancel()
	}
	conn, err := u.dial(ctx, u.next())
	if err != nil {
		return err
	}
	u.wg.Go(func() { u.live(conn) })
	return u.introduce(ctx, conn)
}

// Hub returns the hub of the connection; false if there is no connection.
func (u *Uplink) Hub() (Hub, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn == nil {
		return Hub{}, false
	}
	return u.conn.hub, true
}

// Sockets returns the socket of the connection, if there is a connection.
func (u *Uplink) Sockets() []*engineio.Socket {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.conn == nil {
		return nil
	}
	return []*engineio.Socket{u.conn.sock}
}

// Close ends the connection in good order and waits for all goroutines of the uplink. A takeover that has begun ends
// too, so the node's role does not change afterwards.
func (u *Uplink) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
	defer cancel()
	u.mu.Lock()
	u.await(ctx, func() bool { return u.conn == nil || !u.conn.leaving() }) // a move ends soon
	u.phase = max(u.phase, closing)
	u.wake()
	conn := u.conn
	u.await(ctx, func() bool { return u.conn != conn || !u.pumping })
	u.mu.Unlock()
	if conn != nil {
		_ = conn.sock.Close()
	}
	u.cancel()
	u.wg.Wait()
	if u.conf.Transport != nil {
		u.conf.Transport.CloseIdleConnections()
	}
}

// ending reports whether the uplink is being closed. The end of a connection is then not a loss.
func (u *Uplink) ending() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.phase >= closing || u.life.Err() != nil
}

// wake wakes the goroutines that wait for a change. The caller holds u.mu.
func (u *Uplink) wake() {
	if u.changed != nil {
		close(u.changed)
		u.changed = nil
	}
}

// wait waits for the next change, or until ctx ends. The caller holds u.mu, and wait releases it while it waits.
func (u *Uplink) wait(ctx context.Context) {
	if u.changed == nil {
		u.changed = make(chan struct{})
	}
	changed := u.changed
	u.mu.Unlock()
	defer u.mu.Lock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// await waits until done returns true or ctx ends. The caller holds u.mu.
func (u *Uplink) await(ctx context.Context, done func() bool) {
	for !done() && ctx.Err() == nil {
		u.wait(ctx)
	}
}

// next returns the address of the next attempt.
func (u *Uplink) next() Addr {
	u.tries++
	return u.addrs[(u.tries-1)%len(u.addrs)]
}

// shuffle puts the addresses into a random order, with the address of the lost hub at the end.
func (u *Uplink) shuffle(lost Addr) {
	u.setAddrs(u.shuffled(lost))
	u.tries = 0
}

func (u *Uplink) setAddrs(addrs []Addr) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.addrs = addrs
}

// shuffled returns a copy of the addresses in a random order, with lost at the end.
func (u *Uplink) shuffled(lost Addr) []Addr {
	u.mu.Lock()
	addrs := slices.Clone(u.addrs)
	u.mu.Unlock()
	rand.Shuffle(len(addrs), func(i, j int) { addrs[i], addrs[j] = addrs[j], addrs[i] })
	if i := slices.Index(addrs, lost); i >= 0 {
		addrs = append(slices.Delete(addrs, i, i+1), lost)
	}
	return addrs
}
