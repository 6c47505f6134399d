package mesh

import (
	"sync/atomic"
	"time"
)

// Latency is a histogram of durations.
type Latency struct {
	Count   uint64
	Sum     time.Duration
	Buckets [len(latencyBounds)]LatencyBucket // the shortest first; a longer duration than the last bucket's counts only in Count
}

// LatencyBucket is the number of durations of at most Most, including the durations in the buckets before it.
type LatencyBucket struct {
	Most  time.Duration
	Count uint64
}

// latencyBounds range from the time for an event without a subscriber, on a fast machine, to a delay that a user
// notices.
var latencyBounds = [...]time.Duration{
	time.Microsecond, 2500 * time.Nanosecond, 5 * time.Microsecond,
	10 * time.Microsecond, 25 * time.Microsecond, 50 * time.Microsecond,
	100 * time.Microsecond, 250 * time.Microsecond, 500 * time.Microsecond,
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond,
	10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second,
}

// latencies counts durations. Any goroutine may call its methods.
type latencies struct {
	sum    atomic.Int64
	counts [len(latencyBounds) + 1]atomic.Uint64 // each duration counts in one of them
}

func (l *latencies) add(d time.Duration) {
	i := 0
	for i < len(latencyBounds) && d > latencyBounds[i] {
		i++
	}
	l.sum.Add(int64(d))
	l.counts[i].Add(1)
}

func (l *latencies) read() Latency {
	r := Latency{Sum: time.Duration(l.sum.Load())}
	for i := range l.counts {
		r.Count += l.counts[i].Load()
		if i < len(latencyBounds) {
			r.Buckets[i] = LatencyBucket{Most: latencyBounds[i], Count: r.Count}
		}
	}
	return r
}
