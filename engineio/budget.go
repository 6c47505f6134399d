package engineio

import (
	"cmp"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// budget bounds the bytes that all sockets of a server hold in their queues. The nil budget is without bound.
//
// Each backlog counts in used what it holds. A message that Prepare made stands in many queues and exists once, but to
// count it once as it comes and goes would cost each delivery two atomic operations. So the budget looks at the queues only
// when it seems spent, and notes then how much of used was counted more than once.
type budget struct {
	limit   int64
	sockets func() []*Socket
	log     *slog.Logger
	used    atomic.Int64 // bytes that backlogs have taken
	shared  atomic.Int64 // of those, bytes that were counted more than once, at least
	given   atomic.Int64 // bytes given back, ever

	relief sync.Mutex // for relieve
	ended  tally      // sessions that relieve has ended
}

func (b *budget) take(n int) bool {
	if b == nil {
		return true
	}
	if b.used.Add(int64(n))-b.shared.Load() > b.limit {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

// give takes n bytes back. Any of them may be among those that were counted more than once.
func (b *budget) give(n int) {
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

// relieve makes room for n bytes when the budget is spent, and reports whether there is some. It counts messages that stand
// in several queues once. If that is not enough, it ends sessions until an eighth of the budget is free: first those with
// the most bytes and seconds in their queues, which are those of peers that do not read. The caller must not hold the lock of a
// socket.
func (b *budget) relieve(n int) bool {
	if b == nil || int64(n) > b.limit {
		return false
	}
	b.relief.Lock()
	defer b.relief.Unlock()
	if b.used.Load()-b.shared.Load()+int64(n) <= b.limit {
		return true // another call made it
	}
	c := b.count()
	for len(c.queues) > 0 && b.used.Load()-c.shared+int64(n) > b.limit-b.limit/8 {
		b.end(c.queues[0], &c)
		c.queues = c.queues[1:]
	}
	// What was given back during the count may have been counted more than once.
	b.shared.Store(max(0, c.shared-(b.given.Load()-c.given)))
	return b.used.Load()-b.shared.Load()+int64(n) <= b.limit
}

// count is a look at all backlogs.
type count struct {
	number uint32
	given  int64          // of the budget when it began
	shared int64          // bytes that are counted more than once
	queues []countedQueue // the one to end first in front
}

type countedQueue struct {
	socket *Socket
	queued int
	waited time.Duration // since it last shrank
}

// counts numbers the counts of all servers, which may share messages.
var counts atomic.Uint32

func (b *budget) count() count {
	c := count{number: counts.Add(1), given: b.given.Load()}
	for _, s := range b.sockets() {
		s.mu.Lock()
		if s.backlog != nil && s.state != stateClosed {
			again := 0
			s.eachShared(func(o *outgoing) {
				if o.countIn(c.number) > 1 {
					again += o.size()
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

// weight is how much a queue holds, and for how long.
func (q countedQueue) weight() float64 {
	return float64(q.queued) * max(q.waited, time.Millisecond).Seconds()
}

// end ends the session of a queue, on another goroutine because closing a connection can take time. The budget has its bytes
// at once.
func (b *budget) end(q countedQueue, c *count) {
	s := q.socket
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog == nil || s.state == stateClosed {
		return
	}
	s.eachShared(func(o *outgoing) {
		if o.countOut(c.number) > 0 {
			c.shared = max(0, c.shared-int64(o.size()))
		}
	})
	b.used.Add(-int64(s.backlog.reserved))
	s.backlog.reserved = 0
	s.conf.wg.Go(func() { s.finish(&CloseError{Reason: ReasonForcedClose, Err: ErrBufferLimit}, nil) })
	if times := b.ended.note(); times > 0 {
		b.log.Warn("engineio: BufferLimit is spent: ended the session whose queue was the fullest and had waited the longest",
			"queued", q.queued, "waited", q.waited, "limit", b.limit, "times", times)
	}
}

// eachShared calls f with each message of the queue that Prepare made. The caller holds s.mu and has a backlog.
func (s *Socket) eachShared(f func(*outgoing)) {
	for _, queue := range [][]*outgoing{s.backlog.out, s.queue} {
		for _, o := range queue {
			if o.shared {
				f(o)
			}
		}
	}
}

// countIn notes that one more queue holds o, and returns how many that count has seen. Two servers that share messages may
// count at once, and then count more than is there.
func (o *outgoing) countIn(number uint32) (queues uint32) {
	queues = 1
	if seen := o.counted.Load(); uint32(seen>>32) == number {
		queues = uint32(seen) + 1
	}
	o.counted.Store(uint64(number)<<32 | uint64(queues))
	return queues
}

// countOut notes that one queue less holds o, and returns how many still do.
func (o *outgoing) countOut(number uint32) (queues uint32) {
	seen := o.counted.Load()
	if uint32(seen>>32) != number || uint32(seen) == 0 {
		return 0
	}
	o.counted.Store(seen - 1)
	return uint32(seen) - 1
}
