package loadgen

import "net"

// puller reads a connection.
type puller interface {
	// read waits for input and returns it. The input is valid until release.
	read() ([]byte, error)
	release()
}

// newPuller returns a puller for conn. For TCP the puller uses as little memory as the system allows. For other
// connections, such as TLS, it has a buffer for each connection.
func newPuller(conn net.Conn) (puller, error) {
	if tcp, ok := conn.(*net.TCPConn); ok {
		return newTCPPuller(tcp)
	}
	return &buffered{conn: conn}, nil
}

// buffered reads a connection into its own buffer.
type buffered struct {
	conn net.Conn
	buf  [16 << 10]byte // size of a TLS record
}

func (p *buffered) read() ([]byte, error) {
	n, err := p.conn.Read(p.buf[:])
	if n > 0 {
		err = nil
	}
	return p.buf[:n], err
}

func (p *buffered) release() {}
