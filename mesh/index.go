package mesh

import (
	"slices"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/protocol"
)

// separator stands between the parts of an event name.
const separator = "::"

// index finds what is interested in an event: the peers of a hub, or the listeners of a node. Exact names are in a
// map, patterns in a tree that has a branch for each part.
//
// The lists of values are copy-on-write. The lock is held while they are looked up, never while they are used. The lists
// are what is copied, not the whole index, because copying a map of a hundred thousand patterns for each new one would
// make n of them cost n².
type index[T comparable] struct {
	mu       sync.RWMutex
	exact    map[string]list[T]
	root     branch[T]
	patterns int // branches that have values

	// The numbers of the "**" branches: those that were given back, and the highest that was ever given.
	spare   []int
	highest int
}

// branch is one part of the patterns that begin alike. Its values are those of the pattern that ends here.
type branch[T comparable] struct {
	parts  map[string]*branch[T] // by literal part
	one    *branch[T]            // "*"
	many   *branch[T]            // "**"
	values list[T]
	number int // of a "**" branch, from 1; 0 for the others
}

// search holds the memory of one find, so that it can be used again.
type search[T comparable] struct {
	// lists are what find found. They are not empty, and no value is twice in one list.
	lists []list[T]
	// exact tells that the first list is that of the name itself, rather than of a pattern.
	exact bool

	now, next []*branch[T]
	seen      []uint32 // by number of a "**" branch: the step that reached it last
	step      uint32
}

// reset forgets what was found, so that a pooled search keeps nothing alive.
func (s *search[T]) reset() {
	clear(s.lists)
	clear(s.now[:cap(s.now)])
	clear(s.next[:cap(s.next)])
	s.lists, s.now, s.next = s.lists[:0], s.now[:0], s.next[:0]
}

// find puts the lists of all that is interested in an event into s.
func (x *index[T]) find(name string, s *search[T]) {
	s.lists = s.lists[:0]
	x.mu.RLock()
	l := x.exact[name]
	if s.exact = len(l) > 0; s.exact {
		s.lists = append(s.lists, l)
	}
	if x.patterns > 0 {
		x.match(name, s)
	}
	x.mu.RUnlock()
}

// match follows all patterns at once, part by part. A branch can be reached in one way only, but for those of "**",
// which are therefore marked: no name costs more than its parts times the branches.
func (x *index[T]) match(name string, s *search[T]) {
	if n := x.highest + 1; len(s.seen) < n {
		s.seen = append(s.seen, make([]uint32, n-len(s.seen))...)
	}
	s.now = s.now[:0]
	s.tick()
	s.now = s.enter(s.now, &x.root)
	for more := true; more && len(s.now) > 0; {
		var part string
		part, name, more = strings.Cut(name, separator)
		s.next = s.next[:0]
		s.tick()
		for _, b := range s.now {
			if c := b.parts[part]; c != nil {
				s.next = s.enter(s.next, c)
			}
			if b.one != nil {
				s.next = s.enter(s.next, b.one)
			}
			if b.number != 0 {
				s.next = s.enter(s.next, b) // it takes one more part
			}
		}
		s.now, s.next = s.next, s.now
	}
	for _, b := range s.now {
		if len(b.values) > 0 {
			s.lists = append(s.lists, b.values)
		}
	}
}

func (s *search[T]) tick() {
	if s.step++; s.step == 0 {
		clear(s.seen)
		s.step = 1
	}
}

// enter appends b, and the "**" below it, which matches no part at all as well.
func (s *search[T]) enter(to []*branch[T], b *branch[T]) []*branch[T] {
	for ; b != nil; b = b.many {
		if b.number != 0 {
			if s.seen[b.number] == s.step {
				break
			}
			s.seen[b.number] = s.step
		}
		to = append(to, b)
	}
	return to
}

// add makes v interested in names and patterns, which are canonical. A value must not be added twice to one of them.
func (x *index[T]) add(v T, names ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.change(v, names, nil)
}

// remove undoes add.
func (x *index[T]) remove(v T, names ...string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.change(v, nil, names)
}

// update does both at once: no find sees the one without the other.
func (x *index[T]) update(v T, add, remove []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.change(v, add, remove)
}

func (x *index[T]) change(v T, add, remove []string) {
	for _, name := range add {
		if protocol.IsPattern(name) {
			x.plant(v, name)
			continue
		}
		if x.exact == nil {
			x.exact = make(map[string]list[T])
		}
		x.exact[name] = x.exact[name].with(v)
	}
	for _, name := range remove {
		if protocol.IsPattern(name) {
			x.prune(v, &x.root, name, true)
			continue
		}
		if l := x.exact[name].without(v); len(l) > 0 {
			x.exact[name] = l
		} else {
			delete(x.exact, name)
		}
	}
}

// plant adds v to the branch of a pattern.
func (x *index[T]) plant(v T, pattern string) {
	b := &x.root
	for more := true; more; {
		var part string
		part, pattern, more = strings.Cut(pattern, separator)
		switch part {
		case "*":
			if b.one == nil {
				b.one = &branch[T]{}
			}
			b = b.one
		case "**":
			if b.many == nil {
				b.many = &branch[T]{number: x.number()}
			}
			b = b.many
		default:
			c := b.parts[part]
			if c == nil {
				if b.parts == nil {
					b.parts = make(map[string]*branch[T])
				}
				c = &branch[T]{}
				b.parts[part] = c
			}
			b = c
		}
	}
	if len(b.values) == 0 {
		x.patterns++
	}
	b.values = b.values.with(v)
}

// prune removes v from the branch of a pattern below b, and the branches that are then of no use. more is false
// behind the pattern's last part.
func (x *index[T]) prune(v T, b *branch[T], pattern string, more bool) {
	if b == nil {
		return
	}
	if !more {
		had := len(b.values) > 0
		b.values = b.values.without(v)
		if had && len(b.values) == 0 {
			x.patterns--
		}
		return
	}
	part, rest, more := strings.Cut(pattern, separator)
	switch part {
	case "*":
		if x.prune(v, b.one, rest, more); b.one.useless() {
			b.one = nil
		}
	case "**":
		x.prune(v, b.many, rest, more)
		if b.many != nil && b.many.useless() {
			x.spare = append(x.spare, b.many.number)
			b.many = nil
		}
	default:
		if x.prune(v, b.parts[part], rest, more); b.parts[part].useless() {
			delete(b.parts, part)
		}
	}
}

func (b *branch[T]) useless() bool {
	return b == nil || len(b.values) == 0 && len(b.parts) == 0 && b.one == nil && b.many == nil
}

// number gives out a number for a "**" branch.
func (x *index[T]) number() int {
	if last := len(x.spare) - 1; last >= 0 {
		n := x.spare[last]
		x.spare = x.spare[:last]
		return n
	}
	x.highest++
	return x.highest
}

// canonical writes a pattern in the one form in which the index keeps it: "**" in a row mean the same as one.
func canonical(pattern string) string {
	if !strings.Contains(pattern, "**"+separator+"**") {
		return pattern
	}
	parts := strings.Split(pattern, separator)
	parts = slices.CompactFunc(parts, func(a, b string) bool { return a == "**" && b == "**" })
	return strings.Join(parts, separator)
}
