package interest

import "math/bits"

// forks is a hash table that maps a branch of an index and a literal part to the next branch. The keys are hashes of
// both, so the caller must check that a result is the right branch.
//
// A search first compares tags of one byte each. The tags alone show nearly every absent part, and the tags of a
// hundred thousand parts fit into the processor's caches. With a Go map in every branch, a search among that many
// patterns took nearly twice as long.
type forks struct {
	tags     []uint8  // 0 for a free slot
	branches []uint32 // by number
	keys     []uint32
	count    int
	shift    int // shift from a key to its home slot
}

// forkKey mixes a branch's number into the hash of a part.
func forkKey(branch uint32, hash uint64) uint32 {
	hi, lo := bits.Mul64(hash^0x9e3779b97f4a7c15, uint64(branch)<<1^0xd6e8feb86659fd93)
	return uint32((hi ^ lo) >> 32)
}

// tag uses the lower bits of a key, because home uses the upper bits.
func tag(key uint32) uint8 { return uint8(key) | 1 }

// home returns the slot where the search for a key starts. The search continues, around the end of the table, until at
// returns more = false.
func (f *forks) home(key uint32) int { return int(key >> f.shift) }

// at returns the branch in a slot, or 0 if the slot's tag differs from the key's tag. With equal tags the branch may
// belong to another key. The search ends at a free slot.
func (f *forks) at(slot int, key uint32) (branch uint32, more bool) {
	slot &= len(f.tags) - 1
	switch f.tags[slot] {
	case tag(key):
		return f.branches[slot], true
	case 0:
		return 0, false
	}
	return 0, true
}

func (f *forks) add(key, branch uint32) {
	if f.count >= len(f.tags)/4*3 {
		f.enlarge()
	}
	f.count++
	f.insert(key, branch)
}

func (f *forks) enlarge() {
	old, size := *f, max(16, 2*len(f.tags))
	f.tags, f.branches, f.keys = make([]uint8, size), make([]uint32, size), make([]uint32, size)
	f.shift = 32 - bits.TrailingZeros(uint(size))
	for i, branch := range old.branches {
		if branch != 0 {
			f.insert(old.keys[i], branch)
		}
	}
}

func (f *forks) insert(key, branch uint32) {
	slot, mask := f.home(key), len(f.tags)-1
	for f.tags[slot&mask] != 0 {
		slot++
	}
	f.set(slot&mask, tag(key), key, branch)
}

func (f *forks) set(slot int, tag uint8, key, branch uint32) {
	f.tags[slot], f.keys[slot], f.branches[slot] = tag, key, branch
}

// remove removes a branch that is in the table. It moves later entries into the free slot, so that no search ends too
// early.
func (f *forks) remove(key, branch uint32) {
	mask := len(f.tags) - 1
	free := f.home(key)
	for f.branches[free&mask] != branch {
		free++
	}
	for i := free + 1; f.tags[i&mask] != 0; i++ {
		key := f.keys[i&mask]
		if (i-f.home(key))&mask >= (i-free)&mask {
			f.set(free&mask, tag(key), key, f.branches[i&mask])
			free = i
		}
	}
	f.set(free&mask, 0, 0, 0)
	f.count--
}
