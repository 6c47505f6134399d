package engineio

import (
	"errors"
	"io"
	"slices"
	"sync"
	"sync/atomic"
)

// The sizes of read buffers, in bytes: what a plain socket borrows while it has something to read, and what other
// connections keep.
const (
	borrowedBuffer = 16 << 10
	ownBuffer      = 4 << 10
)

var readBuffers = sync.Pool{New: func() any { return new([borrowedBuffer]byte) }}

// reader buffers what comes from a connection. A plain socket is read with a borrowed buffer, which it has only while there
// is something to read: idle ones are what a server is full of.
type reader struct {
	src io.Reader
	// owner gets the chance to flush before each read from src, which may block.
	owner    *Socket
	raw      *rawConn              // nil if src is no plain socket
	pull     func(fd uintptr) bool // reads from raw; made once, since each would be allocated
	borrowed *[borrowedBuffer]byte
	own      []byte
	buf      []byte // what was read and not yet consumed
	err      error  // what src failed with
	reserved int    // bytes taken from the budget for an unfinished message
}

// preload hands the reader bytes that were read already. They are kept as they are.
func (r *reader) preload(b []byte) { r.buf = b }

// await waits until something is buffered, or reading has failed.
func (r *reader) await() {
	if len(r.buf) == 0 {
		_ = r.fill() // the next Read returns the error
	}
}

// next takes n bytes that are buffered. They are valid until the next read.
func (r *reader) next(n int) []byte {
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) buffered() int { return len(r.buf) }

// fill reads once from src.
func (r *reader) fill() error {
	if r.borrowed != nil {
		readBuffers.Put(r.borrowed)
		r.borrowed, r.buf = nil, nil
	}
	if r.err != nil {
		return r.err
	}
	if r.owner != nil {
		r.owner.flushBeforeBlock()
	}
	if r.raw != nil {
		if err := r.raw.rc.Read(r.pull); err != nil {
			r.err = err
		}
	} else {
		if r.own == nil {
			r.own = make([]byte, ownBuffer)
		}
		n, err := r.src.Read(r.own)
		r.buf, r.err = r.own[:n], err
	}
	switch {
	case len(r.buf) > 0:
		return nil
	case r.err == nil:
		return io.ErrNoProgress
	default:
		return r.err
	}
}

// Read implements io.Reader.
func (r *reader) Read(p []byte) (int, error) {
	if len(r.buf) == 0 {
		if err := r.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.buf)
	r.buf = r.buf[n:]
	return n, nil
}

// growStep is how far memory for a message may run ahead of what was received of it, and how much of an unfinished
// message is free of the budget, in bytes.
const growStep = 32 << 10

// appendN appends the next n bytes to dst. Memory grows with what arrives, not with n.
func (r *reader) appendN(dst []byte, n int, b *budget) ([]byte, error) {
	if dst == nil {
		dst = make([]byte, 0, min(n, growStep))
	}
	for n > 0 {
		if !r.reserve(len(dst), b) {
			return nil, errBufferLimit
		}
		var err error
		var m int
		switch {
		case len(r.buf) > 0:
			m = min(n, len(r.buf))
			dst = append(dst, r.buf[:m]...)
			r.buf = r.buf[m:]
		case n >= borrowedBuffer: // read it straight to where it belongs
			dst = slices.Grow(dst, min(n, max(growStep, len(dst))))
			if r.owner != nil {
				r.owner.flushBeforeBlock()
			}
			m, err = r.src.Read(dst[len(dst):min(cap(dst), len(dst)+n)])
			dst = dst[:len(dst)+m]
		default:
			err = r.fill()
		}
		if n -= m; err != nil && n > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return dst, nil
}

// reserve takes from the budget what a message of n bytes, so far, costs beyond its free part. It takes twice the
// size, which is what growing may leave behind.
func (r *reader) reserve(n int, b *budget) bool {
	if n <= growStep || 2*n <= r.reserved {
		return true
	}
	if !b.take(2 * n) {
		return false
	}
	r.reserved += 2 * n
	return true
}

// settle gives back what an unfinished message had taken from the budget.
func (r *reader) settle(b *budget) {
	if r.reserved > 0 {
		b.give(r.reserved)
		r.reserved = 0
	}
}

// errBufferLimit is why a session ends that would take more memory than all may have.
var errBufferLimit = errors.New("engineio: BufferLimit reached")

// budget bounds the bytes that all sockets of a server hold. The nil budget is without bound.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int) bool {
	if b == nil {
		return true
	}
	if b.used.Add(int64(n)) > b.limit {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

func (b *budget) give(n int) {
	if b != nil {
		b.used.Add(-int64(n))
	}
}
