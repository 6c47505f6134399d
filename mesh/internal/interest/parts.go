package interest

import (
	"hash/maphash"
	"math/bits"
	"strings"

	"github.com/bigcompany/mesh/protocol"
)

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
