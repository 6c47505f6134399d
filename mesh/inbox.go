package mesh

import (
	"encoding/json"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// inbox receives the replies to a node's requests. All of them are events of one name.
type inbox struct {
	name string
	once sync.Once // guards the subscription to name

	mu      sync.Mutex
	waiting map[string]*waiting // by rid
}

// waiting is a request that waits for its reply.
type waiting struct {
	event  string
	answer chan answer // has room for one reply
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

// close ends the wait. Later replies to the request are dropped.
func (b *inbox) close(rid string) { b.take(rid) }

// take removes a waiting request and returns it; nil if it does not wait.
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

// receive passes a reply to its request. Replies do not go through the callback queue, so that a callback can wait for
// one.
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
		w.answer <- answer{err: &RemoteError{Message: wire.Truncate(messageOf(failure))}}
		return
	}
	w.answer <- answer{event: Event{Name: w.event, Payload: o["data"], From: e.From}}
}

// messageOf returns the text of an error: the decoded string, or any other JSON value as it is.
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
