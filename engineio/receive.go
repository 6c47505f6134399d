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
	// freeInput is what a message, or the body of a POST, may take while it is received without being counted, in
	// bytes.
	freeInput = 32 << 10
	// patience is how long a sender may take for a large message while others wait for the room that it takes.
	patience = 5 * time.Second
)

// errGaveWay is why a session ends whose message was unfinished for too long.
var errGaveWay = errors.New("engineio: ReceiveLimit is reached, and this message was unfinished for longest")

// receiveLimit bounds what large messages hold together while they are being received. When it is reached, those that
// want to grow wait, all but the one that began first: so that one is always finished, and after it the next. If it is
// not finished within patience, its session gives way. The bound is thereby limit and one message more. The nil limit
// is without bound.
type receiveLimit struct {
	limit int

	mu      sync.Mutex
	used    int
	all     list.List     // of *incoming, the one that began first in front
	changed chan struct{} // closed at the next change; nil if nobody waits for it
}

// incoming is a large message that is being received.
type incoming struct {
	of     *receiveLimit
	began  time.Time     // moved on by the time for which it had to wait
	paused time.Time     // since when it waits; zero if it does not
	size   int           // what is counted of it, in bytes
	evict  func()        // makes its reading fail at once
	place  *list.Element // nil once it has ended or given way
}

// begin counts a message. evict is called, by another goroutine, if it must give way; it must not block.
func (l *receiveLimit) begin(evict func()) *incoming {
	if l == nil {
		return nil
	}
	in := &incoming{of: l, began: time.Now(), evict: evict}
	l.mu.Lock()
	defer l.mu.Unlock()
	in.place = l.all.PushBack(in)
	return in
}

// grow counts n more bytes, when there is room for them.
func (in *incoming) grow(ctx context.Context, n int) error {
	if in == nil {
		return nil
	}
	l := in.of
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if in.place == nil {
			return errGaveWay
		}
		first := l.all.Front().Value.(*incoming)
		if first == in || l.used+n <= l.limit {
			in.size += n
			l.used += n
			return nil
		}
		left := patience - first.age()
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

// age is how long its sender has taken so far. The caller holds the limit's lock.
func (in *incoming) age() time.Duration {
	if !in.paused.IsZero() {
		return in.paused.Sub(in.began)
	}
	return time.Since(in.began)
}

// wait waits for a change, but no longer than d. The caller holds l.mu, which is released while waiting.
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

// end stops counting the message. It says whether that had to give way.
func (in *incoming) end() (gaveWay bool) {
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

// gaveWay tells whether the message had to give way.
func (in *incoming) gaveWay() bool {
	if in == nil {
		return false
	}
	in.of.mu.Lock()
	defer in.of.mu.Unlock()
	return in.place == nil
}

// leave takes the message off the account. The caller holds the limit's lock.
func (in *incoming) leave() {
	l := in.of
	l.all.Remove(in.place)
	in.place = nil
	l.used -= in.size
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// enlarge returns b with more room: twice what it had, but no more than for most bytes in all. Before b becomes larger
// than freeInput, and each time from then on, ask is called with the number of bytes.
func enlarge(b []byte, most int, ask func(n int) error) ([]byte, error) {
	size := min(most, max(512, 2*cap(b)))
	if size <= freeInput {
		return append(make([]byte, 0, size), b...), nil
	}
	if size > 1<<(bits.Len(uint(size))-1) {
		size = 1 << bits.Len(uint(size)) // what the pool has
	}
	if err := ask(size - cap(b)); err != nil {
		return b, err
	}
	larger := append(inputs.get(size), b...)
	inputs.put(b)
	return larger, nil
}

// inputs keeps the buffers of messages that outgrew them or were never finished. A hub that is sent many of those would
// otherwise stand several times above what ReceiveLimit allows, until the garbage collector comes.
var inputs inputPool

// inputPool has a pool for each power of two.
type inputPool [maxInputClass + 1]sync.Pool

// maxInputClass is the class of the largest buffers that are kept, 2 MiB.
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

// put takes a buffer that nobody has any more. Small ones, and those not made by get, it leaves to the garbage collector.
func (p *inputPool) put(b []byte) {
	class := bits.Len(uint(cap(b))) - 1
	if cap(b) <= freeInput || class > maxInputClass || cap(b) != 1<<class {
		return
	}
	b = b[:0]
	p[class].Put(&b)
}

// readBody reads all of r, which has n bytes at most, or fails. See enlarge for ask.
func readBody(r io.Reader, n int, ask func(n int) error) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			var err error
			if body, err = enlarge(body, max(n, len(body))+1, ask); err != nil { // one more, to see the end
				inputs.put(body)
				return nil, err
			}
		}
		m, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+m]
		if err == io.EOF {
			return slices.Clip(body), nil // a kept buffer may hold other bytes behind
		}
		if err != nil {
			inputs.put(body)
			return nil, err
		}
	}
}
