package mesh

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bigcompany/mesh/protocol"
)

// emitter holds a node's listeners.
type emitter struct {
	index    index[*listener]
	searches sync.Pool // of *search[*listener]

	mu     sync.Mutex
	seq    uint64
	wanted map[string]int // listeners of each name and pattern

	version atomic.Uint64               // counts the changes of wanted's keys
	any     atomic.Pointer[[]*listener] // copied on write
	state   atomic.Pointer[[]*listener] // copied on write
}

func newEmitter() *emitter {
	e := &emitter{wanted: make(map[string]int)}
	e.searches.New = func() any { return new(search[*listener]) }
	e.any.Store(new([]*listener))
	e.state.Store(new([]*listener))
	return e
}

// add adds a listener of a pattern. It tells whether the node now wants what it did not want before.
func (e *emitter) add(l *listener) (changed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq++
	l.seq = e.seq
	e.index.add(l, l.pattern)
	if e.wanted[l.pattern]++; e.wanted[l.pattern] > 1 {
		return false
	}
	e.version.Add(1)
	return true
}

// remove undoes add, once. It tells whether the node now no longer wants what it wanted before.
func (e *emitter) remove(l *listener) (changed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.seq == 0 {
		return false
	}
	l.seq = 0
	e.index.remove(l, l.pattern)
	if e.wanted[l.pattern]--; e.wanted[l.pattern] > 0 {
		return false
	}
	delete(e.wanted, l.pattern)
	e.version.Add(1)
	return true
}

// table returns what the node wants, as it announces it, and the version of that. A name of two parts stands there in
// both forms, since a Node hub looks such a name up as itself and any other behind "mesh::".
func (e *emitter) table() (protocol.EventTable, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := make(protocol.EventTable, len(e.wanted))
	for name := range e.wanted {
		t[tablePrefix+name] = true
		if twoParts(name) {
			t[name] = true
		}
	}
	return t, e.version.Load()
}

// patterns returns the patterns among what the node wants.
func (e *emitter) patterns() []string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var found []string
	for name := range e.wanted {
		if protocol.IsPattern(name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}

// hearers returns the listeners of an event, in the order in which they were added. The list must not be changed.
func (e *emitter) hearers(event string) []*listener {
	s := e.searches.Get().(*search[*listener])
	defer e.searches.Put(s)
	e.index.find(event, s)
	defer s.reset()
	switch {
	case len(s.lists) == 0:
		return nil
	case len(s.lists) == 1 && len(s.lists[0]) == 1:
		return s.lists[0][0]
	}
	var all []*listener
	for _, l := range s.lists {
		all = slices.AppendSeq(all, l.all())
	}
	e.mu.Lock() // for seq, which remove changes
	defer e.mu.Unlock()
	slices.SortStableFunc(all, func(a, b *listener) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// watch adds a listener to those of OnAny or OnState.
func (e *emitter) watch(of *atomic.Pointer[[]*listener], l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	all := append(slices.Clip(*of.Load()), l)
	of.Store(&all)
}

func (e *emitter) unwatch(of *atomic.Pointer[[]*listener], l *listener) {
	e.mu.Lock()
	defer e.mu.Unlock()
	rest := slices.DeleteFunc(slices.Clone(*of.Load()), func(other *listener) bool { return other == l })
	of.Store(&rest)
}

// tablePrefix stands before the names in an event table, except those of resources.
const tablePrefix = "mesh" + separator

func twoParts(name string) bool { return strings.Count(name, separator) == 1 }
