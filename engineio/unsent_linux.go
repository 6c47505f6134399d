package engineio

import (
	"io"
	"net"
	"syscall"
	"unsafe"
)

// unsent returns how many bytes the kernel holds of what was written to a connection, because the peer has not confirmed
// them. It returns -1 if that is unknown.
func unsent(conn io.ReadWriteCloser) int {
	if tls, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = tls.NetConn()
	}
	c, ok := conn.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	n := int32(-1)
	err = raw.Control(func(fd uintptr) {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, fd, syscall.TIOCOUTQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
			n = -1
		}
	})
	if err != nil {
		return -1
	}
	return int(n)
}
