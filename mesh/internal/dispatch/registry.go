package dispatch

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bigcompany/mesh/mesh/internal/interest"
	"github.com/bigcompany/mesh/protocol"
)

// Registry holds a node's listeners and the subscriptions that follow from them.
type Registry[E any] struct {
	index    interest.Index[*Listener[E]]
	searches sync.Pool // of *interest.Search[*Listener[E]]

	mu            sync.Mutex
	seq           uint64
	subscriptions map[string]int // listeners of each name and pattern, except listeners of groups
	groups        []*Group

	version atomic.Uint64 // counts the changes of the result of Table
}

// NewRegistry returns an empty registry.
func NewRegistry[E any]() *Registry[E] {
	r := &Registry[E]{subscriptions: make(map[string]int)}
	r.searches.New = func() any { return new(interest.Search[*Listener[E]]) }
	return r
}

// NewGroup adds a group of listeners, which is not remote.
func (r *Registry[E]) NewGroup() *Group {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := &Group{subscriptions: make(map[string]int)}
	r.groups = append(r.groups, g)
	return g
}

// AddInterest adds a listener of a pattern. It reports whether the node now has a new subscription.
func (r *Registry[E]) AddInterest(l *Listener[E]) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seq++
	l.seq = r.seq
	r.index.Add(l, l.Pattern)
	subscriptions := r.subscriptionsOf(l)
	if subscriptions[l.Pattern]++; subscriptions[l.Pattern] > 1 {
		return false
	}
	r.version.Add(1)
	return true
}

// RemoveInterest undoes AddInterest, once. It reports whether a subscription of the node has ended.
func (r *Registry[E]) RemoveInterest(l *Listener[E]) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if l.seq == 0 {
		return false
	}
	l.seq = 0
	r.index.Remove(l, l.Pattern)
	subscriptions := r.subscriptionsOf(l)
	if subscriptions[l.Pattern]--; subscriptions[l.Pattern] > 0 {
		return false
	}
	delete(subscriptions, l.Pattern)
	r.version.Add(1)
	return true
}

// subscriptionsOf returns the map that counts listeners such as l.
func (r *Registry[E]) subscriptionsOf(l *Listener[E]) map[string]int {
	if l.Group != nil {
		return l.Group.subscriptions
	}
	return r.subscriptions
}

// Subscribe adds a subscription to a name without a listener.
func (r *Registry[E]) Subscribe(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.subscriptions[name]++
	r.version.Add(1)
}

// SetRemote makes a group remote or not. It reports whether that changes the node's subscriptions.
func (r *Registry[E]) SetRemote(g *Group, remote bool) (changed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if g.remote.Swap(remote) == remote || len(g.subscriptions) == 0 {
		return false
	}
	r.version.Add(1)
	return true
}

// Match returns the listeners of an event, in the order in which they were added. The caller must not change the list.
func (r *Registry[E]) Match(event string) []*Listener[E] {
	s := r.searches.Get().(*interest.Search[*Listener[E]])
	defer r.searches.Put(s)
	r.index.Find(event, s)
	defer s.Reset()
	switch {
	case len(s.Lists) == 0:
		return nil
	case len(s.Lists) == 1 && len(s.Lists[0]) == 1:
		return s.Lists[0][0]
	}
	var all []*Listener[E]
	for _, l := range s.Lists {
		all = slices.AppendSeq(all, l.All())
	}
	r.mu.Lock() // for seq, which RemoveInterest changes
	defer r.mu.Unlock()
	slices.SortStableFunc(all, func(a, b *Listener[E]) int { return cmp.Compare(a.seq, b.seq) })
	return all
}

// Version returns the number of changes of the result of Table.
func (r *Registry[E]) Version() uint64 { return r.version.Load() }

// Table returns the node's subscriptions as the node announces them, and the version of the table. A name of two parts
// is in the table in both forms, because a Node.js hub looks up the plain form of such a name, and the form with the
// prefix "mesh::" of every other name. Events of a group are in the table in the plain form only, as a Node.js node
// announces them. An event of a group that is not remote stays true in the table if another listener of the node
// subscribes to it: hubs apply "remote" to the event, for all listeners of the node.
func (r *Registry[E]) Table() (protocol.EventTable, uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := make(protocol.EventTable, len(r.subscriptions))
	for name := range r.subscriptions {
		t["mesh::"+name] = true
		if strings.Count(name, "::") == 1 {
			t[name] = true
		}
	}
	for _, g := range r.groups {
		for name := range g.subscriptions {
			t[name] = t[name] || g.Remote() || r.matchesPattern(name)
		}
	}
	return t, r.version.Load()
}

// matchesPattern reports whether a pattern among the node's subscriptions matches a name. The caller holds r.mu.
func (r *Registry[E]) matchesPattern(name string) bool {
	for pattern := range r.subscriptions {
		if protocol.IsPattern(pattern) && protocol.Match(pattern, name) {
			return true
		}
	}
	return false
}

// Patterns returns the patterns among the node's subscriptions, sorted.
func (r *Registry[E]) Patterns() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var found []string
	for name := range r.subscriptions {
		if protocol.IsPattern(name) {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
