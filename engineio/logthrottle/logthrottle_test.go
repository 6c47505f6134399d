package logthrottle

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestOneLineAnInterval(t *testing.T) {
	for _, interval := range []time.Duration{0, time.Minute} {
		synctest.Test(t, func(t *testing.T) {
			throttle := Throttle{Interval: interval}
			if interval == 0 {
				interval = DefaultInterval
			}
			require.Equal(t, 1, throttle.Allow(), "the first case")
			require.Zero(t, throttle.Allow())
			time.Sleep(interval - 1)
			require.Zero(t, throttle.Allow(), "too early")
			time.Sleep(1)
			require.Equal(t, 3, throttle.Allow(), "two cases without a line, and this one")
			time.Sleep(10 * interval)
			require.Equal(t, 1, throttle.Allow(), "the first case after a pause")
		})
	}
}
