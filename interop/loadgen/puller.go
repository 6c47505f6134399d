package loadgen

import "net"

// puller reads a connection.
type puller interface {
	// read waits for input. It is valid until release.
	read() ([]byte, error)
	release()
}

// newPuller reads TCP as the system lets it be read with the least memory, and everything else, such as TLS, with a
// buffer for each connection.
func newPuller(conn net.Conn) (puller, error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		return newTCPPuller(tcp)
	}
	return &buffered{conn: conn}, nil
}

// buffered reads a connection with a buffer of its own.
type buffered struct {
	conn net.Conn
	buf  [16 << 10]byte // a record of TLS
}

func (p *buffered) read() ([]byte, error) {
	n, err := p.conn.Read(p.buf[:])
	if n > 0 {
		err = nil
	}
	return p.buf[:n], err
}

func (p *buffered) release() {}
