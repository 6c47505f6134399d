package interest

import (
	"hash/maphash"
	"slices"
	"strings"

	"github.com/bigcompany/mesh/mesh/internal/sharded"
)

// separator separates the parts of an event name.
const separator = "::"

// Index finds the values that are subscribed to an event. It is a trie: the path from the root to a node spells a name
// or a pattern, one part at a node. The zero value is an empty index.
//
// The lists of values are copy-on-write. A search holds the lock while it finds the lists, and not while its caller
// uses them. A change copies only the lists. To copy the whole index for each new pattern would make n patterns cost
// n².
//
// A search in a large index mostly waits for memory. So the data that each search reads is small and adjacent: two
// nodes fit into a cache line, and one table holds the edges of all nodes. The data for changes and for some searches
// is in nodeMeta.
type Index[T comparable] struct {
	mu        sharded.RWMutex
	nodes     []node     // by number; number 0 is unused, number 1 is the root
	meta      []nodeMeta // by number of the node
	freeNodes []uint32   // the numbers of removed nodes
	lists     []List[T]  // by number; number 0 is unused
	freeLists []uint32   // the numbers of empty lists
	edges     edges      // from each node to its children of literal parts
	seed      maphash.Seed
}

// root is the number of the node of no parts.
const root = 1

// node represents all names and patterns that begin with the parts on its path.
type node struct {
	list       uint32 // the values whose name or pattern ends here; 0 without values
	star       uint32 // its child for "*"; 0 without one
	doubleStar uint32 // its child for "**"; 0 without one
	parent     uint32
	flags      uint8    // includes the length of the part
	text       [15]byte // the part, if it fits
}

// Flags and the mask of the length in node.flags.
const (
	hasEdges   = 1 << 7 // it has, or had, children of literal parts
	longPart   = 1 << 5 // its part does not fit in text
	lengthMask = 1<<5 - 1
)

// nodeMeta holds the data of a node that only changes need, and searches after a "**".
type nodeMeta struct {
	part     string
	children int
	literals uint32 // its children of literal parts
	first    uint32 // the first of these children
	// The children of a node with literal parts are a linked list.
	prev, next uint32
}

// isPart reports whether part is the last part on the path of node n.
func (x *Index[T]) isPart(n uint32, part string) bool {
	nd := &x.nodes[n]
	if nd.flags&longPart != 0 {
		return x.meta[n].part == part
	}
	return string(nd.text[:nd.flags&lengthMask]) == part
}

// Add subscribes v to names and patterns, which must be canonical. A value must not be added twice to the same one.
func (x *Index[T]) Add(v T, names ...string) { x.Update(v, names, nil) }

// Remove undoes Add. It ignores names and patterns to which v is not subscribed.
func (x *Index[T]) Remove(v T, names ...string) { x.Update(v, nil, names) }

// Update adds and removes in one step: no Find sees only one of the two changes.
func (x *Index[T]) Update(v T, add, remove []string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(x.nodes) == 0 {
		x.nodes, x.meta, x.lists = make([]node, root+1), make([]nodeMeta, root+1), make([]List[T], 1)
		x.seed = maphash.MakeSeed()
	}
	for _, name := range add {
		nd := &x.nodes[x.walk(name, x.insert)]
		if nd.list == 0 {
			nd.list = x.newList()
		}
		x.lists[nd.list] = x.lists[nd.list].with(v)
	}
	for _, name := range remove {
		if n := x.walk(name, nil); n != 0 {
			x.removeValue(v, &x.nodes[n].list)
			x.removeEmpty(n)
		}
	}
}

// newList returns the number of an empty list.
func (x *Index[T]) newList() uint32 {
	if n, ok := pop(&x.freeLists); ok {
		return n
	}
	x.lists = append(x.lists, nil)
	return uint32(len(x.lists) - 1)
}

// removeValue removes a value from a list, and frees the list's number if the list is then empty.
func (x *Index[T]) removeValue(v T, list *uint32) {
	if *list == 0 {
		return
	}
	l := x.lists[*list].without(v)
	x.lists[*list] = l
	if len(l) == 0 {
		x.freeLists = append(x.freeLists, *list)
		*list = 0
	}
}

