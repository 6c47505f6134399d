package receivelimit

import (
	"container/list"
	"context"
	"errors"
	"sync"
	"time"
)

const (
	// Free is the memory that a message, or the body of a POST, may use without being counted while it is received, in
	// bytes.
	Free = 32 << 10
	// SlowSenderTimeout is how long the sender of a large message may take while other messages wait for memory.
	SlowSenderTimeout = 5 * time.Second
)

// ErrEvicted is the error of a message that was unfinished for too long while other messages waited for memory.
var ErrEvicted = errors.New("engineio: ReceiveLimit is reached, and this message was unfinished for longest")

// Limit is the number of bytes that all large messages may use together. A nil Limit has no bound.
type Limit struct {
	limit int

	mu           sync.Mutex
	used         int
	reservations list.List     // of *Reservation; the message that began first is in front
	changed      chan struct{} // closed at the next change; nil if no goroutine waits for it
}

// New returns a limit of n bytes.
func New(n int) *Limit { return &Limit{limit: n} }

// InUse returns the number of bytes that are counted now.
func (l *Limit) InUse() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.used
}

// Reservation is the memory of a large message that is being received. A nil Reservation has no bound and is never
// evicted.
type Reservation struct {
	of     *Limit
	began  time.Time     // when the message began, plus the time for which it had to wait
	paused time.Time     // when the current wait began; zero if it does not wait
	size   int           // counted bytes
	evict  func()        // makes the reading of the message fail at once
	place  *list.Element // nil once the message is complete or evicted
}

// Begin starts to count a message. If the message is evicted, another goroutine calls evict, which must not block. The
// caller ends the reservation with End.
func (l *Limit) Begin(evict func()) *Reservation {
	if l == nil {
		return nil
	}
	r := &Reservation{of: l, began: time.Now(), evict: evict}
	l.mu.Lock()
	defer l.mu.Unlock()
	r.place = l.reservations.PushBack(r)
	return r
}

// Grow counts n more bytes. It waits until there is room for them. It returns ErrEvicted if the message is evicted, and
// the cause of ctx if ctx ends first.
func (r *Reservation) Grow(ctx context.Context, n int) error {
	if r == nil {
		return nil
	}
	l := r.of
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if r.place == nil {
			return ErrEvicted
		}
		first := l.reservations.Front().Value.(*Reservation)
		if first == r || l.used+n <= l.limit {
			r.size += n
			l.used += n
			return nil
		}
		left := SlowSenderTimeout - first.age()
		if left <= 0 {
			first.leave()
			l.mu.Unlock()
			first.evict()
			l.mu.Lock()
			continue
		}
		r.paused = time.Now()
		err := l.wait(ctx, left)
		r.began, r.paused = r.began.Add(time.Since(r.paused)), time.Time{}
		if err != nil {
			return err
		}
	}
}

// age returns how long the sender has taken so far, without waits. The caller holds the limit's lock.
func (r *Reservation) age() time.Duration {
	if !r.paused.IsZero() {
		return r.paused.Sub(r.began)
	}
	return time.Since(r.began)
}

// wait waits for a change, but at most for d. The caller holds l.mu, which is released while waiting.
func (l *Limit) wait(ctx context.Context, d time.Duration) error {
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

// End stops counting the message. It reports whether the message was evicted.
func (r *Reservation) End() (evicted bool) {
	if r == nil {
		return false
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	if r.place == nil {
		return true
	}
	r.leave()
	return false
}

// Evicted reports whether the message was evicted.
func (r *Reservation) Evicted() bool {
	if r == nil {
		return false
	}
	r.of.mu.Lock()
	defer r.of.mu.Unlock()
	return r.place == nil
}

// leave removes the message and its bytes from the limit. The caller holds the limit's lock.
func (r *Reservation) leave() {
	l := r.of
	l.reservations.Remove(r.place)
	r.place = nil
	l.used -= r.size
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
