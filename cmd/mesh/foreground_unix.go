//go:build unix

package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// foreground tells whether the terminal is this process's to read. Who reads it from the background is stopped.
func foreground(tty *os.File) bool {
	group, err := unix.IoctlGetInt(int(tty.Fd()), unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
