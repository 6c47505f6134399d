package interest

import (
	"hash/maphash"
	"slices"
	"strings"

	"github.com/bigcompany/mesh/mesh/internal/sharded"
)

// separator separates the parts of an event name.
const separator = "::"

// Index finds the values that are subscribed to an event: the peers of a hub, or the listeners of a node. It is a tree
// with a branch for each part of the names and patterns.
//
// The lists of values are copy-on-write. A search holds the lock while it finds the lists, and not while its caller
// uses them. A change copies only the lists. To copy the whole index for each new pattern would make n patterns cost
// n².
//
// A search in a large index mostly waits for memory. So the data that each search reads is small and adjacent: two
// branches fit into a cache line, and one table leads to all literal parts. The data for changes and for some searches
// is in stems.
type Index[T comparable] struct {
	mu       sharded.RWMutex
	branches []branch  // by number; number 0 is unused, number 1 is the root
	stems    []stem    // by number
	spare    []uint32  // the numbers of removed branches
	lists    []List[T] // by number; number 0 is unused
	noLists  []uint32  // the numbers of lists that are empty
	forks    forks     // the branches of literal parts
	seed     maphash.Seed
}

// root is the number of the branch at the base of the tree.
const root = 1

// branch is one part of all names and patterns that are equal up to this part.
type branch struct {
	values uint32 // the list of the values whose name or pattern ends here; 0 without a list
	one    uint32 // the branch of "*" on this one; 0 without one
	many   uint32 // the branch of "**" on this one; 0 without one
	below  uint32 // its parent
	shape  uint8  // the length of the part, and flags
	head   [15]byte
}

// Flags and the mask of the length in branch.shape.
const (
	forked  = 1 << 7 // it has, or had, branches of literal parts
	tooLong = 1 << 5 // its part does not fit in head
	size    = 1<<5 - 1
)

// stem holds the data of a branch that only changes need, and searches after a "**".
type stem struct {
	part     string
	branches int    // its children
	literals uint32 // its children with a literal part
	first    uint32 // the first of these children
	// The children of a branch with a literal part are a list.
	before, after uint32
}

// fork returns the child of a branch with a literal part; 0 if there is no such child.
func (x *Index[T]) fork(below uint32, hash uint64, part string) uint32 {
	key := forkKey(below, hash)
	for at := x.forks.home(key); ; at++ {
		n, more := x.forks.at(at, key)
		if !more || n != 0 && x.branches[n].below == below && x.isPart(n, part) {
			return n
		}
	}
}

func (x *Index[T]) isPart(n uint32, part string) bool {
	b := &x.branches[n]
	if b.shape&tooLong != 0 {
		return x.stems[n].part == part
	}
	return string(b.head[:b.shape&size]) == part
}

// Add subscribes v to names and patterns, which must be canonical. A value must not be added twice to the same one.
func (x *Index[T]) Add(v T, names ...string) { x.Update(v, names, nil) }

// Remove undoes Add.
func (x *Index[T]) Remove(v T, names ...string) { x.Update(v, nil, names) }

// Update adds and removes in one step: no Find sees only one of the two changes.
func (x *Index[T]) Update(v T, add, remove []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.branches) == 0 {
		x.branches, x.stems, x.lists = make([]branch, root+1), make([]stem, root+1), make([]List[T], 1)
		x.seed = maphash.MakeSeed()
	}
	for _, name := range add {
		b := &x.branches[x.follow(name, x.grow)]
		if b.values == 0 {
			b.values = x.takeList()
		}
		x.lists[b.values] = x.lists[b.values].with(v)
	}
	for _, name := range remove {
		if n := x.follow(name, nil); n != 0 {
			x.drop(v, &x.branches[n].values)
			x.prune(n)
		}
	}
}

// drop removes a value from a list, and frees the list's number if the list is then empty.
func (x *Index[T]) drop(v T, number *uint32) {
	if *number == 0 {
		return
	}
	l := x.lists[*number].without(v)
	x.lists[*number] = l
	if len(l) == 0 {
		x.noLists = append(x.noLists, *number)
		*number = 0
	}
}

