package interest

import "math/bits"

// edges is a hash table that maps a node and a literal part to the node's child. The keys are hashes of both, so the
// caller must check that a result is the right node.
//
// A search first compares tags of one byte each. The tags alone show nearly every absent part, and the tags of a
// hundred thousand parts fit into the processor's caches. With a Go map in every node, a search among that many
// patterns took nearly twice as long.
type edges struct {
	tags     []uint8  // 0 for a free slot
	children []uint32 // the numbers of the nodes
	keys     []uint32
	count    int
	shift    int // shift from a key to its home slot
}

// edgeKey mixes the number of a node into the hash of a part.
func edgeKey(parent uint32, hash uint64) uint32 {
	hi, lo := bits.Mul64(hash^0x9e3779b97f4a7c15, uint64(parent)<<1^0xd6e8feb86659fd93)
	return uint32((hi ^ lo) >> 32)
}

// tag uses the lower bits of a key, because home uses the upper bits.
func tag(key uint32) uint8 { return uint8(key) | 1 }

// home returns the slot where the search for a key starts. The search continues, around the end of the table, until at
// returns more = false.
func (e *edges) home(key uint32) int { return int(key >> e.shift) }

// at returns the child in a slot, or 0 if the slot's tag differs from the key's tag. With equal tags the child may
// belong to another key. The search ends at a free slot.
func (e *edges) at(slot int, key uint32) (child uint32, more bool) {
	slot &= len(e.tags) - 1
	switch e.tags[slot] {
	case tag(key):
		return e.children[slot], true
	case 0:
		return 0, false
	}
	return 0, true
}

func (e *edges) add(key, child uint32) {
	if e.count >= len(e.tags)/4*3 {
		e.grow()
	}
	e.count++
	e.insert(key, child)
}

func (e *edges) grow() {
	old, size := *e, max(16, 2*len(e.tags))
	e.tags, e.children, e.keys = make([]uint8, size), make([]uint32, size), make([]uint32, size)
	e.shift = 32 - bits.TrailingZeros(uint(size))
	for i, child := range old.children {
		if child != 0 {
			e.insert(old.keys[i], child)
		}
	}
}

func (e *edges) insert(key, child uint32) {
	slot, mask := e.home(key), len(e.tags)-1
	for e.tags[slot&mask] != 0 {
		slot++
	}
	e.set(slot&mask, tag(key), key, child)
}

func (e *edges) set(slot int, tag uint8, key, child uint32) {
	e.tags[slot], e.keys[slot], e.children[slot] = tag, key, child
}

// remove removes a child that is in the table. It moves later entries into the free slot, so that no search ends too
// early.
func (e *edges) remove(key, child uint32) {
	mask := len(e.tags) - 1
	free := e.home(key)
	for e.children[free&mask] != child {
		free++
	}
	for i := free + 1; e.tags[i&mask] != 0; i++ {
		key := e.keys[i&mask]
		if (i-e.home(key))&mask >= (i-free)&mask {
			e.set(free&mask, tag(key), key, e.children[i&mask])
			free = i
		}
	}
	e.set(free&mask, 0, 0, 0)
	e.count--
}
