package main

import (
	"slices"
	"sync"
	"sync/atomic"
)

// members is a list for many reads and few changes: each message reads it, and each session changes it twice. The zero
// list is empty.
type members[T comparable] struct {
	mu   sync.Mutex // one change at a time
	list atomic.Pointer[[]T]
}

// all returns the current list. Later changes do not affect the returned slice.
func (m *members[T]) all() []T {
	if l := m.list.Load(); l != nil {
		return *l
	}
	return nil
}

func (m *members[T]) add(member T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := append(slices.Clip(m.all()), member)
	m.list.Store(&l)
}

func (m *members[T]) remove(member T) {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := slices.DeleteFunc(slices.Clone(m.all()), func(other T) bool { return other == member })
	m.list.Store(&l)
}
