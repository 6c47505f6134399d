package engineio

import (
	"io"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unsent returns how many bytes the kernel holds of the data that was written to a connection, because the peer has not
// confirmed them. It returns -1 if that is unknown.
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
	_ = raw.Control(func(fd uintptr) { // it is not called for a closed connection
		if held, err := unix.IoctlGetInt(int(fd), unix.TIOCOUTQ); err == nil {
			n = held
		}
	})
	return n
}
