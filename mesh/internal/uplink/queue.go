package uplink

import (
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// queue holds the events that wait to be written, oldest first, limited in bytes.
type queue struct {
	limit  int
	bytes  int
	events []queued
	head   int // the index of the first event; the events before it were removed
}

// queued is an event that is not encoded yet, because the encoding depends on the hub that will receive it.
type queued struct {
	event   string
	payload json.RawMessage
	rid     string // set for a request
}

func (q *queue) empty() bool { return q.head == len(q.events) }

// push returns false if the queue is full. An event larger than the limit fits into an empty queue.
func (q *queue) push(p queued) bool {
	size := wire.Size(p.event, p.payload)
	if q.bytes > 0 && q.bytes+size > q.limit {
		return false
	}
	if q.head > len(q.events)/2 {
		n := copy(q.events, q.events[q.head:])
		clear(q.events[n:])
		q.events, q.head = q.events[:n], 0
	}
	q.events = append(q.events, p)
	q.bytes += size
	return true
}

func (q *queue) front() queued { return q.events[q.head] }

func (q *queue) pop() {
	p := q.events[q.head]
	q.bytes -= wire.Size(p.event, p.payload)
	q.events[q.head] = queued{}
	if q.head++; q.empty() {
		q.events, q.head = nil, 0
	}
}
