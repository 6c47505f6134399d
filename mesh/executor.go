package mesh

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// slowWarning is how long a reader waits for room before the executor logs the wait.
const slowWarning = time.Second

// listener is a callback and its state.
type listener struct {
	pattern  string // as the index stores it; "" for OnAny, OnState and OnPresence
	resource *Resource
	event    func(Event)
	state    func(State)
	seq      uint64 // listeners of one event are called in the order in which they were added

	// Guarded by the executor's mu.
	left int  // remaining calls; 0 means no limit
	off  bool // no further calls
}

// task holds the arguments of callbacks, and the listeners to call.
type task struct {
	event     Event
	origin    origin      // of event
	state     *State      // instead of event
	any       []*listener // called first, as the original calls the listeners of OnAny
	listeners []*listener
	next      int // the listener to call next
	size      int // its share of the queue, in bytes
}

func (t *task) listener(i int) *listener {
	if i < len(t.any) {
		return t.any[i]
	}
	return t.listeners[i-len(t.any)]
}

// executor calls a node's callbacks one after another, in the order in which their tasks arrived. Its goroutine exists
// only while tasks are queued. The executor holds no lock during a call.
type executor struct {
	limit  int // bytes
	logger *slog.Logger
	// spent is called for a listener before its last call. It is set before the first task.
	spent func(*listener)

	mu     sync.Mutex
	news   sync.Cond // a call ended, room was made, the goroutine ended, or halt was called
	tasks  []task
	bytes  int // queued, running or reserved
	active bool
	stop   bool

	// Used by the goroutine.
	id      uint64 // while it is active
	batch   []task
	at      int       // index in batch of the current task
	current *listener // the listener whose callback is running
}

func newExecutor(limit int, logger *slog.Logger) *executor {
	x := &executor{limit: limit, logger: logger}
	x.news.L = &x.mu
	return x
}

// push queues a task. It waits while the queue is full. In this way a node slows down a peer that sends more than the
// node's callbacks can process. It returns false if the executor was stopped.
func (x *executor) push(t task) bool { return x.pushFor(t, nil) }

// pushFor is like push. It also returns false if void is set before there is room. void may be nil.
func (x *executor) pushFor(t task, void *atomic.Bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.fits(t.size) && !x.stop {
		event := t.event.Name
		warn := time.AfterFunc(slowWarning, func() {
			x.logger.Warn("mesh: callbacks are slow: reading from the connection pauses", "event", event)
		})
		for !x.fits(t.size) && !x.stop {
			x.news.Wait()
		}
		warn.Stop()
	}
	if x.stop || void != nil && void.Load() {
		return false
	}
	x.bytes += t.size
	x.enqueue(t)
	return true
}

// pass waits for pushes in progress. After it has returned, no push that began earlier queues a task if its void was
// set before the call.
func (x *executor) pass() {
	x.mu.Lock()
	defer x.mu.Unlock()
}

// offer queues a task if there is room. It does not wait.
func (x *executor) offer(t task) error {
	err := x.reserve(t.size)
	if err == nil {
		x.commit(t)
	}
	return err
}

// reserve reserves room for a task. A later commit queues the task, or a later cancel releases the room. reserve does
// not wait.
func (x *executor) reserve(size int) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stop {
		return ErrClosed
	}
	if !x.fits(size) {
		return ErrQueueFull
	}
	x.bytes += size
	return nil
}

func (x *executor) commit(t task) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.stop {
		x.enqueue(t)
	}
}

func (x *executor) cancel(size int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.bytes -= size
	x.news.Broadcast()
}

// fits reports whether there is room. A task that is larger than the whole queue fits if the queue is empty.
func (x *executor) fits(size int) bool { return x.bytes == 0 || x.bytes+size <= x.limit }

// size returns the bytes that are queued, running or reserved.
func (x *executor) size() int {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.bytes
}

func (x *executor) enqueue(t task) {
	x.tasks = append(x.tasks, t)
	if !x.active {
		x.active = true
		go x.run()
	}
}

// run is the executor's goroutine. It takes all queued tasks, makes their calls, and repeats this until no task is
// left.
func (x *executor) run() {
	id := goroutineID()
	ended := false
	defer func() {
		if !ended {
			x.abandoned()
		}
	}()
	x.mu.Lock()
	x.id = id
	for x.more() {
		t := &x.batch[x.at]
		for t.next < len(t.any)+len(t.listeners) && !x.stop {
			x.call(t)
		}
		x.finish(t)
	}
	if max(cap(x.batch), cap(x.tasks)) > maxSpareTasks {
		x.batch, x.tasks, x.at = nil, nil, 0 // a burst made them large
	}
	x.active, x.id = false, 0
	x.news.Broadcast()
	x.mu.Unlock()
	ended = true
}

// more makes sure that there is a task at x.at. It returns false if no task is left or the executor was stopped.
func (x *executor) more() bool {
	if x.stop {
		return false
	}
	if x.at == len(x.batch) {
		x.batch, x.tasks, x.at = x.tasks, x.batch[:0], 0 // the two buffers swap their roles
	}
	return len(x.batch) > 0
}

// maxSpareTasks bounds the buffers for tasks that an idle executor keeps.
const maxSpareTasks = 1024

// call makes the next call of a task. It releases the lock during the call. So run does not unlock by a defer: when a
// callback panics, the lock is free, and the failure of a second Unlock would hide the panic.
func (x *executor) call(t *task) {
	l := t.listener(t.next)
	t.next++
	if l.off || !l.hears(t.origin) {
		return
	}
	if l.left > 0 {
		if l.left--; l.left == 0 {
			l.off = true
		}
	}
	spent := l.off
	x.current = l
	event, state := t.event, t.state
	x.mu.Unlock()
	if spent {
		x.spent(l)
	}
	if state != nil {
		l.state(*state)
	} else {
		l.event(event)
	}
	x.mu.Lock()
	x.current = nil
	x.news.Broadcast()
}

// finish releases the room of a finished task.
func (x *executor) finish(t *task) {
	x.bytes -= t.size
	*t = task{}
	x.at++
	x.news.Broadcast()
}

// abandoned runs when a callback ended the goroutine with runtime.Goexit, as t.FailNow does, or with a panic, which
// continues and ends the process. Another goroutine makes the remaining calls.
func (x *executor) abandoned() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.current, x.id = nil, 0
	if x.active = !x.stop; x.active {
		go x.run()
	}
	x.news.Broadcast()
}

// retire makes sure that l is not called again. settle waits for a call in progress.
func (x *executor) retire(l *listener) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l.off = true
}

// settle waits until a call of l in progress has ended, unless the caller runs inside a callback.
func (x *executor) settle(l *listener) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.current != l || x.id == goroutineID() {
		return
	}
	for x.current == l {
		x.news.Wait()
	}
}

// inside reports whether the caller runs inside a callback.
func (x *executor) inside() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.active && x.id == goroutineID()
}

// halt drops the queued tasks and rejects new ones. It wakes the goroutines that wait for room.
func (x *executor) halt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stop = true
	x.tasks = nil // run leaves the tasks in batch unused
	x.news.Broadcast()
}

// wait waits for the goroutine to end after halt, unless the caller runs inside a callback.
func (x *executor) wait() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.active || x.id == goroutineID() {
		return
	}
	for x.active {
		x.news.Wait()
	}
}
