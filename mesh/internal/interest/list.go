package interest

import (
	"iter"
	"slices"
)

// List is a copy-on-write list of values, in the order in which they were added. It consists of chunks, so that a
// change copies one chunk. Without chunks, thousands of peers that leave one name at once would each copy all the
// others.
//
// The elements of a list and of its chunks never change. A chunk may share its array with a longer successor.
type List[T comparable] [][]T

// maxChunk limits the values in a chunk.
const maxChunk = 512

func (l List[T]) with(v T) List[T] {
	last := len(l) - 1
	if last < 0 || len(l[last]) == maxChunk {
		return append(slices.Clip(l), []T{v})
	}
	longer := slices.Clone(l)
	// Other holders of the chunk see only its old length.
	longer[last] = append(longer[last], v)
	return longer
}

// without returns a list without v. It returns l if l does not contain v.
func (l List[T]) without(v T) List[T] {
	for i, chunk := range l {
		at := slices.Index(chunk, v)
		if at < 0 {
			continue
		}
		// Always make a new array: an append to a shortened one would overwrite the values after its end.
		rest := slices.Concat(chunk[:at], chunk[at+1:])
		switch {
		case len(rest) == 0:
			return slices.Concat(l[:i], l[i+1:])
		case i > 0 && len(l[i-1])+len(rest) <= maxChunk/2:
			return slices.Concat(l[:i-1], List[T]{slices.Concat(l[i-1], rest)}, l[i+1:])
		}
		shorter := slices.Clone(l)
		shorter[i] = rest
		return shorter
	}
	return l
}

// All returns the values in the order in which they were added.
func (l List[T]) All() iter.Seq[T] {
	return func(yield func(T) bool) {
		for _, chunk := range l {
			for _, v := range chunk {
				if !yield(v) {
					return
				}
			}
		}
	}
}
