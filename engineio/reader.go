package engineio

import (
	"errors"
	"io"
	"sync"
	"syscall"
	"time"

	"github.com/gobwas/ws"
)

// The sizes of read buffers, in bytes: what a plain socket borrows while it has something to read, and what other
// connections keep.
const (
	borrowedBuffer = 16 << 10
	ownBuffer      = 4 << 10
)

var readBuffers = sync.Pool{New: func() any { return new([borrowedBuffer]byte) }}

// reader buffers what comes from a connection. A plain socket is read with a borrowed buffer, which it has only while
// there is something to read: idle ones are what a server is full of.
type reader struct {
	conn io.ReadWriteCloser
	// owner is the session whose transport conn is, once it is one. It gets the chance to flush before each read, which
	// may block.
	owner    *Socket
	raw      syscall.RawConn       // nil if conn is no plain socket
	pull     func(fd uintptr) bool // reads from raw; made once, since each would be allocated
	borrowed *[borrowedBuffer]byte
	own      *[ownBuffer]byte
	buf      []byte    // what was read and not yet consumed
	err      error     // what conn failed with
	incoming *incoming // the account of the message that is being received, if that is large
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

// appendN appends the next n bytes to dst, which will have most bytes in the end at most. Memory grows with what
// arrives, and beyond freeInput is counted.
func (r *reader) appendN(dst []byte, n, most int) ([]byte, error) {
	if dst == nil {
		dst = make([]byte, 0, min(n, freeInput))
	}
	for n > 0 {
		var err error
		if len(dst) == cap(dst) {
			if dst, err = enlarge(dst, most, r.ask); err != nil {
				return dst, err
			}
		}
		space := dst[len(dst):min(cap(dst), len(dst)+n)]
		var m int
		switch {
		case len(r.buf) > 0:
			m = copy(space, r.buf)
			r.buf = r.buf[m:]
		case len(space) >= borrowedBuffer: // read it straight to where it belongs
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

// ask is asked before a message takes n bytes that are counted.
func (r *reader) ask(n int) error {
	if r.owner == nil { // only an upgrade's probe may come before the session has moved
		return &frameError{ws.StatusMessageTooBig, ReasonTransportError, ErrTooLarge}
	}
	if r.incoming == nil {
		r.incoming = r.owner.receiving().begin(func() {
			if d, ok := r.conn.(interface{ SetReadDeadline(time.Time) error }); ok {
				_ = d.SetReadDeadline(time.Unix(1, 0)) // a broken connection fails in Read
			}
		})
	}
	return r.incoming.grow(r.owner.Context(), n)
}

// received ends the account of a message. It returns err, or why the message was not received in truth.
func (r *reader) received(err error) error {
	if in := r.incoming; in != nil {
		r.incoming = nil
		if in.end() {
			return &frameError{reason: ReasonTransportError, err: errGaveWay}
		}
	}
	return err
}
