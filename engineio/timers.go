package engineio

import (
	"container/heap"
	"sync"
	"time"
)

// timers holds one timer for each socket of a server, or the timer of one client socket. All of them share one
// time.Timer, and each is an entry in a heap: a separate time.Timer would cost an idle session 140 bytes.
type timers struct {
	mu    sync.Mutex
	began time.Time // when the first timer was set
	queue timerHeap
	timer *time.Timer
	next  time.Duration // when the time.Timer fires, as time since began; valid if armed
	armed bool
}

// set sets the timer of s: after d, a new goroutine calls s.onTimer. It replaces an earlier timer of s.
func (a *timers) set(s *Socket, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.IsZero() {
		a.began = time.Now()
	}
	s.timerAt = time.Since(a.began) + d
	if s.timerIndex == 0 {
		heap.Push(&a.queue, s)
	} else {
		heap.Fix(&a.queue, int(s.timerIndex)-1)
	}
	a.arm()
}

// stop removes the timer of s. The timer may be firing at this moment.
func (a *timers) stop(s *Socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.timerIndex > 0 {
		heap.Remove(&a.queue, int(s.timerIndex)-1)
	}
	if len(a.queue) == 0 && a.armed {
		a.timer.Stop()
		a.armed = false
	}
}

// fire calls onTimer for the sockets whose timers are due.
func (a *timers) fire() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.armed = false
	for now := time.Since(a.began); len(a.queue) > 0 && a.queue[0].timerAt <= now; {
		go heap.Pop(&a.queue).(*Socket).onTimer() // on a new goroutine, because onTimer may close a connection, which can take time
	}
	a.arm()
}

// arm makes the time.Timer fire for the first socket. It does not change a time.Timer that fires earlier: most sockets
// move their timers to a later time before they fire.
func (a *timers) arm() {
	if len(a.queue) == 0 {
		return
	}
	first := a.queue[0].timerAt
	if a.armed && a.next <= first {
		return
	}
	a.next, a.armed = first, true
	left := first - time.Since(a.began)
	if a.timer == nil {
		a.timer = time.AfterFunc(left, a.fire)
	} else {
		a.timer.Reset(left)
	}
}

// timerHeap implements heap.Interface, with the next timer in front.
type timerHeap []*Socket

func (q timerHeap) Len() int           { return len(q) }
func (q timerHeap) Less(i, j int) bool { return q[i].timerAt < q[j].timerAt }

func (q timerHeap) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].timerIndex, q[j].timerIndex = int32(i+1), int32(j+1)
}

func (q *timerHeap) Push(s any) {
	*q = append(*q, s.(*Socket))
	s.(*Socket).timerIndex = int32(len(*q))
}

func (q *timerHeap) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.timerIndex = 0
	return s
}
