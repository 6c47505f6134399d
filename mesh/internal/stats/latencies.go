package stats

import (
	"sync/atomic"
	"time"
)

// Bounds are the upper bounds of the intervals. They range from the time for an event without a subscriber, on a fast
// machine, to a delay that a user notices.
var Bounds = [...]time.Duration{
	time.Microsecond, 2500 * time.Nanosecond, 5 * time.Microsecond,
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second,
}

// Latencies counts durations. Any goroutine may call its methods.
type Latencies struct {
	sum    atomic.Int64
	counts [len(Bounds) + 1]atomic.Uint64 // each duration counts in one of them
}

// Add counts a duration.
func (l *Latencies) Add(d time.Duration) {
	i := 0
	for i < len(Bounds) && d > Bounds[i] {
		i++
	}
	l.sum.Add(int64(d))
	l.counts[i].Add(1)
}

// Read returns the sum of the durations, and the number of durations in each interval: up to the first bound, between
// two bounds, and above the last bound.
func (l *Latencies) Read() (sum time.Duration, counts [len(Bounds) + 1]uint64) {
	for i := range l.counts {
		counts[i] = l.counts[i].Load()
	}
	return time.Duration(l.sum.Load()), counts
}
