package receivelimit

import (
	"io"
	"math/bits"
	"slices"
	"sync"
)

// Enlarge returns b with twice the capacity, but with no more than most bytes. Before the capacity exceeds free, and
// before each later growth, Enlarge calls reserve with the number of added bytes.
func Enlarge(b []byte, most, free int, reserve func(n int) error) ([]byte, error) {
	size := min(most, max(512, 2*cap(b)))
	if size <= free {
		return append(make([]byte, 0, size), b...), nil
	}
	if size > 1<<(bits.Len(uint(size))-1) {
		size = 1 << bits.Len(uint(size)) // the pool's size
	}
	if err := reserve(size - cap(b)); err != nil {
		return b, err
	}
	larger := append(buffers.get(size), b...)
	Recycle(b)
	return larger, nil
}

// Recycle takes the buffer of a message that outgrew it or was never finished. It leaves small buffers, the largest
// buffers, and buffers whose capacity is not a power of two to the garbage collector.
func Recycle(b []byte) {
	class := bits.Len(uint(cap(b))) - 1
	if cap(b) <= minPooled || class > maxPooledClass || cap(b) != 1<<class {
		return
	}
	b = b[:0]
	buffers[class].Put(&b)
}

// buffers holds recycled buffers. Without it, many unfinished messages could use several times the memory that the
// limit allows, until the garbage collector runs.
var buffers pool

// pool has a pool for each power of two.
type pool [maxPooledClass + 1]sync.Pool

const (
	minPooled      = 16 << 10 // bytes; smaller buffers are not pooled
	maxPooledClass = 21       // the class of the largest pooled buffers, 2 MiB
)

// get returns an empty buffer with room for size bytes, a power of two.
func (p *pool) get(size int) []byte {
	if class := bits.Len(uint(size)) - 1; class <= maxPooledClass {
		if b, ok := p[class].Get().(*[]byte); ok {
			return (*b)[:0]
		}
	}
	return make([]byte, 0, size)
}

// ReadBody reads all of r, which has at most n bytes, or fails. See Enlarge for free and reserve.
func ReadBody(r io.Reader, n, free int, reserve func(n int) error) ([]byte, error) {
	var body []byte
	for {
		if len(body) == cap(body) {
			var err error
			if body, err = Enlarge(body, max(n, len(body))+1, free, reserve); err != nil { // one more byte, to detect the end
				Recycle(body)
				return nil, err
			}
		}
		m, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+m]
		if err == io.EOF {
			return slices.Clip(body), nil // a reused buffer may hold other bytes after the message
		}
		if err != nil {
			Recycle(body)
			return nil, err
		}
	}
}
