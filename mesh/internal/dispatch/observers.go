package dispatch

import (
	"slices"
	"sync"
	"sync/atomic"
)

// Observers is a list of listeners without patterns. The zero value is an empty list.
type Observers[E any] struct {
	mu   sync.Mutex                     // held while the list changes
	list atomic.Pointer[[]*Listener[E]] // copied on write
}

// All returns the listeners in the order in which they were added. The caller must not change the list.
func (o *Observers[E]) All() []*Listener[E] {
	if list := o.list.Load(); list != nil {
		return *list
	}
	return nil
}

// Add adds a listener.
func (o *Observers[E]) Add(l *Listener[E]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	all := append(slices.Clip(o.All()), l)
	o.list.Store(&all)
}

// Remove removes a listener, if it is in the list.
func (o *Observers[E]) Remove(l *Listener[E]) {
	o.mu.Lock()
	defer o.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(o.All()), func(other *Listener[E]) bool { return other == l })
	o.list.Store(&rest)
}
