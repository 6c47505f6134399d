package natsbackplane

import "sync"

// queue is a queue limited in bytes. Only one goroutine calls take.
type queue[T any] struct {
	limit int

	mu       sync.Mutex
	items    []T
	spare    []T // the items of the last take
	size     int // bytes, including the items that are being processed
	signaled bool
	closed   bool
	changed  sync.Cond // of mu
}

// maxSpare limits the items of a batch whose memory is reused.
const maxSpare = 4096

func newQueue[T any](limit int) *queue[T] {
	q := &queue[T]{limit: limit}
	q.changed.L = &q.mu
	return q
}

// hasRoom reports whether an item of a size fits. Every item fits into an empty queue.
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

// tryPush pushes an item if it fits.
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
	q.changed.Signal()
}

// wake makes take return, even without items.
func (q *queue[T]) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.signaled = true
	q.changed.Signal()
}

// take waits for items and returns all of them. The caller may use the slice until it calls take again. more is false
// when the queue is closed and these are the last items.
func (q *queue[T]) take() (batch []T, more bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	clear(q.spare)
	if cap(q.spare) > maxSpare { // after a burst
		q.spare = nil
	}
	for len(q.items) == 0 && !q.closed && !q.signaled {
		q.changed.Wait()
	}
	batch = q.items
	q.items, q.spare = q.spare[:0], batch
	q.signaled = false
	return batch, !q.closed
}

// done releases the room of a processed item.
func (q *queue[T]) done(size int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.size -= size
}

// close makes take return more == false. Later pushes are dropped.
func (q *queue[T]) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.closed = true
	q.changed.Signal()
}
