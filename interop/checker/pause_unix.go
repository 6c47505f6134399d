//go:build unix

package main

import (
	"syscall"
	"time"
)

// pause stops the process for d.
func (h *hub) pause(d time.Duration) {
	_ = h.cmd.Process.Signal(syscall.SIGSTOP)
	time.Sleep(d)
	_ = h.cmd.Process.Signal(syscall.SIGCONT)
}
