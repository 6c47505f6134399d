//go:build !unix

package main

import "time"

// pause does nothing where no signal stops a process.
func (h *hub) pause(time.Duration) {}
