package mesh

import (
	"sync"
	"sync/atomic"
)

// lock is a sync.RWMutex for those who read at every event and write rarely. Each reader has one of several, a writer
// takes them all: readers on several cores that shared one would spend more time on its counter than on what it guards.
type lock struct {
	last    atomic.Uint32 // reader that was given out
	readers [8]struct {
		sync.RWMutex
		_ [104]byte // so that no two are in one cache line, or in two that are fetched together
	}
}

// reader gives out the lock of one reader.
func (l *lock) reader() *sync.RWMutex {
	return &l.readers[l.last.Add(1)%uint32(len(l.readers))].RWMutex
}

func (l *lock) Lock() {
	for i := range l.readers {
		l.readers[i].Lock()
	}
}

// wait returns when all have finished who were reading when it was called. Others may have begun since.
func (l *lock) wait() {
	for i := range l.readers {
		l.readers[i].Lock()
		l.readers[i].Unlock() //nolint:staticcheck // that is all
	}
}

func (l *lock) Unlock() {
	for i := range l.readers {
		l.readers[i].Unlock()
	}
}
