package main

import (
	"sync"
	"time"
)

// tally counts events that the log does not have yet, so that a flood of rejected requests does not flood the log.
type tally struct {
	pause time.Duration // the minimum time between two lines

	mu    sync.Mutex
	count int
	next  time.Time // the earliest time of the next line
}

// note counts one event. It returns the number of events since the last line, or 0 if it is too early for the next
// line.
func (t *tally) note() (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	now := time.Now()
	if now.Before(t.next) {
		return 0
	}
	count, t.count, t.next = t.count, 0, now.Add(t.pause)
	return count
}
