package dispatch

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/mesh/internal/fault"
)

// slowWarning is how long Push waits for room before the queue reports the wait.
const slowWarning = time.Second

// Task holds the argument of calls, and the listeners to call.
type Task[E any] struct {
	Event     E
	Origin    Origin
	First     []*Listener[E] // called before Listeners
	Listeners []*Listener[E]
	Size      int // its share of the queue, in bytes

	next int // the listener to call next
}

func (t *Task[E]) listener(i int) *Listener[E] {
	if i < len(t.First) {
		return t.First[i]
	}
	return t.Listeners[i-len(t.First)]
}

// Queue calls listeners one after another, in the order in which their tasks arrived. Its goroutine exists only while
// tasks are queued. The queue holds no lock during a call.
type Queue[E any] struct {
	limit int // bytes
	spent func(*Listener[E])
	slow  func(E)

	mu     sync.Mutex
	room   sync.Cond // room was made, or Stop was called
	tasks  []Task[E]
	bytes  int // queued, running or reserved
	active bool
	stop   bool

	calling bool          // a call is running
	ended   chan struct{} // closed at the end of that call; nil if no goroutine waits for it

	// Used by the goroutine.
	batch []Task[E]
	at    int // index in batch of the current task
}

// NewQueue returns a queue of at most limit bytes. The queue calls spent for a listener before the listener's last
// call, and slow with the event of a Push that has waited for slowWarning.
func NewQueue[E any](limit int, spent func(*Listener[E]), slow func(E)) *Queue[E] {
	q := &Queue[E]{limit: limit, spent: spent, slow: slow}
	q.room.L = &q.mu
	return q
}

// Push queues a task. It waits while the queue is full. In this way a node slows down a peer that sends more than the
// node's callbacks can process. It returns false if the queue was stopped.
func (q *Queue[E]) Push(t Task[E]) bool { return q.PushUnless(nil, t) }

// PushUnless is like Push. It also returns false if canceled is set before there is room. canceled may be nil.
func (q *Queue[E]) PushUnless(canceled *atomic.Bool, t Task[E]) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.fits(t.Size) && !q.stop {
		warn := time.AfterFunc(slowWarning, func() { q.slow(t.Event) })
		for !q.fits(t.Size) && !q.stop {
			q.room.Wait()
		}
		warn.Stop()
	}
	if q.stop || canceled != nil && canceled.Load() {
		return false
	}
	q.bytes += t.Size
	q.enqueue(t)
	return true
}

// Barrier waits for the critical sections in progress. After it has returned, two things hold. A PushUnless whose
// canceled was set before Barrier began queues no task. And if run has found the group of a listener remote before
// Barrier began, the call of that listener has begun.
func (q *Queue[E]) Barrier() {
	q.mu.Lock()
	defer q.mu.Unlock()
}

// Offer queues a task if there is room. It does not wait. It returns the errors of Reserve.
func (q *Queue[E]) Offer(t Task[E]) error {
	err := q.Reserve(t.Size)
	if err == nil {
		q.Commit(t)
	}
	return err
}

// Reserve reserves room for a task. A later Commit queues the task, or a later Cancel releases the room. Reserve does
// not wait. It returns ErrQueueFull if there is no room, and ErrClosed if the queue was stopped.
func (q *Queue[E]) Reserve(size int) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.stop {
		return fault.ErrClosed
	}
	if !q.fits(size) {
		return fault.ErrQueueFull
	}
	q.bytes += size
	return nil
}

// Commit queues a task for which there is a reservation.
func (q *Queue[E]) Commit(t Task[E]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.stop {
		q.enqueue(t)
	}
}

// Cancel releases a reservation.
func (q *Queue[E]) Cancel(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.bytes -= size
	q.room.Broadcast()
}

// fits reports whether there is room. A task that is larger than the whole queue fits if the queue is empty. The caller
// holds q.mu.
func (q *Queue[E]) fits(size int) bool { return q.bytes == 0 || q.bytes+size <= q.limit }

