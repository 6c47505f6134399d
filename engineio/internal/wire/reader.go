package wire

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
	conn        io.ReadWriteCloser
	session     Session               // nil before Attach
	raw         syscall.RawConn       // nil if conn is not a plain socket
	pull        func(fd uintptr) bool // reads from raw; made once, since each call would allocate it
	borrowed    *[borrowedBuffer]byte
	own         *[ownBuffer]byte
	buf         []byte                    // bytes that were read and not yet consumed
	err         error                     // the error of conn
	reservation *receivelimit.Reservation // counts the current message if it is large
}

// Await waits until input is buffered, or until reading has failed.
func (r *reader) Await() {
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

// Buffered returns the number of bytes that were read and not yet consumed.
func (r *reader) Buffered() int { return len(r.buf) }

// fill reads once from conn.
func (r *reader) fill() error {
	if r.borrowed != nil {
		readBuffers.Put(r.borrowed)
		r.borrowed, r.buf = nil, nil
	}
	if r.err != nil {
		return r.err
	}
	if r.session != nil {
		r.session.BeforeBlock()
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

// Read implements io.Reader for the frame headers of package ws.
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
// and memory beyond receivelimit.Free is counted.
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
			if r.session != nil {
				r.session.BeforeBlock()
			}
			m, err = r.conn.Read(space)
		default:
			err = r.fill()
		}
		dst = dst[:len(dst)+m]
		if n -= m; err != nil && n > 0 {
			return dst, unexpected(err)
		}
	}
	return dst, nil
}

// unexpected returns err, but io.ErrUnexpectedEOF in place of io.EOF.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// spend runs before n bytes of a frame are read. If the session does not permit them, the reader stops.
func (r *reader) spend(n int) error {
	if r.session == nil {
		return nil
	}
	err := r.session.Spend(n)
	if err != nil {
		r.buf, r.err = nil, err
		if t, ok := r.conn.(interface{ SetReadBuffer(bytes int) error }); ok {
			_ = t.SetReadBuffer(borrowedBuffer) // the kernel must not hold more for a connection that the server does not read
		}
	}
	return err
}

// reserve is called before a message uses n more counted bytes.
func (r *reader) reserve(n int) error {
	if r.session == nil { // before the session has moved, only the probe of an upgrade is permitted
		return &Error{ws.StatusMessageTooBig, Violation, ErrTooLarge}
	}
	ctx, limit := r.session.ReceiveLimit()
	if r.reservation == nil {
		r.reservation = limit.Begin(func() {
			if d, ok := r.conn.(interface{ SetReadDeadline(time.Time) error }); ok {
				_ = d.SetReadDeadline(time.Unix(1, 0)) // a broken connection fails in Read
			}
		})
	}
	return r.reservation.Grow(ctx, n)
}

// received stops counting a message. It returns err, or the error of a message that was evicted.
func (r *reader) received(err error) error {
	if in := r.reservation; in != nil {
		r.reservation = nil
		if in.End() {
			return &Error{Fault: Violation, Err: receivelimit.ErrEvicted}
		}
	}
	return err
}

// HasInput reports whether the connection, which is a plain socket, has unread input or has reached its end.
func (r *reader) HasInput() bool { return hasInput(r.raw) }

// OnInput makes f run each attempt to read from a plain socket; attempt reports whether there was input, and f returns
// its result. So f can keep a lock during the attempt. With nil, the attempts run directly again. The caller is the
// reader, or there is no reader yet.
func (r *reader) OnInput(f func(attempt func() bool) bool) {
	switch {
	case r.raw == nil:
	case f == nil:
		r.pull = r.pullRaw
	default:
		r.pull = func(fd uintptr) bool { return f(func() bool { return r.pullRaw(fd) }) }
	}
}
