package wire

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent returns how many written bytes of a connection the kernel holds because the peer has not acknowledged them. It
// returns -1 if the number is unknown.
func unsent(conn io.ReadWriteCloser) int {
	if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tls.NetConn()
	}
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return -1
	}
	n := -1
	_ = raw.Control(func(fd uintptr) { // f is not called for a closed connection
		if held, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err == nil {
			n = held
		}
	})
	return n
}
