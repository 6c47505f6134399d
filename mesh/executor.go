package mesh

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// slowWarning is how long a reader waits for room before the wait is logged.
const slowWarning = time.Second

// listener is one callback, and what is known of it.
type listener struct {
	pattern  string // as the index keeps it; "" for OnAny and OnState
	resource *Resource
	event    func(Event)
	state    func(State)
	seq      uint64 // listeners of one event are called in the order in which they were added

	// Guarded by the executor's mu.
	left int  // calls to go; 0 means no bound
	off  bool // not to be called again
}

// task is what a node's callbacks have to be called with.
type task struct {
	event     Event
	origin    origin      // of event
	state     *State      // instead of event
	any       []*listener // called first, as those of OnAny are in the original
	listeners []*listener
	next      int // the listener to call next
	size      int // what it counts in the queue, in bytes
}

func (t *task) listener(i int) *listener {
	if i < len(t.any) {
		return t.any[i]
	}
	return t.listeners[i-len(t.any)]
}

// executor calls a node's callbacks, one after another, in the order in which their tasks came. Its goroutine starts
// when there is something to call and ends when there is nothing more. No lock is held during a call.
type executor struct {
	limit  int // bytes
	logger *slog.Logger
	// spent is told of a listener that is about to get its last call. Set before the first task.
	spent func(*listener)

	mu     sync.Mutex
	news   sync.Cond // a call ended, room was made, the goroutine ended, or halt was called
	tasks  []task
	bytes  int // queued, running, or reserved
	active bool
	stop   bool

	// Of the goroutine.
	id      uint64 // while it is active
	batch   []task
	at      int       // the task in batch that it is at
	current *listener // being called
}

func newExecutor(limit int, logger *slog.Logger) *executor {
	x := &executor{limit: limit, logger: logger}
	x.news.L = &x.mu
	return x
}

// push queues a task. While the queue is full it waits, which is how a node slows down the peer that brings more than
// its callbacks can take. It returns false if the executor was stopped.
func (x *executor) push(t task) bool { return x.pushFor(t, nil) }

// pushFor is push, and also returns false if void is set before there is room; void may be nil.
func (x *executor) pushFor(t task, void *atomic.Bool) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.fits(t.size) && !x.stop {
		event := t.event.Name
		warn := time.AfterFunc(slowWarning, func() {
			x.logger.Warn("mesh: callbacks are slow: the connection that brings events for them waits", "event", event)
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

// pass returns when no push that began before can queue a task although its void was set by then.
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

// reserve takes room for a task, which commit then queues, or cancel gives back. It does not wait.
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

// fits tells whether there is room. What is larger than the whole queue fits when nothing else is there.
func (x *executor) fits(size int) bool { return x.bytes == 0 || x.bytes+size <= x.limit }

// size returns what is queued, running or reserved, in bytes.
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

// run is the goroutine: it takes all tasks there are, makes their calls, and comes back for more.
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

// more makes sure that there is a task at x.at, and returns false if there is none or none is wanted.
func (x *executor) more() bool {
	if x.stop {
		return false
	}
	if x.at == len(x.batch) {
		x.batch, x.tasks, x.at = x.tasks, x.batch[:0], 0 // the buffers take turns
	}
	return len(x.batch) > 0
}

// maxSpareTasks bounds the buffers for tasks that an idle executor keeps.
const maxSpareTasks = 1024

// call makes a task's next call. The lock is released during it. It is not released by a defer, which would hide a
// callback's panic behind one of its own.
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

// finish gives back the room of a task that has been dealt with.
func (x *executor) finish(t *task) {
	x.bytes -= t.size
	*t = task{}
	x.at++
	x.news.Broadcast()
}

// abandoned runs when a callback ended the goroutine with runtime.Goexit, as t.FailNow does, or with a panic, which
// goes on and ends the process. The calls that are left are for another goroutine.
func (x *executor) abandoned() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.current, x.id = nil, 0
	if x.active = !x.stop; x.active {
		go x.run()
	}
	x.news.Broadcast()
}

// retire sees to it that l is not called again. The call that is under way is waited for by settle.
func (x *executor) retire(l *listener) {
	x.mu.Lock()
	defer x.mu.Unlock()
	l.off = true
}

// settle waits for the call of l that is under way, unless it was called by it.
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

// inside tells whether it was called by a callback.
func (x *executor) inside() bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.active && x.id == goroutineID()
}

// halt drops what is queued, and lets nothing in any more. Those who wait for room go away.
func (x *executor) halt() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.stop = true
	x.tasks = nil // and what is in batch is left where it is
	x.news.Broadcast()
}

// wait waits for the goroutine to end, after halt, unless it was called by a callback.
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
