//go:build unix

package engineio

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// plainSocket returns the descriptor under a connection. It lets a connection wait for input without a buffer in its hand,
// and the goroutine in Read write replies itself without ever waiting: a reader that waited for its peer to read could
// wait for ever, if the peer's reader does the same. It returns nil if conn is not a plain socket: what lies over one (TLS,
// a test's wrapper) wants its Write called.
func plainSocket(conn io.ReadWriteCloser) syscall.RawConn {
	var sc syscall.Conn
	switch c := conn.(type) {
	case *net.TCPConn:
		sc = c
	case *net.UnixConn:
		sc = c
	default:
		return nil
	}
	rc, err := sc.SyscallConn()
	if err != nil {
		return nil
	}
	return rc
}

// writeNoWait writes what the kernel takes of p now, and says how much that was.
func writeNoWait(rc syscall.RawConn, p []byte) (int, error) {
	a := attempts.Get().(*attempt)
	a.p, a.n, a.err = p, 0, nil
	err := rc.Write(a.f)
	if err == nil {
		err = a.err
	}
	n := a.n
	a.p = nil
	attempts.Put(a)
	return n, err
}

// attempt is one try. It is pooled because the function that RawConn.Write takes would be allocated each time.
type attempt struct {
	p   []byte
	n   int
	err error
	f   func(fd uintptr) bool
}

var attempts = sync.Pool{New: func() any {
	a := new(attempt)
	a.f = a.run
	return a
}}

func (a *attempt) run(fd uintptr) bool {
	for {
		n, err := syscall.Write(int(fd), a.p)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
		default:
			a.err = os.NewSyscallError("write", err)
		}
		a.n = max(n, 0)
		return true
	}
}

// pullRaw reads what there is into a borrowed buffer. It returns false if there is nothing yet.
func (r *reader) pullRaw(fd uintptr) bool {
	b := readBuffers.Get().(*[borrowedBuffer]byte)
	for {
		n, err := syscall.Read(int(fd), b[:])
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case errors.Is(err, syscall.EAGAIN):
			readBuffers.Put(b)
			return false
		case err != nil:
			r.err = os.NewSyscallError("read", err)
		case n == 0:
			r.err = io.EOF
		}
		if n <= 0 {
			readBuffers.Put(b)
			return true
		}
		r.borrowed, r.buf = b, b[:n]
		return true
	}
}

// hasInput tells whether a socket has something that was not read yet, its end included.
func hasInput(rc syscall.RawConn) bool {
	has := false
	_ = rc.Control(func(fd uintptr) { // a closed socket has none
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		has = err == nil
	})
	return has
}
