package hub

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// unreadBytes returns the number of written bytes of a connection that the kernel holds until the peer reads them.
func unreadBytes(conn net.Conn) int {
	socket, ok := conn.(syscall.Conn)
	if !ok {
		return 0
	}
	raw, err := socket.SyscallConn()
	if err != nil {
		return 0
	}
	n := 0
	_ = raw.Control(func(fd uintptr) { // the error is that of a closed connection, for which the result is 0
		n, _ = unix.IoctlGetInt(int(fd), unix.TIOCOUTQ)
	})
	return n
}
