package engineio

import (
	"container/heap"
	"sync"
	"time"
)

// alarms holds the alarms of all sockets of one server, or of one client socket. One timer serves all alarms, and each
// alarm is an entry in a heap: a separate time.Timer would cost an idle session 140 bytes.
type alarms struct {
	mu    sync.Mutex
	began time.Time // when the first alarm was set
	queue alarmQueue
	timer *time.Timer
	next  time.Duration // when the timer rings, as time since began; valid if set
	set   bool
}

// after sets the alarm of s: after d, a new goroutine calls s.tick. It replaces an earlier alarm of s.
func (a *alarms) after(s *Socket, d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.began.IsZero() {
		a.began = time.Now()
	}
	s.alarmAt = time.Since(a.began) + d
	if s.alarmPlace == 0 {
		heap.Push(&a.queue, s)
	} else {
		heap.Fix(&a.queue, int(s.alarmPlace)-1)
	}
	a.wind()
}

// stop removes the alarm of s. The alarm may be ringing at this moment.
func (a *alarms) stop(s *Socket) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if s.alarmPlace > 0 {
		heap.Remove(&a.queue, int(s.alarmPlace)-1)
	}
	if len(a.queue) == 0 && a.set {
		a.timer.Stop()
		a.set = false
	}
}

// ring calls tick for the sockets whose alarms are due.
func (a *alarms) ring() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set = false
	for now := time.Since(a.began); len(a.queue) > 0 && a.queue[0].alarmAt <= now; {
		go heap.Pop(&a.queue).(*Socket).tick() // on a new goroutine, because tick may close a connection, which can take time
	}
	a.wind()
}

// wind sets the timer for the first alarm. It does not change a timer that rings earlier: most alarms are moved to a
// later time before they ring.
func (a *alarms) wind() {
	if len(a.queue) == 0 {
		return
	}
	first := a.queue[0].alarmAt
	if a.set && a.next <= first {
		return
	}
	a.next, a.set = first, true
	left := first - time.Since(a.began)
	if a.timer == nil {
		a.timer = time.AfterFunc(left, a.ring)
	} else {
		a.timer.Reset(left)
	}
}

// alarmQueue implements heap.Interface, with the next alarm in front.
type alarmQueue []*Socket

func (q alarmQueue) Len() int           { return len(q) }
func (q alarmQueue) Less(i, j int) bool { return q[i].alarmAt < q[j].alarmAt }

func (q alarmQueue) Swap(i, j int) {
	q[i], q[j] = q[j], q[i]
	q[i].alarmPlace, q[j].alarmPlace = int32(i+1), int32(j+1)
}

func (q *alarmQueue) Push(s any) {
	*q = append(*q, s.(*Socket))
	s.(*Socket).alarmPlace = int32(len(*q))
}

func (q *alarmQueue) Pop() any {
	last := len(*q) - 1
	s := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	s.alarmPlace = 0
	return s
}
