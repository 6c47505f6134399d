package natsbackplane

import "sync"

// queue is a queue that is bounded in bytes. One goroutine takes from it.
type queue[T any] struct {
	limit int

	mu     sync.Mutex
	items  []T
	spare  []T // the row that was taken last
	size   int // bytes, of what is being dealt with too
	woken  bool
	closed bool
	news   sync.Cond // of mu
}

// maxSpare bounds the rows whose memory is kept for the next ones.
const maxSpare = 4096

func newQueue[T any](limit int) *queue[T] {
	q := &queue[T]{limit: limit}
	q.news.L = &q.mu
	return q
}

// hasRoom tells whether something of a size can be pushed. Something always can when nothing waits.
func (q *queue[T]) hasRoom(size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.room(size)
}

func (q *queue[T]) room(size int) bool { return q.size == 0 || q.size+size <= q.limit }

func (q *queue[T]) push(item T, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.append(item, size)
}

// tryPush pushes something if there is room for it.
func (q *queue[T]) tryPush(item T, size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if !q.room(size) {
		return false
	}
	q.append(item, size)
	return true
}

func (q *queue[T]) append(item T, size int) {
	if q.closed {
		return
	}
	q.items = append(q.items, item)
	q.size += size
	q.news.Signal()
}

// wake makes take return, with nothing if there is nothing.
func (q *queue[T]) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.woken = true
	q.news.Signal()
}

// take waits until there is something and returns all of it, for the taker's use until it takes again. more is false
// when the queue is closed and this is the last of it.
func (q *queue[T]) take() (row []T, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.spare)
	if cap(q.spare) > maxSpare { // a flood is over
		q.spare = nil
	}
	for len(q.items) == 0 && !q.closed && !q.woken {
		q.news.Wait()
	}
	row = q.items
	q.items, q.spare = q.spare[:0], row
	q.woken = false
	return row, !q.closed
}

// done says that something was dealt with.
func (q *queue[T]) done(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size -= size
}

// close lets the taker end once it has taken everything. What is pushed from now on is dropped.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.news.Signal()
}
