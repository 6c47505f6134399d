package engineio

import (
	"container/list"
	"context"
	"errors"
	"io"
	"math/bits"
	"slices"
	"sync"
	"time"
)

const (
	// freeInput is the memory that a message, or the body of a POST, may use without being counted while it is
	// received, in bytes.
	freeInput = 32 << 10
	// freeUnadmitted is the same for the POST of an unadmitted peer, because an attacker can open any number of
	// sessions.
	freeUnadmitted = 16 << 10
	// slowSenderTimeout is how long the sender of a large message may take while other messages wait for memory.
	slowSenderTimeout = 5 * time.Second
)

// errEvicted is the error of a session that ended because its message was unfinished for too long.
var errEvicted = errors.New("engineio: ReceiveLimit is reached, and this message was unfinished for longest")

// receiveLimit bounds the memory of large messages while they are received. When the limit is reached, all messages
// that must grow wait, except the message that began first. So that message is always finished, and then the next one.
// If the first message is not finished within slowSenderTimeout, its session ends. Total memory is therefore bounded by
// limit and one message. A nil receiveLimit has no bound.
type receiveLimit struct {
	limit int

	mu           sync.Mutex
	used         int
	reservations list.List     // of *reservation; the message that began first is in front
	changed      chan struct{} // closed at the next change; nil if no goroutine waits for it
}

// reservation is the memory of a large message that is being received.
type reservation struct {
	of     *receiveLimit
	began  time.Time     // when the message began, plus the time for which it had to wait
	paused time.Time     // when the current wait began; zero if it does not wait
	size   int           // counted bytes
	evict  func()        // makes the reading of the message fail at once
	place  *list.Element // nil once the message is complete or evicted
}

// begin starts to count a message. If the message is evicted, another goroutine calls evict, which must not block.
func (l *receiveLimit) begin(evict func()) *reservation {
	if l == nil {
		return nil
	}
	in := &reservation{of: l, began: time.Now(), evict: evict}
	l.mu.Lock()
	defer l.mu.Unlock()
	in.place = l.reservations.PushBack(in)
	return in
}

// grow counts n more bytes. It waits until there is room for them.
func (in *reservation) grow(ctx context.Context, n int) error {
	if in == nil {
		return nil
	}
	l := in.of
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if in.place == nil {
			return errEvicted
		}
		first := l.reservations.Front().Value.(*reservation)
		if first == in || l.used+n <= l.limit {
			in.size += n
			l.used += n
			return nil
		}
		left := slowSenderTimeout - first.age()
		if left <= 0 {
			first.leave()
			l.mu.Unlock()
			first.evict()
			l.mu.Lock()
			continue
		}
		in.paused = time.Now()
		err := l.wait(ctx, left)
		in.began, in.paused = in.began.Add(time.Since(in.paused)), time.Time{}
		if err != nil {
			return err
		}
	}
}

// age returns how long the sender has taken so far, without waits. The caller holds the limit's lock.
func (in *reservation) age() time.Duration {
	if !in.paused.IsZero() {
		return in.paused.Sub(in.began)
	}
	return time.Since(in.began)
}

// wait waits for a change, but at most for d. The caller holds l.mu, which is released while waiting.
func (l *receiveLimit) wait(ctx context.Context, d time.Duration) error {
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	changed, timer := l.changed, time.NewTimer(d)
	defer timer.Stop()
	l.mu.Unlock()
	defer l.mu.Lock()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	return nil
}

// end stops counting the message. It reports whether the message was evicted.
func (in *reservation) end() (evicted bool) {
	if in == nil {
		return false
	}
	in.of.mu.Lock()
	defer in.of.mu.Unlock()
	if in.place == nil {
		return true
	}
	in.leave()
	return false
}

// evicted reports whether the message was evicted.
func (in *reservation) evicted() bool {
	if in == nil {
		return false
	}
	in.of.mu.Lock()
	defer in.of.mu.Unlock()
	return in.place == nil
}

// leave removes the message and its bytes from the limit. The caller holds the limit's lock.
func (in *reservation) leave() {
	l := in.of
	l.reservations.Remove(in.place)
	in.place = nil
	l.used -= in.size
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// enlarge returns b with twice the capacity, but with no more than most bytes. Before the capacity exceeds free, and
// before each later growth, enlarge calls reserve with the number of added bytes.
func enlarge(b []byte, most, free int, reserve func(n int) error) ([]byte, error) {
	size := min(most, max(512, 2*cap(b)))
	if size <= free {
		return append(make([]byte, 0, size), b...), nil
	}
	if size > 1<<(bits.Len(uint(size))-1) {
		size = 1 << bits.Len(uint(size)) // the pool's size
	}
	if err := reserve(size - cap(b)); err != nil {
		return b, err
	}
	larger := append(inputs.get(size), b...)
	inputs.put(b)
	return larger, nil
}

// inputs is a pool of buffers of messages that outgrew them or were never finished. Without the pool, many such
// messages could use several times the memory that ReceiveLimit allows, until the garbage collector runs.
var inputs inputPool

// inputPool has a pool for each power of two.
type inputPool [maxInputClass + 1]sync.Pool

// maxInputClass is the class of the largest pooled buffers, 2 MiB.
const maxInputClass = 21

// get returns an empty buffer with room for size bytes, a power of two.
func (p *inputPool) get(size int) []byte {
	if class := bits.Len(uint(size)) - 1; class <= maxInputClass {
		if b, ok := p[class].Get().(*[]byte); ok {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, size)
}

// put takes a buffer that is no longer used. It leaves small buffers, buffers above the class maxInputClass, and
// buffers whose capacity is not a power of two to the garbage collector.
func (p *inputPool) put(b []byte) {
	class := bits.Len(uint(cap(b))) - 1
	if cap(b) <= freeUnadmitted || class > maxInputClass || cap(b) != 1<<class {
		return
	}
	b = b[:0]
	p[class].Put(&b)
}

// readBody reads all of r, which has at most n bytes, or fails. See enlarge for free and reserve.
func readBody(r io.Reader, n, free int, reserve func(n int) error) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			var err error
			if body, err = enlarge(body, max(n, len(body))+1, free, reserve); err != nil { // one more byte, to detect the end
				inputs.put(body)
				return nil, err
			}
		}
		m, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+m]
		if err == io.EOF {
			return slices.Clip(body), nil // a reused buffer may hold other bytes after the message
		}
		if err != nil {
			inputs.put(body)
			return nil, err
		}
	}
}
