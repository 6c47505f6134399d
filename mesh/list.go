package mesh

import (
	"iter"
	"slices"
)

// list is a copy-on-write list of values, in the order in which they were added. It is cut into chunks so that a change
// copies one of them: thousands of peers that leave one name at once would otherwise copy all the others each.
//
// A list and its chunks never change once made, up to their length; a chunk's array is shared with its longer successor.
type list[T comparable] [][]T

// maxChunk bounds the chunks, in values.
const maxChunk = 512

func (l list[T]) with(v T) list[T] {
	last := len(l) - 1
	if last < 0 || len(l[last]) == maxChunk {
		return append(slices.Clip(l), []T{v})
	}
	longer := slices.Clone(l)
	// Those who hold the chunk see no more than its old length.
	longer[last] = append(longer[last], v)
	return longer
}

// without returns l if it does not have v.
func (l list[T]) without(v T) list[T] {
	for i, chunk := range l {
		at := slices.Index(chunk, v)
		if at < 0 {
			continue
		}
		// A new array, always: what was cut off at the end would be overwritten by the next append.
		rest := slices.Concat(chunk[:at], chunk[at+1:])
		switch {
		case len(rest) == 0:
			return slices.Concat(l[:i], l[i+1:])
		case i > 0 && len(l[i-1])+len(rest) <= maxChunk/2:
			return slices.Concat(l[:i-1], list[T]{slices.Concat(l[i-1], rest)}, l[i+1:])
		}
		shorter := slices.Clone(l)
		shorter[i] = rest
		return shorter
	}
	return l
}

func (l list[T]) all() iter.Seq[T] {
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
