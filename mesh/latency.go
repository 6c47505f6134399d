package mesh

import (
	"time"

	"github.com/bigcompany/mesh/mesh/internal/stats"
)

// Latency is a histogram of durations.
type Latency struct {
	Count   uint64
	Sum     time.Duration
	Buckets [19]LatencyBucket // the shortest first; a longer duration than the last bucket's counts only in Count
}

// LatencyBucket is the number of durations of at most Most, including the durations in the buckets before it.
type LatencyBucket struct {
	Most  time.Duration
	Count uint64
}

func readLatency(l *stats.Latencies) Latency {
	sum, counts := l.Read()
	r := Latency{Sum: sum}
	for i, n := range counts {
		r.Count += n
		if i < len(stats.Bounds) {
			r.Buckets[i] = LatencyBucket{Most: stats.Bounds[i], Count: r.Count}
		}
	}
	return r
}
