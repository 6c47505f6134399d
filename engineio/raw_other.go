//go:build !unix

package engineio

import (
	"io"
	"syscall"
)

// plainSocket is for systems whose descriptors can be read and written without waiting; elsewhere there is none.
func plainSocket(io.ReadWriteCloser) syscall.RawConn { return nil }

func writeNoWait(syscall.RawConn, []byte) (int, error) { return 0, nil }

func (*reader) pullRaw(uintptr) bool { return true }

func hasInput(syscall.RawConn) bool { return false }