// follow returns the branch of a name or pattern. It calls grow to make each missing branch on the way. If grow is nil
// and a branch is missing, it returns 0.
func (x *Index[T]) follow(name string, grow func(below uint32, part string) uint32) uint32 {
	n := uint32(root)
	for more := true; more; {
		var part string
		part, name, more = strings.Cut(name, separator)
		next := x.next(n, part)
		if next == 0 {
			if grow == nil {
				return 0
			}
			next = grow(n, part)
		}
		n = next
	}
	return n
}

func (x *Index[T]) next(n uint32, part string) uint32 {
	switch b := &x.branches[n]; {
	case part == "*":
		return b.one
	case part == "**":
		return b.many
	case b.shape&forked == 0:
		return 0
	}
	return x.fork(n, maphash.String(x.seed, part), part)
}

// grow adds a child to a branch.
func (x *Index[T]) grow(below uint32, part string) uint32 {
	n, ok := pop(&x.spare)
	if !ok {
		n = uint32(len(x.branches))
		x.branches, x.stems = append(x.branches, branch{}), append(x.stems, stem{})
	}
	x.stems[n].part = part
	x.stems[below].branches++
	b := &x.branches[n]
	b.below, b.shape = below, tooLong
	if len(part) <= len(b.head) {
		b.shape = uint8(copy(b.head[:], part))
	}
	switch part {
	case "*":
		x.branches[below].one = n
	case "**":
		x.branches[below].many = n
	default:
		x.branches[below].shape |= forked
		x.forks.add(forkKey(below, maphash.String(x.seed, part)), n)
		x.link(below, n)
	}
	return n
}

// link adds a branch to the list of its parent's literal children.
func (x *Index[T]) link(below, n uint32) {
	on := &x.stems[below]
	on.literals++
	x.stems[n].after = on.first
	if on.first != 0 {
		x.stems[on.first].before = n
	}
	on.first = n
}

// unlink undoes link.
func (x *Index[T]) unlink(below, n uint32) {
	s := &x.stems[n]
	if s.before != 0 {
		x.stems[s.before].after = s.after
	} else {
		x.stems[below].first = s.after
	}
	if s.after != 0 {
		x.stems[s.after].before = s.before
	}
	x.stems[below].literals--
}

// prune removes a branch without values and children, and then each parent that is left without values and children.
func (x *Index[T]) prune(n uint32) {
	for n != root && x.stems[n].branches == 0 && x.branches[n].values == 0 {
		below := x.branches[n].below
		switch part := x.stems[n].part; part {
		case "*":
			x.branches[below].one = 0
		case "**":
			x.branches[below].many = 0
		default:
			x.forks.remove(forkKey(below, maphash.String(x.seed, part)), n)
			x.unlink(below, n)
		}
		x.branches[n], x.stems[n] = branch{}, stem{}
		x.spare = append(x.spare, n)
		x.stems[below].branches--
		n = below
	}
}

// takeList returns the number of an empty list.
func (x *Index[T]) takeList() uint32 {
	if n, ok := pop(&x.noLists); ok {
		return n
	}
	x.lists = append(x.lists, nil)
	return uint32(len(x.lists) - 1)
}

// pop removes and returns the last free number.
func pop(spare *[]uint32) (n uint32, ok bool) {
	last := len(*spare) - 1
	if last < 0 {
		return 0, false
	}
	n, *spare = (*spare)[last], (*spare)[:last]
	return n, true
}

// Canonical returns the form of a pattern that the index stores: several "**" in succession become one.
func Canonical(pattern string) string {
	if !strings.Contains(pattern, "**"+separator+"**") {
		return pattern
	}
	parts := strings.Split(pattern, separator)
	parts = slices.CompactFunc(parts, func(a, b string) bool { return a == "**" && b == "**" })
	return strings.Join(parts, separator)
}
