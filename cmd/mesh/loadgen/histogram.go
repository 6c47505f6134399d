package loadgen

import (
	"math/bits"
	"sync/atomic"
	"time"
)

// histogram counts durations in buckets that are 1.6% wide at most. The zero histogram is empty.
type histogram struct{ counts [64 * buckets]atomic.Int64 }

// buckets is the number of buckets for each power of two.
const buckets = 64

func (h *histogram) add(d time.Duration) {
	h.counts[bucket(uint64(max(d, 0)))].Add(1)
}

func bucket(v uint64) int {
	exp := max(bits.Len64(v)-bits.Len(buckets), 0)
	return exp*buckets + int(v>>exp)
}

// quantile returns the duration that a share q of the durations does not exceed, with the precision of a bucket. It
// returns 0 if the histogram is empty.
func (h *histogram) quantile(q float64) time.Duration {
	total := int64(0)
	for i := range h.counts {
		total += h.counts[i].Load()
	}
	if total == 0 {
		return 0
	}
	rank := max(int64(q*float64(total)+0.5), 1)
	for i := range h.counts {
		if rank -= h.counts[i].Load(); rank <= 0 {
			exp := max(i/buckets-1, 0)
			return time.Duration(uint64(i-exp*buckets) << exp)
		}
	}
	return 0
}
