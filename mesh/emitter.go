package mesh

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// emitter holds a node's listeners.
type emitter struct {
	index    interest.Index[*listener]
	searches sync.Pool // of *interest.Search[*listener]

	mu        sync.Mutex
	seq       uint64
	wanted    map[string]int // listeners of each name and pattern, except listeners of resources
	resources map[string]*Resource

	version atomic.Uint64               // counts the changes of the result of table
	any     atomic.Pointer[[]*listener] // copied on write
	state   atomic.Pointer[[]*listener] // copied on write

	presence atomic.Pointer[[]*listener] // copied on write
}

func newEmitter() *emitter {
	e := &emitter{wanted: make(map[string]int), resources: make(map[string]*Resource)}
	e.searches.New = func() any { return new(interest.Search[*listener]) }
	e.any.Store(new([]*listener))
	e.state.Store(new([]*listener))
	e.presence.Store(new([]*listener))
	return e
}

// add adds a listener of a pattern. It reports whether the node now has a new subscription.
func (e *emitter) add(l *listener) (changed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.seq++
	l.seq = e.seq
	e.index.Add(l, l.pattern)
	wanted := e.countOf(l)
	if wanted[l.pattern]++; wanted[l.pattern] > 1 {
		return false
	}
	e.version.Add(1)
	return true
}

// want adds a subscription to a name without a listener.
func (e *emitter) want(name string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.wanted[name]++
	e.version.Add(1)
}

// countOf returns the map that counts listeners such as l.
func (e *emitter) countOf(l *listener) map[string]int {
	if l.resource != nil {
		return l.resource.wanted
	}
	return e.wanted
}

// remove undoes add, once. It reports whether a subscription of the node has ended.
func (e *emitter) remove(l *listener) (changed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if l.seq == 0 {
		return false
	}
	l.seq = 0
	e.index.Remove(l, l.pattern)
	wanted := e.countOf(l)
	if wanted[l.pattern]--; wanted[l.pattern] > 0 {
		return false
	}
	delete(wanted, l.pattern)
	e.version.Add(1)
	return true
}

// setRemote makes a resource remote or not. It reports whether that changes the node's subscriptions.
func (e *emitter) setRemote(r *Resource, remote bool) (changed bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r.remote.Swap(remote) == remote || len(r.wanted) == 0 {
		return false
	}
	e.version.Add(1)
	return true
}

// table returns the node's subscriptions as the node announces them, and the version of the table. A name of two parts
// is in the table in both forms, because a Node.js hub looks up the plain form of such a name, and the form with the
// prefix "mesh::" of every other name. Events of a resource are in the table in the plain form only, as a Node.js node
// announces them. An event of a resource that is not remote stays true in the table if another listener of the node
// subscribes to it: hubs apply "remote" to the event, for all listeners of the node.
func (e *emitter) table() (protocol.EventTable, uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := make(protocol.EventTable, len(e.wanted))
	for name := range e.wanted {
		t[wire.TablePrefix+name] = true
		if twoParts(name) {
			t[name] = true
		}
	}
	for _, r := range e.resources {
		for name := range r.wanted {
			t[name] = t[name] || r.remote.Load() || e.wantedByPattern(name)
		}
	}
	return t, e.version.Load()
}

// wantedByPattern reports whether a pattern among the node's subscriptions matches a name. The caller holds e.mu.
func (e *emitter) wantedByPattern(name string) bool {
	for pattern := range e.wanted {
		if protocol.IsPattern(pattern) && protocol.Match(pattern, name) {
			return true
		}
	}
	return false
}

// patterns returns the patterns among the node's subscriptions, sorted.
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

// hearers returns the listeners of an event, in the order in which they were added. The caller must not change the
// list.
func (e *emitter) hearers(event string) []*listener {
	s := e.searches.Get().(*interest.Search[*listener])
	defer e.searches.Put(s)
	e.index.Find(event, s)
	defer s.Reset()
	switch {
	case len(s.Lists) == 0:
		return nil
	case len(s.Lists) == 1 && len(s.Lists[0]) == 1:
		return s.Lists[0][0]
	}
	var all []*listener
	for _, l := range s.Lists {
		all = slices.AppendSeq(all, l.All())
	}
	e.mu.Lock() // for seq, which remove changes
	defer e.mu.Unlock()
	slices.SortStableFunc(all, func(a, b *listener) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// watch adds a listener to the list for OnAny, OnState or OnPresence.
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

// separator separates the parts of an event name.
const separator = "::"

func twoParts(name string) bool { return strings.Count(name, separator) == 1 }
