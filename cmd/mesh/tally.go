package main

import (
	"sync"
	"time"
)

// tally counts what is not in the log yet. A flood of what is refused must not become a flood of lines.
type tally struct {
	pause time.Duration // between two lines

	mu    sync.Mutex
	count int
	next  time.Time // when the next line may be written
}

// note counts one more. It returns how many there were since the last line, 0 if it is too early for the next.
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
