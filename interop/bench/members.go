package main

import (
	"slices"
	"sync"
	"sync/atomic"
)

// members is a list that is read with each message and changed with each session only. The zero list is empty.
type members[T comparable] struct {
	mu   sync.Mutex // one change at a time
	list atomic.Pointer[[]T]
}

// all returns the list, which nobody changes any more.
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
