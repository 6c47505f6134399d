package interest

import (
	"math/bits"
	"sync"
)

// Search is one search in an index. It can be reused with the same index.
//
// A search visits each node at most once, with all positions in the name at which the parts on the path to the node can
// end. A set of positions is one word, because a name has at most protocol.MaxParts parts. "*" shifts the set by one.
// "**" adds all later positions. A literal part selects the positions before an equal part of the name. So the number
// of steps grows with the nodes alone, and not with their product with the parts. No faster search is known for many
// patterns with asterisks, if its memory must be linear in the patterns.
type Search[T comparable] struct {
	// Lists is the result. No list is empty, and no value is twice in one list.
	Lists []List[T]
	// Steps counts the visited nodes and the parts looked up after a "**".
	Steps int

	exact  bool          // the first list is the list of the name itself
	shard  *sync.RWMutex // of the index
	visits []visit       // still to be made
	parts  parts
}

// visit is a node with the positions at which the parts on its path can end: bit i is set if they match the first i
// parts of the name.
type visit struct {
	node uint32
	ends uint64
}

// Reset clears the result, so that a pooled search keeps no values alive.
func (s *Search[T]) Reset() {
	clear(s.Lists)
	s.Lists = s.Lists[:0]
}

// ByPattern reports whether list i belongs to a pattern, and not to the name itself.
func (s *Search[T]) ByPattern(i int) bool { return i > 0 || !s.exact }

// Find stores in s the lists of all values that are subscribed to the event with this name. A name of more than
// protocol.MaxParts parts is not the name of an event, and matches no pattern.
func (x *Index[T]) Find(name string, s *Search[T]) {
	if s.shard == nil {
		s.shard = x.mu.Shard()
	}
	s.Lists, s.exact, s.Steps = s.Lists[:0], false, 0
	s.shard.RLock()
	defer s.shard.RUnlock()
	if len(x.nodes) == 0 || !s.parts.split(name) {
		return
	}
	end := uint64(1) << s.parts.count
	exact := uint32(root) // the last node on the path of the name itself
	s.visits = s.visits[:0]
	for v, more := (visit{root, 1}), true; more; {
		s.Steps++
		nd := &x.nodes[v.node]
		if nd.list != 0 && v.ends&end != 0 {
			s.found(x.lists[nd.list], v.node == exact)
		}
		if nd.doubleStar != 0 {
			s.visits = append(s.visits, visit{nd.doubleStar, (end<<1 - 1) &^ (v.ends&-v.ends - 1)})
		}
		if before := v.ends &^ end; before != 0 { // a part of the name
			if nd.star != 0 {
				s.visits = append(s.visits, visit{nd.star, before << 1})
			}
			if nd.flags&hasEdges != 0 {
				if before&(before-1) != 0 {
					x.visitLiterals(v.node, before, s)
				} else if n := x.childAt(v.node, bits.TrailingZeros64(before), s); n != 0 {
					if v.node == exact {
						exact = n
					}
					v = visit{n, before << 1}
					continue
				}
			}
		}
		v, more = s.next()
	}
}

func (s *Search[T]) next() (v visit, ok bool) {
	last := len(s.visits) - 1
	if last < 0 {
		return v, false
	}
	v, s.visits = s.visits[last], s.visits[:last]
	return v, true
}

// found adds a list to the result. It puts the list of the name itself first.
func (s *Search[T]) found(l List[T], exact bool) {
	s.Lists = append(s.Lists, l)
	if exact {
		s.exact = true
		last := len(s.Lists) - 1
		s.Lists[0], s.Lists[last] = s.Lists[last], s.Lists[0]
	}
}

// childAt returns the child of a node for part i of the name; 0 without one.
func (x *Index[T]) childAt(parent uint32, i int, s *Search[T]) uint32 {
	return x.literalChild(parent, s.parts.hash(i, x.seed), s.parts.text[i])
}

// visitLiterals adds visits of a node's children of literal parts, from several positions. It looks up the parts of the
// name among the children, or the parts of the children in the name, whichever are fewer.
func (x *Index[T]) visitLiterals(parent uint32, before uint64, s *Search[T]) {
	p := &s.parts
	p.group(x.seed)
	if int(x.meta[parent].literals) <= bits.OnesCount64(before) {
		first := bits.TrailingZeros64(before)
		for n := x.meta[parent].first; n != 0; n = x.meta[n].next {
			s.Steps++
			equal := p.equal[first] // correct in many cases, and known without a hash
			if !x.isPart(n, p.text[first]) {
				equal = p.equalTo(x.meta[n].part, x.seed)
			}
			if equal &= before; equal != 0 {
				s.visits = append(s.visits, visit{n, equal << 1})
			}
		}
		return
	}
	for rest := before; rest != 0; {
		i := bits.TrailingZeros64(rest)
		equal := p.equal[i] & before
		rest &^= equal
		s.Steps++
		if n := x.childAt(parent, i, s); n != 0 {
			s.visits = append(s.visits, visit{n, equal << 1})
		}
	}
}
