//go:build !unix

package main

import "time"

// pause does nothing, because this system has no signal that stops a process.
func (h *hub) pause(time.Duration) {}
