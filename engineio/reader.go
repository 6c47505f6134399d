package engineio

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// The sizes of read buffers, in bytes. A plain socket borrows its buffer while it has input; every other connection
// owns one.
const (
	borrowedBuffer = 16 << 10
	ownBuffer      = 4 << 10
)

var readBuffers = sync.Pool{New: func() any { return new([borrowedBuffer]byte) }}

// reader buffers the input of a connection. For a plain socket it borrows a buffer, and only while there is input,
// because most connections of a server are idle.
type reader struct {
	conn io.ReadWriteCloser
	// owner is the session that uses conn as its transport, or nil before that. The reader lets it flush before each
	// read, because a read may block.
	owner       *Socket
	raw         syscall.RawConn       // nil if conn is not a plain socket
	pull        func(fd uintptr) bool // reads from raw; made once, since each call would allocate it
	borrowed    *[borrowedBuffer]byte
	own         *[ownBuffer]byte
	buf         []byte                    // bytes that were read and not yet consumed
	err         error                     // the error of conn
	reservation *receivelimit.Reservation // counts the current message if it is large
}

// preload gives the reader bytes that were already read. It does not copy them.
func (r *reader) preload(b []byte) { r.buf = b }

// await waits until input is buffered, or until reading has failed.
func (r *reader) await() {
	if len(r.buf) == 0 {
		_ = r.fill() // the next Read returns the error
	}
}

// next consumes n buffered bytes. They are valid until the next read.
func (r *reader) next(n int) []byte {
	b := r.buf[:n:n]
	r.buf = r.buf[n:]
	return b
}

func (r *reader) buffered() int { return len(r.buf) }

// fill reads once from conn.
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
		if err := r.raw.Read(r.pull); err != nil {
			r.err = err
		}
	} else {
		if r.own == nil {
			r.own = new([ownBuffer]byte)
		}
		n, err := r.conn.Read(r.own[:])
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

// appendN appends the next n bytes to dst, whose final length is at most most. The buffer grows only as bytes arrive,
// and memory beyond freeInput is counted.
func (r *reader) appendN(dst []byte, n, most int) ([]byte, error) {
	if dst == nil {
		dst = make([]byte, 0, min(n, receivelimit.Free))
	}
	for n > 0 {
		var err error
		if len(dst) == cap(dst) {
			if dst, err = receivelimit.Enlarge(dst, most, receivelimit.Free, r.reserve); err != nil {
				return dst, err
			}
		}
		space := dst[len(dst):min(cap(dst), len(dst)+n)]
		var m int
		switch {
		case len(r.buf) > 0:
			m = copy(space, r.buf)
			r.buf = r.buf[m:]
		case len(space) >= borrowedBuffer: // read directly into dst
			if r.owner != nil {
				r.owner.flushBeforeBlock()
			}
			m, err = r.conn.Read(space)
		default:
			err = r.fill()
		}
		dst = dst[:len(dst)+m]
		if n -= m; err != nil && n > 0 {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return dst, err
		}
	}
	return dst, nil
}

// reserve is called before a message uses n more counted bytes.
func (r *reader) reserve(n int) error {
	if r.owner == nil { // before the session has moved, only the probe of an upgrade is permitted
		return &frameError{ws.StatusMessageTooBig, ReasonTransportError, ErrTooLarge}
	}
	if r.reservation == nil {
		r.reservation = r.owner.receiveLimit().Begin(func() {
			if d, ok := r.conn.(interface{ SetReadDeadline(time.Time) error }); ok {
				_ = d.SetReadDeadline(time.Unix(1, 0)) // a broken connection fails in Read
			}
		})
	}
	return r.reservation.Grow(r.owner.Context(), n)
}

// received stops counting a message. It returns err, or the error of a message that was evicted.
func (r *reader) received(err error) error {
	if in := r.reservation; in != nil {
		r.reservation = nil
		if in.End() {
			return &frameError{reason: ReasonTransportError, err: receivelimit.ErrEvicted}
		}
	}
	return err
}
