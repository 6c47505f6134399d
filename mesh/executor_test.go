package mesh

import (
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

func testExecutor(limit int, logs *interoptest.Buffer) *executor {
	log := slog.New(slog.DiscardHandler)
	if logs != nil {
		log = slog.New(slog.NewTextHandler(logs, nil))
	}
	x := newExecutor(limit, log)
	x.spent = func(*listener) {}
	return x
}

func taskFor(size int, fns ...func(Event)) task {
	t := task{size: size}
	for _, fn := range fns {
		t.listeners = append(t.listeners, &listener{event: fn})
	}
	return t
}

func TestExecutorRunsOneCallAtATimeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := testExecutor(1<<20, nil)
		var order []int // no lock: the race detector reports concurrent calls
		for i := range 100 {
			x.push(taskFor(1, func(Event) { order = append(order, 2*i) }, func(Event) { order = append(order, 2*i+1) }))
		}
		synctest.Wait()
		require.Len(t, order, 200)
		require.IsIncreasing(t, order)
		x.halt()
		x.wait()
	})
}

func TestExecutorHasNoGoroutineWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := testExecutor(1<<20, nil)
		x.push(taskFor(1, func(Event) {}))
		synctest.Wait()
		require.False(t, x.active)
		require.Zero(t, x.bytes)
	}) // synctest.Test fails if a goroutine is left
}

func TestExecutorHoldsNoLockDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := testExecutor(1<<20, nil)
		done := false
		x.push(taskFor(1, func(Event) {
			require.NoError(t, x.reserve(1))
			x.commit(taskFor(1, func(Event) { done = true }))
		}))
		synctest.Wait()
		require.True(t, done)
	})
}

func TestExecutorFullQueueHoldsTheReaderUpAndWarns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logs interoptest.Buffer
		x := testExecutor(100, &logs)
		release := make(chan struct{})
		x.push(taskFor(60, func(Event) { <-release }))
		returned := false
		go func() {
			x.push(taskFor(60, func(Event) {}))
			returned = true
		}()
		synctest.Wait()
		require.False(t, returned)
		require.ErrorIs(t, x.reserve(60), ErrQueueFull, "Emit does not wait")
		require.NoError(t, x.reserve(40))
		x.cancel(40)

		time.Sleep(slowWarning - 1)
		synctest.Wait()
		require.Empty(t, logs.String())
		time.Sleep(2)
		synctest.Wait()
		require.Contains(t, logs.String(), "callbacks are slow")

		close(release)
		synctest.Wait()
		require.True(t, returned)
	})
}

func TestExecutorTakesWhatIsLargerThanItsQueueWhenAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := testExecutor(10, nil)
		ran := false
		require.True(t, x.push(taskFor(1000, func(Event) { ran = true })))
		synctest.Wait()
		require.True(t, ran)
	})
}

func TestExecutorHaltDropsWhatIsQueuedAndFreesWaiters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := testExecutor(100, nil)
		release := make(chan struct{})
		calls := 0
		x.push(taskFor(90, func(Event) { <-release; calls++ }, func(Event) { calls++ }))
		x.push(taskFor(10, func(Event) { calls++ }))
		var freed sync.WaitGroup
		freed.Go(func() { require.False(t, x.push(taskFor(90, func(Event) { calls++ }))) })
		synctest.Wait()
		x.halt()
		freed.Wait()
		waited := false
		go func() { x.wait(); waited = true }()
		synctest.Wait()
		require.False(t, waited, "wait waits for the call that is running")
		close(release)
		synctest.Wait()
		require.True(t, waited)
		require.Equal(t, 1, calls)
		require.ErrorIs(t, x.reserve(1), ErrClosed)
	})
}

func TestExecutorGoesOnAfterACallbackThatEndedItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := testExecutor(100, nil)
		var calls []int
		x.push(taskFor(10, func(Event) { runtime.Goexit() }, func(Event) { calls = append(calls, 1) }))
		x.push(taskFor(10, func(Event) { calls = append(calls, 2) }))
		synctest.Wait()
		require.Equal(t, []int{1, 2}, calls)
		require.Zero(t, x.bytes)
		x.halt()
		x.wait()
	})
}

func TestExecutorSettleWaitsForTheCallButNotInIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := testExecutor(100, nil)
		release := make(chan struct{})
		l := &listener{}
		l.event = func(Event) {
			x.retire(l)
			x.settle(l) // this returns at once
			<-release
		}
		x.push(task{listeners: []*listener{l}, size: 1})
		synctest.Wait()
		settled := false
		go func() { x.settle(l); settled = true }()
		synctest.Wait()
		require.False(t, settled)
		close(release)
		synctest.Wait()
		require.True(t, settled)
	})
}

// TestExecutorNeverCallsAfterSettle calls listeners and settles them at the same time.
func TestExecutorNeverCallsAfterSettle(t *testing.T) {
	x := testExecutor(1<<20, nil)
	for range 2000 {
		over := false // no lock: the race detector reports concurrent access
		l := &listener{event: func(Event) {
			if over {
				t.Error("called after settle")
			}
		}}
		for range 3 {
			x.push(task{listeners: []*listener{l}, size: 1})
		}
		x.retire(l)
		x.settle(l)
		over = true
	}
	x.halt()
	x.wait()
}

func TestGoroutineIDsDiffer(t *testing.T) {
	mine := goroutineID()
	require.NotZero(t, mine)
	require.Equal(t, mine, goroutineID())
	other := make(chan uint64)
	go func() { other <- goroutineID() }()
	require.NotEqual(t, mine, <-other)
}

func BenchmarkExecutor(b *testing.B) {
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("listeners=%d", n), func(b *testing.B) {
			x := testExecutor(1<<20, nil)
			var fns []func(Event)
			for range n {
				fns = append(fns, func(Event) {})
			}
			t := taskFor(128, fns...)
			b.ReportAllocs()
			for b.Loop() {
				x.push(t)
			}
			x.halt()
			x.wait()
		})
	}
}