// walk returns the node of a name or pattern. It calls insert to make each missing node on the path. If insert is nil
// and a node is missing, it returns 0.
func (x *Index[T]) walk(name string, insert func(parent uint32, part string) uint32) uint32 {
	n := uint32(root)
	for more := true; more; {
		var part string
		part, name, more = strings.Cut(name, separator)
		child := x.child(n, part)
		if child == 0 {
			if insert == nil {
				return 0
			}
			child = insert(n, part)
		}
		n = child
	}
	return n
}

// child returns the child of a node for a part of a name or pattern; 0 without one.
func (x *Index[T]) child(n uint32, part string) uint32 {
	switch nd := &x.nodes[n]; {
	case part == "*":
		return nd.star
	case part == "**":
		return nd.doubleStar
	case nd.flags&hasEdges == 0:
		return 0
	}
	return x.literalChild(n, maphash.String(x.seed, part), part)
}

// literalChild returns the child of a node for a literal part; 0 without one.
func (x *Index[T]) literalChild(parent uint32, hash uint64, part string) uint32 {
	key := edgeKey(parent, hash)
	for at := x.edges.home(key); ; at++ {
		n, more := x.edges.at(at, key)
		if !more || n != 0 && x.nodes[n].parent == parent && x.isPart(n, part) {
			return n
		}
	}
}

// insert adds a child to a node.
func (x *Index[T]) insert(parent uint32, part string) uint32 {
	n, ok := pop(&x.freeNodes)
	if !ok {
		n = uint32(len(x.nodes))
		x.nodes, x.meta = append(x.nodes, node{}), append(x.meta, nodeMeta{})
	}
	x.meta[n].part = part
	x.meta[parent].children++
	nd := &x.nodes[n]
	nd.parent, nd.flags = parent, longPart
	if len(part) <= len(nd.text) {
		nd.flags = uint8(copy(nd.text[:], part))
	}
	switch part {
	case "*":
		x.nodes[parent].star = n
	case "**":
		x.nodes[parent].doubleStar = n
	default:
		x.nodes[parent].flags |= hasEdges
		x.edges.add(edgeKey(parent, maphash.String(x.seed, part)), n)
		x.link(parent, n)
	}
	return n
}

// link adds a node to the list of its parent's children of literal parts.
func (x *Index[T]) link(parent, n uint32) {
	m := &x.meta[parent]
	m.literals++
	x.meta[n].next = m.first
	if m.first != 0 {
		x.meta[m.first].prev = n
	}
	m.first = n
}

// unlink undoes link.
func (x *Index[T]) unlink(parent, n uint32) {
	m := &x.meta[n]
	if m.prev != 0 {
		x.meta[m.prev].next = m.next
	} else {
		x.meta[parent].first = m.next
	}
	if m.next != 0 {
		x.meta[m.next].prev = m.prev
	}
	x.meta[parent].literals--
}

// removeEmpty removes a node without values and children, and then each ancestor that is left without both.
func (x *Index[T]) removeEmpty(n uint32) {
	for n != root && x.meta[n].children == 0 && x.nodes[n].list == 0 {
		parent := x.nodes[n].parent
		switch part := x.meta[n].part; part {
		case "*":
			x.nodes[parent].star = 0
		case "**":
			x.nodes[parent].doubleStar = 0
		default:
			x.edges.remove(edgeKey(parent, maphash.String(x.seed, part)), n)
			x.unlink(parent, n)
		}
		x.nodes[n], x.meta[n] = node{}, nodeMeta{}
		x.freeNodes = append(x.freeNodes, n)
		x.meta[parent].children--
		n = parent
	}
}

// pop removes and returns the last free number.
func pop(free *[]uint32) (n uint32, ok bool) {
	last := len(*free) - 1
	if last < 0 {
		return 0, false
	}
	n, *free = (*free)[last], (*free)[:last]
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
