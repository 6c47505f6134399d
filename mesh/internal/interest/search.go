package interest

import (
	"hash/maphash"
	"math/bits"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/protocol"
)

// Search is one search in an index. It can be reused with the same index.
//
// A search visits each branch at most once, with all positions in the name at which the parts up to this branch can
// end. A set of positions is one word, because a name has at most protocol.MaxParts parts. "*" shifts the set by one.
// "**" adds all later positions. A literal part selects the positions before an equal part of the name. So the number
// of steps grows with the branches alone, and not with their product with the parts. No faster search is known for many
// patterns with asterisks, if its memory must be linear in the patterns.
type Search[T comparable] struct {
	// Lists is the result. No list is empty, and no value is twice in one list.
	Lists []List[T]
	// Steps counts the visited branches and the parts looked up after a "**".
	Steps int

	exact  bool          // the first list is that of the name itself
	shard  *sync.RWMutex // of the index
	visits []visit       // still to be made
	parts  parts
}

// visit is a branch with the positions at which the parts up to it can end: bit i is set if they match the first i
// parts of the name.
type visit struct {
	branch uint32
	at     uint64
}

// Reset clears the result, so that a pooled search keeps no values alive.
func (s *Search[T]) Reset() {
	clear(s.Lists)
	s.Lists = s.Lists[:0]
}

// ByPattern reports whether list i belongs to a pattern, and not to the name itself.
func (s *Search[T]) ByPattern(i int) bool { return i > 0 || !s.exact }

// Find stores the lists of all values that are subscribed to an event in s. A name of more than protocol.MaxParts parts
// is not the name of an event, and matches no pattern.
func (x *Index[T]) Find(name string, s *Search[T]) {
	if s.shard == nil {
		s.shard = x.mu.Shard()
	}
	s.Lists, s.exact, s.Steps = s.Lists[:0], false, 0
	s.shard.RLock()
	defer s.shard.RUnlock()
	if len(x.branches) == 0 || !s.parts.split(name) {
		return
	}
	end := uint64(1) << s.parts.count
	own := uint32(root) // the last branch on the path of the literal name
	s.visits = s.visits[:0]
	for v, more := (visit{root, 1}), true; more; {
		s.Steps++
		b := &x.branches[v.branch]
		if b.values != 0 && v.at&end != 0 {
			s.found(x.lists[b.values], v.branch == own)
		}
		if b.many != 0 {
			s.visits = append(s.visits, visit{b.many, (end<<1 - 1) &^ (v.at&-v.at - 1)})
		}
		if before := v.at &^ end; before != 0 { // a part of the name
			if b.one != 0 {
				s.visits = append(s.visits, visit{b.one, before << 1})
			}
			if b.shape&forked != 0 {
				if before&(before-1) != 0 {
					x.forkAll(v.branch, before, s)
				} else if n := x.forkAt(v.branch, bits.TrailingZeros64(before), s); n != 0 {
					if v.branch == own {
						own = n
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
func (s *Search[T]) found(l List[T], own bool) {
	s.Lists = append(s.Lists, l)
	if own {
		s.exact = true
		last := len(s.Lists) - 1
		s.Lists[0], s.Lists[last] = s.Lists[last], s.Lists[0]
	}
}

// forkAt returns the branch of part i of the name on another branch, or 0.
func (x *Index[T]) forkAt(on uint32, i int, s *Search[T]) uint32 {
	return x.fork(on, s.parts.hash(i, x.seed), s.parts.text[i])
}

// forkAll adds visits of the literal branches on a branch, from several positions. It looks up the parts of the name on
// the branch, or the parts of the branch in the name, whichever are fewer.
func (x *Index[T]) forkAll(on uint32, before uint64, s *Search[T]) {
	p := &s.parts
	p.group(x.seed)
	if int(x.stems[on].literals) <= bits.OnesCount64(before) {
		first := bits.TrailingZeros64(before)
		for n := x.stems[on].first; n != 0; n = x.stems[n].after {
			s.Steps++
			equal := p.equal[first] // correct in many cases, and known without a hash
			if !x.isPart(n, p.text[first]) {
				equal = p.equalTo(x.stems[n].part, x.seed)
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
		if n := x.forkAt(on, i, s); n != 0 {
			s.visits = append(s.visits, visit{n, equal << 1})
		}
	}
}

// parts are the parts of a name.
type parts struct {
	count  int
	text   [protocol.MaxParts]string
	hashed uint64 // the set of the parts whose hash is known
	hashes [protocol.MaxParts]uint64

	grouped bool
	equal   [protocol.MaxParts]uint64 // by part: the set of the parts with the same text
	slots   [64]uint8                 // a hash table: the number of the first part of each group, plus 1
}

// split returns false if there are too many parts.
func (p *parts) split(name string) bool {
	p.count, p.hashed, p.grouped = 0, 0, false
	for more := true; more; p.count++ {
		if p.count == len(p.text) {
			return false
		}
		p.text[p.count], name, more = strings.Cut(name, separator)
	}
	return true
}

func (p *parts) hash(i int, seed maphash.Seed) uint64 {
	if p.hashed>>i&1 == 0 {
		p.hashed |= 1 << i
		p.hashes[i] = maphash.String(seed, p.text[i])
	}
	return p.hashes[i]
}

// group finds the parts that are equal.
func (p *parts) group(seed maphash.Seed) {
	if p.grouped {
		return
	}
	p.grouped = true
	clear(p.slots[:])
	clear(p.equal[:p.count])
	for i := range p.count {
		slot := p.slot(p.hash(i, seed), p.text[i])
		if p.slots[slot] == 0 {
			p.slots[slot] = uint8(i + 1)
		}
		p.equal[p.slots[slot]-1] |= 1 << i
	}
	for first, equal := range p.equal[:p.count] {
		for rest := equal; rest != 0; rest &= rest - 1 {
			p.equal[bits.TrailingZeros64(rest)] = p.equal[first]
		}
	}
}

// equalTo returns the set of the parts that are equal to a given text.
func (p *parts) equalTo(part string, seed maphash.Seed) uint64 {
	if first := p.slots[p.slot(maphash.String(seed, part), part)]; first != 0 {
		return p.equal[first-1]
	}
	return 0
}

// slot returns the slot of a part, or the free slot for it. More than half of the slots are free.
func (p *parts) slot(hash uint64, part string) int {
	for at := hash; ; at++ {
		slot := int(at % uint64(len(p.slots)))
		if first := p.slots[slot]; first == 0 || p.text[first-1] == part {
			return slot
		}
	}
}
