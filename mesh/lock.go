package mesh

import (
	"sync"
	"sync/atomic"
)

// lock is a sync.RWMutex for data that is read at every event and rarely written. It consists of several mutexes. Each
// reader uses one of them, and a writer locks all. If readers on several cores shared one mutex, they would spend more
// time on its counter than on the guarded data.
type lock struct {
	last    atomic.Uint32 // counts the calls of reader
	readers [8]struct {
		sync.RWMutex
		_ [104]byte // keeps the mutexes in different cache lines, and in different pairs of lines that are fetched together
	}
}

// reader returns the mutex for one reader.
func (l *lock) reader() *sync.RWMutex {
	return &l.readers[l.last.Add(1)%uint32(len(l.readers))].RWMutex
}

func (l *lock) Lock() {
	for i := range l.readers {
		l.readers[i].Lock()
	}
}

// wait returns when all read locks that were held at the call have been released. New ones may be held by then.
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
