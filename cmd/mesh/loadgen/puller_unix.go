//go:build unix

package loadgen

import (
	"errors"
	"io"
	"sync"
	"syscall"
)

// tcpPuller borrows a buffer when there is data to read. So idle connections need no buffer, and busy connections share
// a few buffers that stay in the processor's cache.
type tcpPuller struct {
	raw syscall.RawConn
	f   func(fd uintptr) bool
	buf *[readSize]byte
	n   int
	err error
}

const readSize = 64 << 10

var readBuffers = sync.Pool{New: func() any { return new([readSize]byte) }}

func newTCPPuller(conn syscall.Conn) (puller, error) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &tcpPuller{raw: raw}
	p.f = p.pull
	return p, nil
}

func (p *tcpPuller) pull(fd uintptr) bool {
	b := readBuffers.Get().(*[readSize]byte)
	n, err := syscall.Read(int(fd), b[:])
	for errors.Is(err, syscall.EINTR) {
		n, err = syscall.Read(int(fd), b[:])
	}
	if errors.Is(err, syscall.EAGAIN) {
		readBuffers.Put(b)
		return false
	}
	p.buf, p.n, p.err = b, n, err
	return true
}

func (p *tcpPuller) read() ([]byte, error) {
	switch err := p.raw.Read(p.f); {
	case err != nil:
		return nil, err
	case p.err != nil:
		return nil, p.err
	case p.n == 0:
		return nil, io.EOF
	}
	return p.buf[:p.n], nil
}

func (p *tcpPuller) release() {
	if p.buf != nil {
		readBuffers.Put(p.buf)
		p.buf = nil
	}
}
