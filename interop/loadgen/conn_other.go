//go:build !unix

package loadgen

import "net"

// puller reads a connection with a buffer of its own.
type puller struct {
	conn *net.TCPConn
	buf  [4 << 10]byte
}

func newPuller(conn *net.TCPConn) (*puller, error) { return &puller{conn: conn}, nil }

func (p *puller) read() ([]byte, error) {
	n, err := p.conn.Read(p.buf[:])
	if n > 0 {
		err = nil
	}
	return p.buf[:n], err
}

func (p *puller) release() {}
