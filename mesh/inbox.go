package mesh

import (
	"encoding/json"
	"sync"
)

// inbox is where the answers to a node's requests come in: one event for all of them.
type inbox struct {
	name string
	once sync.Once // announces it

	mu      sync.Mutex
	waiting map[string]*waiting // by rid
}

// waiting is a request that waits for its answer.
type waiting struct {
	event  string
	answer chan answer // has room for one
}

type answer struct {
	event Event
	err   error
}

func newInbox(id string) inbox {
	return inbox{name: replyPrefix + id, waiting: make(map[string]*waiting)}
}

func (b *inbox) open(rid, event string) <-chan answer {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := &waiting{event: event, answer: make(chan answer, 1)}
	b.waiting[rid] = w
	return w.answer
}

// close ends the wait. What comes for the request from now on is dropped.
func (b *inbox) close(rid string) { b.take(rid) }

// take returns the request that waits, once; nil if there is none.
func (b *inbox) take(rid string) *waiting {
	b.mu.Lock()
	defer b.mu.Unlock()
	w := b.waiting[rid]
	delete(b.waiting, rid)
	return w
}

func (b *inbox) idle() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.waiting) == 0
}

// receive takes an answer. It does not go the way of other events, so that a callback can wait for it.
func (b *inbox) receive(e Event) {
	if b.idle() {
		return
	}
	o, ok := parseObject(e.Payload)
	var rid string
	if !ok || json.Unmarshal(o["rid"], &rid) != nil {
		return
	}
	w := b.take(rid)
	if w == nil {
		return
	}
	if failure := o["error"]; len(failure) > 0 && string(failure) != "null" {
		w.answer <- answer{err: &RemoteError{Message: cutText(messageOf(failure))}}
		return
	}
	w.answer <- answer{event: Event{Name: w.event, Payload: o["data"], From: e.From}}
}

// messageOf returns the text of an error: a string, or whatever JSON it is.
func messageOf(failure json.RawMessage) (s string) {
	if json.Unmarshal(failure, &s) != nil {
		return string(failure)
	}
	return s
}

// fail ends a request with an error.
func (b *inbox) fail(rid string, err error) {
	if w := b.take(rid); w != nil {
		w.answer <- answer{err: err}
	}
}
