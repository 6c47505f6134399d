package mesh

import "math/bits"

// forks is a hash table that leads from a branch of an index and a literal part to the next branch. It holds keys, which
// are hashes of both, and leaves it to the caller to see whether a branch is the right one.
//
// A search looks at the tags first, a byte each: nearly all of what is not there is not there by its tag, and those of
// a hundred thousand parts fit where the processor gets at them fast. With a map of Go's in every branch a search among
// that many patterns took nearly twice as long.
type forks struct {
	tags     []uint8  // 0 for a free slot
	branches []uint32 // by number
	keys     []uint32
	count    int
	shift    int // from a key to its home
}

// forkKey mixes a branch's number into the hash of a part.
func forkKey(branch uint32, hash uint64) uint32 {
	hi, lo := bits.Mul64(hash^0x9e3779b97f4a7c15, uint64(branch)<<1^0xd6e8feb86659fd93)
	return uint32((hi ^ lo) >> 32)
}

// tag is made of the lower bits of a key, since home is made of the upper ones.
func tag(key uint32) uint8 { return uint8(key) | 1 }

// home returns the slot at which the search for a key starts. It goes on, around the end, until at says that it is over.
func (f *forks) home(key uint32) int { return int(key >> f.shift) }

// at returns the branch in a slot, or 0 if that cannot be the one that is looked for. There is no more behind a free slot.
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

// remove takes out a branch that is in the table. What stands behind it moves up, so that no search ends before it.
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
