package mesh

import (
	"bytes"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/interest"
)

// LocalBackplane joins hubs of one process, for tests and for servers with several hubs. The zero value is ready to
// use. It queues at most 64 MiB for each hub. If the queue of one hub is full, no hub receives the message and Publish
// returns ErrBackplaneFull.
type LocalBackplane struct {
	mu       sync.Mutex
	interest interest.Index[*localMember]
	search   interest.Search[*localMember]
	reached  []*localMember // scratch
}

// maxLocalQueue limits the queue of one member of a LocalBackplane, in bytes.
const maxLocalQueue = 64 << 20

// localOverhead is the approximate memory of a queued message in addition to its data, in bytes.
const localOverhead = 64

// localMember is a member of a LocalBackplane.
type localMember struct {
	backplane *LocalBackplane
	hub       string
	receive   func(from string, data []byte)
	patterns  map[string]struct{} // its subscriptions, guarded by the backplane's lock; nil after Close

	mu      sync.Mutex
	queue   []localMessage
	size    int  // of the queue, in bytes
	running bool // a goroutine delivers the queue
	closed  bool
	idle    sync.Cond // on mu: that goroutine has ended
}

type localMessage struct {
	from string
	data []byte
}

var errMember = errors.New("mesh: the hub has left the backplane")

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
	m.backplane.interest.Add(m, patterns...)
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
	m.backplane.interest.Remove(m, patterns...)
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

// publish queues a message for all subscribed members, or for none if a queue is full. The caller holds the backplane's
// lock, so that all members receive messages in the order of publishing.
func (m *localMember) publish(name string, data []byte) error {
	b := m.backplane
	if m.patterns == nil {
		return errMember
	}
	b.interest.Find(name, &b.search)
	defer b.search.Reset()
	own := ownName(name)
	for i, l := range b.search.Lists {
		if own && b.search.ByPattern(i) {
			continue // patterns do not match it
		}
		for to := range l.All() {
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

// ownName reports whether a name is reserved for the hubs' own messages. No event has such a name.
func ownName(name string) bool {
	return strings.HasPrefix(name, "$") && !strings.Contains(name, separator)
}

func (m *localMember) hasRoom(size int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.size == 0 || m.size+size+localOverhead <= maxLocalQueue
}

// push queues a message. The caller holds the backplane's lock, so only one goroutine pushes.
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

// deliver passes the queued messages to receive, and ends when the queue is empty.
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
	m.backplane.interest.Remove(m, slices.Collect(maps.Keys(m.patterns))...)
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
