// Package logthrottle keeps a flood of equal cases, such as rejected requests, from becoming a flood of log lines. The
// packages of this module use it for their own logs.
package logthrottle

import (
	"sync"
	"time"
)

// DefaultInterval is the minimum time between two log lines about cases of one kind.
const DefaultInterval = time.Second

// Throttle limits the log lines about cases of one kind. The zero value is ready. A Throttle is safe for concurrent
// use, and must not be copied after its first use.
type Throttle struct {
	// Interval is the minimum time between two lines. Default: DefaultInterval.
	Interval time.Duration

	mu    sync.Mutex
	cases int       // since the last line
	next  time.Time // the earliest time of the next line
}

// Allow counts a case. It returns the number of cases since the last line, this one included, if the caller may write a
// line. If it is too early for a line, Allow returns 0.
func (t *Throttle) Allow() (cases int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cases++
	now := time.Now()
	if now.Before(t.next) {
		return 0
	}
	interval := t.Interval
	if interval <= 0 {
		interval = DefaultInterval
	}
	cases, t.cases, t.next = t.cases, 0, now.Add(interval)
	return cases
}