// Size returns the bytes that are queued, running or reserved.
func (q *Queue[E]) Size() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.bytes
}

// enqueue appends a task, and starts the goroutine if it does not run. The caller holds q.mu.
func (q *Queue[E]) enqueue(t Task[E]) {
	q.tasks = append(q.tasks, t)
	if !q.active {
		q.active = true
		go q.run()
	}
}

// run is the queue's goroutine. It takes all queued tasks, makes their calls, and repeats this until no task is left.
func (q *Queue[E]) run() {
	done := false
	defer func() {
		if !done {
			q.abandoned()
		}
	}()
	q.mu.Lock()
	for q.more() {
		t := &q.batch[q.at]
		for t.next < len(t.First)+len(t.Listeners) && !q.stop {
			q.call(t)
		}
		q.finish(t)
	}
	if max(cap(q.batch), cap(q.tasks)) > maxSpareTasks {
		q.batch, q.tasks, q.at = nil, nil, 0 // a burst made them large
	}
	q.active = false
	q.mu.Unlock()
	done = true
}

// more makes sure that there is a task at q.at. It returns false if no task is left or the queue was stopped. The
// caller holds q.mu.
func (q *Queue[E]) more() bool {
	if q.stop {
		return false
	}
	if q.at == len(q.batch) {
		q.batch, q.tasks, q.at = q.tasks, q.batch[:0], 0 // the two buffers swap their roles
	}
	return len(q.batch) > 0
}

// maxSpareTasks bounds the buffers for tasks that an idle queue keeps.
const maxSpareTasks = 1024

// call makes the next call of a task. The caller holds q.mu, and call releases it while the callback runs. So run does
// not unlock by a defer: when a callback panics, q.mu is free, and the failure of a second Unlock would hide the panic.
func (q *Queue[E]) call(t *Task[E]) {
	l := t.listener(t.next)
	t.next++
	if l.off || !l.Accepts(t.Origin) {
		return
	}
	if l.Left > 0 {
		if l.Left--; l.Left == 0 {
			l.off = true
		}
	}
	spent := l.off
	q.calling = true
	event := t.Event
	q.mu.Unlock()
	if spent {
		q.spent(l)
	}
	l.Call(event)
	q.mu.Lock()
	q.returned()
}

// returned notes that the running call has ended. The caller holds q.mu.
func (q *Queue[E]) returned() {
	q.calling = false
	if q.ended != nil {
		close(q.ended)
		q.ended = nil
	}
}

// finish releases the room of a finished task. The caller holds q.mu.
func (q *Queue[E]) finish(t *Task[E]) {
	q.bytes -= t.Size
	*t = Task[E]{}
	q.at++
	q.room.Broadcast()
}

// abandoned runs when a callback ended the goroutine with runtime.Goexit, as t.FailNow does, or with a panic, which
// continues and ends the process. Another goroutine makes the remaining calls.
func (q *Queue[E]) abandoned() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.returned()
	if q.active = !q.stop; q.active {
		go q.run()
	}
}

// Retire makes sure that no further call of l begins. A call that is running continues.
func (q *Queue[E]) Retire(l *Listener[E]) {
	q.mu.Lock()
	defer q.mu.Unlock()
	l.off = true
}

// Stop drops the queued tasks and rejects new ones. It wakes the goroutines that wait for room. A call that is running
// continues.
func (q *Queue[E]) Stop() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.stop = true
	q.tasks = nil // run leaves the tasks in batch unused
	q.room.Broadcast()
}

// WaitCall waits until the call that is running has ended. It returns the cause of ctx if ctx ends first.
func (q *Queue[E]) WaitCall(ctx context.Context) error {
	q.mu.Lock()
	if !q.calling {
		q.mu.Unlock()
		return nil
	}
	if q.ended == nil {
		q.ended = make(chan struct{})
	}
	ended := q.ended
	q.mu.Unlock()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
