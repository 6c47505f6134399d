package uplink

import (
	"encoding/json"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// heldEvent is an event, or a notice that a node has joined or left.
type heldEvent struct {
	wire.Event
	notice bool
}

// key returns the key that distinguishes an event from others. A notice has the same key at every hub.
func (e *heldEvent) key() (eventKey, bool) {
	if !e.notice {
		return eventKey{e.From, e.N}, e.N != 0
	}
	var who struct{ ID, Since string }
	if json.Unmarshal(e.Payload, &who) != nil {
		return eventKey{}, false
	}
	return eventKey{e.Name + " " + who.ID + " " + who.Since, 0}, true
}

// maxSeen bounds the events of the old hub that an uplink remembers.
const maxSeen = 1 << 16

// seenSet records the latest events that arrived on a connection that the uplink is about to leave. One goroutine at a
// time uses it.
type seenSet struct {
	set  map[eventKey]struct{}
	ring []eventKey
	next int // the oldest entry of a full ring
}

type eventKey struct {
	from string
	n    uint64
}

func (s *seenSet) add(key eventKey) {
	if s.set == nil {
		s.set = make(map[eventKey]struct{})
	}
	if len(s.ring) < maxSeen {
		s.ring = append(s.ring, key)
	} else {
		delete(s.set, s.ring[s.next])
		s.ring[s.next] = key
		s.next = (s.next + 1) % maxSeen
	}
	s.set[key] = struct{}{}
}

// take reports whether an event is recorded, and removes it: no hub sends an event twice.
func (s *seenSet) take(key eventKey) bool {
	_, is := s.set[key]
	delete(s.set, key)
	return is
}

// holdMode is the mode of a holdBuffer. It begins as dropping, changes to holding and back, and ends as released.
type holdMode uint8

const (
	dropping holdMode = iota // add drops events
	holding                  // add holds events
	released                 // add refuses events: their connection is the uplink's
)

// holdBuffer holds the events and notices of a connection that is not the uplink's yet. When it is full, the
// connection's reader waits.
type holdBuffer struct {
	limit int // bytes

	mu    sync.Mutex
	room  sync.Cond
	bytes int
	held  []heldEvent
	mode  holdMode
}

func newHoldBuffer(limit int) *holdBuffer {
	b := &holdBuffer{limit: limit}
	b.room.L = &b.mu
	return b
}

// stop makes add drop everything from now on. The reader of the connection is looking for a reply that follows the
// events that it drops.
func (b *holdBuffer) stop() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode == holding {
		b.mode = dropping
	}
	b.room.Broadcast()
}

// start makes add hold everything from now on, and discards the events that were held before.
func (b *holdBuffer) start() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.mode != released {
		b.held, b.bytes, b.mode = nil, 0, holding
	}
}

// add holds or drops e. It waits while the buffer is full. After release it returns false, and does not hold e.
func (b *holdBuffer) add(e heldEvent) bool {
	size := wire.Size(e.Name, e.Payload)
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.mode == holding && b.bytes > 0 && b.bytes+size > b.limit {
		b.room.Wait()
	}
	if b.mode == holding {
		b.held = append(b.held, e)
		b.bytes += size
	}
	return b.mode != released
}

// release passes the held events to deliver. The reader of the connection waits meanwhile, because its next event
// follows them.
func (b *holdBuffer) release(deliver func(heldEvent)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, e := range b.held {
		deliver(e)
	}
	b.held, b.bytes, b.mode = nil, 0, released
	b.room.Broadcast()
}
