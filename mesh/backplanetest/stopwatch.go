package backplanetest

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Stopwatch measures time without the pauses of the process on a busy machine. It is for tests of code that must not
// wait. Its resolution is 10 ms. Any goroutine may call its methods.
type Stopwatch struct{ ticks atomic.Int64 }

const tick = 10 * time.Millisecond

// StartStopwatch starts a stopwatch, which runs until the test ends.
func StartStopwatch(t testing.TB) *Stopwatch {
	w := new(Stopwatch)
	ticker, done := time.NewTicker(tick), make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-ticker.C: // ticks during a pause of the process are lost
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

// Now returns the time since the start.
func (w *Stopwatch) Now() time.Duration { return time.Duration(w.ticks.Load()) * tick }
