//go:build unix

package wire

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
)

// plainSocket returns the raw connection of a plain socket. With it a connection waits for input without a buffer, and
// the goroutine in Read can write replies itself without waiting. If that goroutine waited for its peer to read, it
// could wait for ever, because the peer's reader may do the same. plainSocket returns nil if conn is not a plain
// socket: a connection on top of a socket (TLS, a test's wrapper) needs calls of its Write.
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

// writeNoWait writes the bytes of p that the kernel accepts now, and returns their number.
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

// attempt is one write attempt. It is pooled because the function for RawConn.Write would be allocated for each write.
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

// pullRaw reads the available input into a borrowed buffer. It returns false if there is no input yet.
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

// hasInput reports whether a socket has unread input, or has reached its end.
func hasInput(rc syscall.RawConn) bool {
	has := false
	_ = rc.Control(func(fd uintptr) { // f is not called for a closed socket, which has no input
		var b [1]byte
		_, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK)
		has = err == nil
	})
	return has
}
