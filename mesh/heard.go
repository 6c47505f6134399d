package mesh

import (
	"encoding/json"
	"sync"
)

// kept is an event, or a note of who has come or gone.
type kept struct {
	Event
	n      uint64
	notice bool
}

// key is what tells one event from another; the notes of one hub are those of all.
func (k *kept) key() (heardKey, bool) {
	if !k.notice {
		return heardKey{k.From, k.n}, k.n != 0
	}
	var who struct{ ID, Since string }
	if json.Unmarshal(k.Payload, &who) != nil {
		return heardKey{}, false
	}
	return heardKey{k.Name + " " + who.ID + " " + who.Since, 0}, true
}

// hear takes what a hub sends on a connection: it is kept if the connection is not the client's yet.
func (c *client) hear(conn *conn, k kept) {
	if conn.keeper != nil && !conn.open {
		if conn.keeper.keep(k) {
			return
		}
		conn.open = true // once it does not keep, it never does
	}
	if heard := conn.heard.Load(); heard != nil {
		if key, ok := k.key(); ok {
			heard.note(key)
		}
	}
	c.deliver(conn, k)
}

// deliver hands something to the node, unless it came on the old connection.
func (c *client) deliver(conn *conn, k kept) {
	if echoes := conn.echoes.Load(); echoes != nil {
		if key, ok := k.key(); ok && echoes.take(key) {
			return
		}
	}
	if k.notice {
		if t, ok := c.node.noticeOf(k.Name, k.Payload); ok {
			c.node.executor.push(t)
		}
		return
	}
	c.node.counters.received.Add(1)
	c.node.hear(k.Event)
}

// maxHeard bounds the events of the old hub that are remembered.
const maxHeard = 1 << 16

// heard are the events that came on a connection which is going to be given up, the last ones of them.
type heard struct {
	set  map[heardKey]struct{}
	ring []heardKey
	next int // of the ring, when it is full
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

// take tells whether an event was noted, and forgets it: no hub sends it more than once.
func (h *heard) take(key heardKey) bool {
	_, is := h.set[key]
	delete(h.set, key)
	return is
}

// keeper keeps what comes on a connection that is not the client's yet. When it is full, the connection's reader waits.
type keeper struct {
	limit int // bytes

	mu    sync.Mutex
	news  sync.Cond
	bytes int
	kept  []kept
	begun bool // what comes now is kept; before, it is dropped
	open  bool // nothing is kept any more
}

func newKeeper(limit int) *keeper {
	k := &keeper{limit: limit}
	k.news.L = &k.mu
	return k
}

// stop has everything dropped from now on: what the connection's reader is looking for stands behind it.
func (k *keeper) stop() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.begun = false
	k.news.Broadcast()
}

// begin has everything kept from now on, and forgets what was kept before.
func (k *keeper) begin() {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept, k.bytes, k.begun = nil, 0, true
}

// keep returns false if nothing is kept any more.
func (k *keeper) keep(e kept) bool {
	size := eventSize(e.Name, e.Payload)
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

// release hands on what was kept. The reader of the connection waits meanwhile, as it has to behind that.
func (k *keeper) release(take func(kept)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, e := range k.kept {
		take(e)
	}
	k.kept, k.bytes, k.open = nil, 0, true
	k.news.Broadcast()
}
