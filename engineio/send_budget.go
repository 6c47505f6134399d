package engineio

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/wire"
	"github.com/bigcompany/mesh/engineio/logthrottle"
)

// sendBudget bounds the bytes that all sockets of a server hold in their queues, apart from the first 16 KiB of each
// queue. A nil sendBudget has no bound.
//
// Each backlog adds its bytes to used. A message made by Prepare is in many queues but exists once. Counting it once at
// each change would cost each delivery two atomic operations. So the budget inspects the queues only when it seems
// spent, and then records how many bytes of used were counted more than once.
type sendBudget struct {
	limit   int64
	sockets func() []*Socket
	log     *slog.Logger
	used    atomic.Int64 // bytes reserved by backlogs
	shared  atomic.Int64 // of used, the bytes that were certainly counted more than once
	given   atomic.Int64 // bytes given back, in total

	makingRoom sync.Mutex           // serializes makeRoom
	ended      logthrottle.Throttle // sessions that makeRoom has ended
}

func (b *sendBudget) reserve(n int) bool {
	if b == nil {
		return true
	}
	if b.used.Add(int64(n))-b.shared.Load() > b.limit {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// release returns n bytes to the budget. Any of them may be bytes that were counted more than once.
func (b *sendBudget) release(n int) {
	if b == nil || n == 0 {
		return
	}
	b.given.Add(int64(n))
	for {
		shared := b.shared.Load()
		if shared == 0 || b.shared.CompareAndSwap(shared, max(0, shared-int64(n))) {
			break
		}
	}
	b.used.Add(-int64(n))
}

// makeRoom makes room for n bytes when the budget is spent, and reports whether there is room. It counts a message that
// is in several queues once. If that is not enough, it ends sessions until an eighth of the budget is free. It first
// ends the sessions with the largest product of queued bytes and waiting time, because their peers do not read. The
// caller must not hold the lock of a socket.
func (b *sendBudget) makeRoom(n int) bool {
	if b == nil || int64(n) > b.limit {
		return false
	}
	b.makingRoom.Lock()
	defer b.makingRoom.Unlock()
	if b.used.Load()-b.shared.Load()+int64(n) <= b.limit {
		return true // another call made the room
	}
	c := b.count()
	for len(c.queues) > 0 && b.used.Load()-c.shared+int64(n) > b.limit-b.limit/8 {
		b.end(c.queues[0], &c)
		c.queues = c.queues[1:]
	}
	// The bytes that were given back during the count may have been counted more than once.
	b.shared.Store(max(0, c.shared-(b.given.Load()-c.given)))
	return b.used.Load()-b.shared.Load()+int64(n) <= b.limit
}

// count is the result of one inspection of all backlogs.
type count struct {
	number uint32
	given  int64          // the value of sendBudget.given when the count began
	shared int64          // bytes that were counted more than once
	queues []countedQueue // the queue to end first is in front
}

type countedQueue struct {
	socket *Socket
	queued int
	waited time.Duration // since the queue last shrank
}

// counts numbers the counts of all servers, because servers may share messages.
var counts atomic.Uint32

func (b *sendBudget) count() count {
	c := count{number: counts.Add(1), given: b.given.Load()}
	for _, s := range b.sockets() {
		s.mu.Lock()
		if s.backlog != nil && s.state != stateClosed {
			again := 0
			s.eachShared(func(o *wire.Outgoing) {
				if o.CountIn(c.number) > 1 {
					again += o.Size()
				}
			})
			c.shared += int64(min(again, s.backlog.reserved))
			c.queues = append(c.queues, countedQueue{s, s.queued, time.Since(s.backlog.shrank)})
		}
		s.mu.Unlock()
	}
	slices.SortFunc(c.queues, func(x, y countedQueue) int { return cmp.Compare(y.weight(), x.weight()) })
	return c
}

// weight returns the product of a queue's bytes and its waiting time in seconds.
func (q countedQueue) weight() float64 {
	return float64(q.queued) * max(q.waited, time.Millisecond).Seconds()
}

// end ends the session of a queue on another goroutine, because closing a connection can take time. The budget gets the
// queue's bytes back at once.
func (b *sendBudget) end(q countedQueue, c *count) {
	s := q.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog == nil || s.state == stateClosed {
		return
	}
	s.eachShared(func(o *wire.Outgoing) {
		if o.CountOut(c.number) > 0 {
			c.shared = max(0, c.shared-int64(o.Size()))
		}
	})
	b.used.Add(-int64(s.backlog.reserved))
	s.backlog.reserved = 0
	s.conf.wg.Go(func() { s.finish(&CloseError{Reason: ReasonForcedClose, Err: ErrBufferLimit}, nil) })
	if times := b.ended.Allow(); times > 0 {
		b.log.Warn("engineio: BufferLimit is spent: ended the session whose queue was the fullest and had waited the longest",
			"queued", q.queued, "waited", q.waited, "limit", b.limit, "times", times)
	}
}

// eachShared calls f with each shared message of the queue. The caller holds s.mu and has a backlog.
func (s *Socket) eachShared(f func(*wire.Outgoing)) {
	for _, queue := range [][]*wire.Outgoing{s.backlog.out, s.queue} {
		for _, o := range queue {
			if o.Shared {
				f(o)
			}
		}
	}
}
