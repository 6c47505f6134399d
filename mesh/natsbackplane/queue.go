package natsbackplane

import "sync"

// queue is a queue that is bounded in bytes. One goroutine takes from it.
type queue[T any] struct {
	limit int

	mu     sync.Mutex
	items  []T
	spare  []T // the row that was taken last
	size   int // bytes, of what is being dealt with too
	closed bool
	news   sync.Cond // of mu
}

func newQueue[T any](limit int) *queue[T] {
	q := &queue[T]{limit: limit}
	q.news.L = &q.mu
	return q
}

// hasRoom tells whether something of a size can be pushed. Something always can when nothing waits.
func (q *queue[T]) hasRoom(size int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.size == 0 || q.size+size <= q.limit
}

func (q *queue[T]) push(item T, size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return
	}
	q.items = append(q.items, item)
	q.size += size
	q.news.Signal()
}

// take waits until there is something and returns all of it, for the taker's use until it takes again. It returns false
// when the queue is closed and this is the last of it.
func (q *queue[T]) take() (row []T, goesOn bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.items) == 0 && !q.closed {
		q.news.Wait()
	}
	clear(q.spare)
	row = q.items
	q.items, q.spare = q.spare[:0], row
	if cap(q.items) > 4096 { // a flood is over
		q.items = nil
	}
	return row, !q.closed
}

// done says that something was dealt with.
func (q *queue[T]) done(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size -= size
}

// close lets the taker end once it has taken everything. Nothing can be pushed any more.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.news.Signal()
}

// clear drops what waits.
func (q *queue[T]) clear() {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.items)
	q.items = nil
}
