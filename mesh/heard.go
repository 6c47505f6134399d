package mesh

import (
	"encoding/json"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// kept is an event, or a notice that a node has joined or left.
type kept struct {
	wire.Event
	notice bool
}

// key returns the key that distinguishes an event from others. A notice has the same key at every hub.
func (k *kept) key() (heardKey, bool) {
	if !k.notice {
		return heardKey{k.From, k.N}, k.N != 0
	}
	var who struct{ ID, Since string }
	if json.Unmarshal(k.Payload, &who) != nil {
		return heardKey{}, false
	}
	return heardKey{k.Name + " " + who.ID + " " + who.Since, 0}, true
}

// hear processes an event or notice that a hub sends on a connection. The keeper stores it if the connection is not the
// client's yet.
func (c *client) hear(conn *conn, k kept) {
	if conn.keeper != nil && !conn.open {
		if conn.keeper.keep(k) {
			return
		}
		conn.open = true // the keeper never stores again after this
	}
	if heard := conn.heard.Load(); heard != nil {
		if key, ok := k.key(); ok {
			heard.note(key)
		}
	}
	c.deliver(conn, k)
}

// deliver passes an event or notice to the node, unless it also arrived on the old connection.
func (c *client) deliver(conn *conn, k kept) {
	if duplicates := conn.duplicates.Load(); duplicates != nil {
		if key, ok := k.key(); ok && duplicates.take(key) {
			return
		}
	}
	if k.notice {
		if t, ok := c.node.noticeOf(k.Name, k.Payload); ok {
			c.node.executor.push(t)
		}
		return
	}
	c.node.counters.Received.Add(1)
	c.node.hear(k.Event)
}

// maxHeard bounds the events of the old hub that a client remembers.
const maxHeard = 1 << 16

// heard records the latest events that arrived on a connection that the client is about to leave.
type heard struct {
	set  map[heardKey]struct{}
	ring []heardKey
	next int // the oldest entry of a full ring
}

type heardKey struct {
	from string
	n    uint64
}

func (h *heard) note(key heardKey) {
	if h.set == nil {
		h.set = make(map[heardKey]struct{})
	}
	if len(h.ring) < maxHeard {
		h.ring = append(h.ring, key)
	} else {
		delete(h.set, h.ring[h.next])
		h.ring[h.next] = key
		h.next = (h.next + 1) % maxHeard
	}
	h.set[key] = struct{}{}
}

// take reports whether an event is recorded, and removes it: no hub sends an event twice.
func (h *heard) take(key heardKey) bool {
	_, is := h.set[key]
	delete(h.set, key)
	return is
}

// keeper stores the events and notices of a connection that is not the client's yet. When it is full, the connection's
// reader waits.
type keeper struct {
	limit int // bytes

	mu    sync.Mutex
	news  sync.Cond
	bytes int
	kept  []kept
	begun bool // keep stores events; before, it drops them
	open  bool // release was called
}

func newKeeper(limit int) *keeper {
	k := &keeper{limit: limit}
	k.news.L = &k.mu
	return k
}

// stop makes keep drop everything from now on. The reader of the connection is looking for a reply that follows those
// events.
func (k *keeper) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun = false
	k.news.Broadcast()
}

// begin makes keep store everything from now on, and discards the events stored before.
func (k *keeper) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept, k.bytes, k.begun = nil, 0, true
}

// keep stores or drops e. It waits while the keeper is full. After release it returns false, and does not store e.
func (k *keeper) keep(e kept) bool {
	size := wire.Size(e.Name, e.Payload)
	k.mu.Lock()
	defer k.mu.Unlock()
	for k.begun && !k.open && k.bytes > 0 && k.bytes+size > k.limit {
		k.news.Wait()
	}
	if k.begun && !k.open {
		k.kept = append(k.kept, e)
		k.bytes += size
	}
	return !k.open
}

// release passes the stored events to take. The reader of the connection waits meanwhile, because its next event
// follows them.
func (k *keeper) release(take func(kept)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.kept {
		take(e)
	}
	k.kept, k.bytes, k.open = nil, 0, true
	k.news.Broadcast()
}
