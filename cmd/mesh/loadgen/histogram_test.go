package loadgen

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestHistogram(t *testing.T) {
	var h histogram
	require.Zero(t, h.quantile(0.5))
	for i := 1; i <= 10_000; i++ {
		h.add(time.Duration(i) * time.Microsecond)
	}
	require.InEpsilon(t, 5000*time.Microsecond, h.quantile(0.50), 0.02)
	require.InEpsilon(t, 9900*time.Microsecond, h.quantile(0.99), 0.02)
	require.InEpsilon(t, 10_000*time.Microsecond, h.quantile(1), 0.02)

	h = histogram{}
	h.add(-1) // a clock that went back
	require.Zero(t, h.quantile(1))
	h.add(1<<63 - 1)
	require.InEpsilon(t, float64(1<<63-1), float64(h.quantile(1)), 0.02)
	for v := range uint64(1000) {
		require.LessOrEqual(t, bucket(v), bucket(v+1), "buckets are in order")
	}
}
