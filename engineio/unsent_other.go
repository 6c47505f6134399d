//go:build !linux

package engineio

import "io"

// unsent is for Linux; elsewhere the kernel's queue is unknown.
func unsent(io.ReadWriteCloser) int { return -1 }
