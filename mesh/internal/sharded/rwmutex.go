package sharded

import (
	"sync"
	"sync/atomic"
)

// RWMutex is a sync.RWMutex for data that is read at every event and rarely written. It consists of several mutexes.
// Each reader uses one of them, and a writer locks all. If readers on several cores shared one mutex, they would spend
// more time on its counter than on the guarded data.
type RWMutex struct {
	last    atomic.Uint32 // counts the calls of Shard
	readers [8]struct {
		sync.RWMutex
		_ [104]byte // keeps the mutexes in different cache lines, and in different pairs of lines that are fetched together
	}
}

// Shard returns the mutex for one reader, which calls its RLock and RUnlock. A reader should keep the mutex, since each
// call of Shard writes to memory that all readers share.
func (l *RWMutex) Shard() *sync.RWMutex {
	return &l.readers[l.last.Add(1)%uint32(len(l.readers))].RWMutex
}

// Lock locks all mutexes.
func (l *RWMutex) Lock() {
	for i := range l.readers {
		l.readers[i].Lock()
	}
}

// Quiesce returns when all read locks that were held at the call have been released. New ones may be held by then.
func (l *RWMutex) Quiesce() {
	for i := range l.readers {
		l.readers[i].Lock()
		l.readers[i].Unlock() //nolint:staticcheck // that is all
	}
}

// Unlock undoes Lock.
func (l *RWMutex) Unlock() {
	for i := range l.readers {
		l.readers[i].Unlock()
	}
}
