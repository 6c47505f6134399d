package backplanetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Stopwatch measures time less what the process stood still meanwhile, as it does on a busy machine: for tests of what must
// not wait. It is 10 ms exact. Its methods may be called by any goroutine.
type Stopwatch struct{ ticks atomic.Int64 }

const tick = 10 * time.Millisecond

// StartStopwatch starts one, which runs until the test ends.
func StartStopwatch(t testing.TB) *Stopwatch {
	w := new(Stopwatch)
	ticker, done := time.NewTicker(tick), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ticker.C: // those that nobody took are lost
				w.ticks.Add(1)
			case <-done:
				return
			}
		}
	})
	t.Cleanup(func() {
		ticker.Stop()
		close(done)
		wg.Wait()
	})
	return w
}

// Now returns the time since it was started.
func (w *Stopwatch) Now() time.Duration { return time.Duration(w.ticks.Load()) * tick }
