package mesh

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
)

// LocalBackplane joins hubs of one process: for tests, and for servers that have several. The zero value is ready. At most
// 64 MiB wait for each hub: what one of them has no room for none gets, and Publish returns ErrBackplaneFull.
type LocalBackplane struct {
	mu       sync.Mutex
	interest index[*localMember]
	search   search[*localMember]
	reached  []*localMember // scratch
}

// maxLocalQueue bounds what waits for one member of a LocalBackplane, in bytes. Beyond it Publish returns
// ErrBackplaneFull.
const maxLocalQueue = 64 << 20

// localOverhead is what a message costs beyond its data, in bytes, roughly.
const localOverhead = 64

// localMember is a member of a LocalBackplane.
type localMember struct {
	backplane *LocalBackplane
	hub       string
	receive   func(from string, data []byte)
	patterns  map[string]struct{} // that it has subscribed to, guarded by the backplane's lock; nil once it is closed

	mu      sync.Mutex
	queue   []localMessage
	size    int  // of the queue, in bytes
	running bool // a goroutine takes from the queue
	closed  bool
	idle    sync.Cond // of mu: the goroutine has ended
}

type localMessage struct {
	from string
	data []byte
}

var errMember = errors.New("mesh: no member of the backplane any more")

// Join makes a hub a member. See Backplane.
func (b *LocalBackplane) Join(hub string, receive func(from string, data []byte)) (BackplaneMember, error) {
	m := &localMember{backplane: b, hub: hub, receive: receive, patterns: make(map[string]struct{})}
	m.idle.L = &m.mu
	return m, nil
}

func (m *localMember) Subscribe(patterns ...string) {
	m.backplane.mu.Lock()
	defer m.backplane.mu.Unlock()
	if m.patterns == nil {
		return
	}
	for _, pattern := range patterns {
		m.patterns[pattern] = struct{}{}
	}
	m.backplane.interest.add(m, patterns...)
}

func (m *localMember) Unsubscribe(patterns ...string) {
	m.backplane.mu.Lock()
	defer m.backplane.mu.Unlock()
	if m.patterns == nil {
		return
	}
	for _, pattern := range patterns {
		delete(m.patterns, pattern)
	}
	m.backplane.interest.remove(m, patterns...)
}

func (m *localMember) Publish(name string, data []byte, unheard func()) error {
	b := m.backplane
	b.mu.Lock()
	err := m.publish(name, data)
	heard := len(b.reached) > 0
	clear(b.reached)
	b.reached = b.reached[:0]
	b.mu.Unlock()
	if err == nil && !heard && unheard != nil {
		unheard()
	}
	return err
}

// publish queues a message for all that want it, or for none. The caller holds the backplane's lock, so that all receive
// in the order of publishing.
func (m *localMember) publish(name string, data []byte) error {
	b := m.backplane
	if m.patterns == nil {
		return errMember
	}
	b.interest.find(name, &b.search)
	defer b.search.reset()
	lists := b.search.lists
	if ownName(name) { // no pattern's
		lists = lists[:min(len(lists), 1)]
		if !b.search.exact {
			lists = nil
		}
	}
	for _, l := range lists {
		for to := range l.all() {
			if to == m || slices.Contains(b.reached, to) {
				continue
			}
			if !to.hasRoom(len(data)) {
				return ErrBackplaneFull
			}
			b.reached = append(b.reached, to)
		}
	}
	for _, to := range b.reached {
		to.push(localMessage{from: m.hub, data: bytes.Clone(data)})
	}
	return nil
}

// ownName tells whether a name is one of the hubs' own, which no event has.
func ownName(name string) bool {
	return strings.HasPrefix(name, "$") && !strings.Contains(name, separator)
}

func (m *localMember) hasRoom(size int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.size == 0 || m.size+size+localOverhead <= maxLocalQueue
}

// push queues a message. Nobody else does, since the backplane is locked.
func (m *localMember) push(msg localMessage) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.queue = append(m.queue, msg)
	m.size += len(msg.data) + localOverhead
	if !m.running {
		m.running = true
		go m.deliver()
	}
}

// deliver hands on what is queued, and ends when nothing is left.
func (m *localMember) deliver() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.queue) > 0 {
		row := m.queue
		m.queue = nil
		for _, msg := range row {
			if m.closed {
				break
			}
			m.mu.Unlock()
			m.receive(msg.from, msg.data)
			m.mu.Lock()
			m.size -= len(msg.data) + localOverhead
		}
	}
	m.running = false
	m.idle.Broadcast()
}

func (m *localMember) Err() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return errMember
	}
	return nil
}

func (m *localMember) Close() error {
	m.backplane.mu.Lock()
	m.backplane.interest.remove(m, slices.Collect(maps.Keys(m.patterns))...)
	m.patterns = nil
	m.backplane.mu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	m.queue, m.size = nil, 0
	for m.running {
		m.idle.Wait()
	}
	return nil
}
