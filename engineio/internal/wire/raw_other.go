//go:build !unix

package wire

import (
	"io"
	"syscall"
)

// plainSocket returns nil, because only Unix systems read and write a descriptor without waiting here.
func plainSocket(io.ReadWriteCloser) syscall.RawConn { return nil }

func writeNoWait(syscall.RawConn, []byte) (int, error) { return 0, nil }

func (*reader) pullRaw(uintptr) bool { return true }

func hasInput(syscall.RawConn) bool { return false }
