//go:build !unix

package engineio

import "io"

// rawConn is for systems whose sockets can be written to without waiting; elsewhere replies take the way of all others.
type rawConn struct{}

func newRawConn(io.ReadWriteCloser) *rawConn { return nil }

func (*rawConn) try([]byte) (int, error) { return 0, nil }
