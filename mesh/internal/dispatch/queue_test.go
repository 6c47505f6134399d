package dispatch

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh/internal/fault"
)

func newTestQueue(limit int) *Queue[int] {
	return NewQueue(limit, func(*Listener[int]) {}, func(int) {})
}

func taskFor(size int, fns ...func(int)) Task[int] {
	t := Task[int]{Size: size}
	for _, fn := range fns {
		t.Listeners = append(t.Listeners, &Listener[int]{Call: fn})
	}
	return t
}

// stop stops a queue, and fails the test if a call then runs for ever.
func stop(t *testing.T, q *Queue[int]) {
	t.Helper()
	q.Stop()
	require.NoError(t, q.WaitCall(t.Context()))
}

func TestQueueMakesOneCallAtATimeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1 << 20)
		var order []int // no lock: the race detector reports concurrent calls
		for i := range 100 {
			q.Push(taskFor(1, func(int) { order = append(order, 2*i) }, func(int) { order = append(order, 2*i+1) }))
		}
		synctest.Wait()
		require.Len(t, order, 200)
		require.IsIncreasing(t, order)
		stop(t, q)
	})
}

func TestQueueHasNoGoroutineWhileIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1 << 20)
		q.Push(taskFor(1, func(int) {}))
		synctest.Wait()
		require.False(t, q.active)
		require.Zero(t, q.bytes)
	}) // synctest.Test fails if a goroutine is left
}

func TestQueueHoldsNoLockDuringACall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(1 << 20)
		done := false
		q.Push(taskFor(1, func(int) {
			require.NoError(t, q.Reserve(1))
			q.Commit(taskFor(1, func(int) { done = true }))
		}))
		synctest.Wait()
		require.True(t, done)
	})
}

func TestPushWaitsWhileTheQueueIsFullAndReportsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(chan int, 1)
		q := NewQueue(100, nil, func(e int) { slow <- e })
		release := make(chan struct{})
		q.Push(taskFor(60, func(int) { <-release }))
		returned := false
		go func() {
			task := taskFor(60, func(int) {})
			task.Event = 7
			q.Push(task)
			returned = true
		}()
		synctest.Wait()
		require.False(t, returned)
		require.ErrorIs(t, q.Reserve(60), fault.ErrQueueFull, "Reserve does not wait")
		require.NoError(t, q.Reserve(40))
		q.Cancel(40)

		time.Sleep(slowWarning - 1)
		synctest.Wait()
		require.Empty(t, slow)
		time.Sleep(2)
		synctest.Wait()
		require.Equal(t, 7, <-slow)

		close(release)
		synctest.Wait()
		require.True(t, returned)
	})
}

func TestQueueAcceptsATaskAboveItsLimitWhenEmpty(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(10)
		ran := false
		require.True(t, q.Push(taskFor(1000, func(int) { ran = true })))
		synctest.Wait()
		require.True(t, ran)
	})
}

func TestStopDropsQueuedTasksAndEndsWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(100)
		release := make(chan struct{})
		calls := 0
		q.Push(taskFor(90, func(int) { <-release; calls++ }, func(int) { calls++ }))
		q.Push(taskFor(10, func(int) { calls++ }))
		var freed sync.WaitGroup
		freed.Go(func() { require.False(t, q.Push(taskFor(90, func(int) { calls++ }))) })
		synctest.Wait()
		q.Stop()
		freed.Wait()
		waited := false
		go func() { waited = q.WaitCall(t.Context()) == nil }()
		synctest.Wait()
		require.False(t, waited, "the call that was running continues")
		close(release)
		synctest.Wait()
		require.True(t, waited)
		require.Equal(t, 1, calls)
		require.ErrorIs(t, q.Reserve(1), fault.ErrClosed)
		require.ErrorIs(t, q.Offer(taskFor(1)), fault.ErrClosed)
	})
}

func TestQueueContinuesAfterACallThatEndsItsGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(100)
		var calls []int
		q.Push(taskFor(10, func(int) { runtime.Goexit() }, func(int) { calls = append(calls, 1) }))
		q.Push(taskFor(10, func(int) { calls = append(calls, 2) }))
		synctest.Wait()
		require.Equal(t, []int{1, 2}, calls)
		require.Zero(t, q.bytes)
		stop(t, q)
	})
}

func TestQueueWaitCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(100)
		require.NoError(t, q.WaitCall(t.Context()), "no call is running")
		release := make(chan struct{})
		l := &Listener[int]{}
		l.Call = func(int) {
			q.Retire(l) // this returns at once
			<-release
		}
		q.Push(Task[int]{Listeners: []*Listener[int]{l}, Size: 1})
		synctest.Wait()
		canceled, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		require.EqualError(t, q.WaitCall(canceled), "enough")
		var waiting sync.WaitGroup
		waited := 0
		var mu sync.Mutex
		for range 2 {
			waiting.Go(func() {
				err := q.WaitCall(t.Context())
				mu.Lock()
				defer mu.Unlock()
				require.NoError(t, err)
				waited++
			})
		}
		synctest.Wait()
		require.Zero(t, waited)
		close(release)
		waiting.Wait()
		require.Equal(t, 2, waited)
	})
}

// A wait ends with the call that was running, not with the queue.
func TestQueueWaitCallDoesNotWaitForTheNextCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(100)
		first, second := make(chan struct{}), make(chan struct{})
		q.Push(taskFor(1, func(int) { <-first }, func(int) { <-second }))
		synctest.Wait()
		waited := false
		go func() { waited = q.WaitCall(t.Context()) == nil }()
		synctest.Wait()
		require.False(t, waited)
		close(first)
		synctest.Wait()
		require.True(t, waited)
		close(second)
	})
}

// The test retires listeners while the queue calls them.
func TestQueueNeverCallsARetiredListenerAfterWaitCall(t *testing.T) {
	q := newTestQueue(1 << 20)
	for range 2000 {
		over := false // no lock: the race detector reports concurrent access
		l := &Listener[int]{Call: func(int) {
			if over {
				t.Error("called after WaitCall")
			}
		}}
		for range 3 {
			q.Push(Task[int]{Listeners: []*Listener[int]{l}, Size: 1})
		}
		q.Retire(l)
		require.NoError(t, q.WaitCall(t.Context()))
		over = true
	}
	stop(t, q)
}

// A call may retire other listeners: the queue calls none of them afterwards, without a wait.
func TestQueueCallRetiresAnotherListener(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(100)
		other := &Listener[int]{Call: func(int) { t.Error("called after Retire") }}
		retire := &Listener[int]{Call: func(int) { q.Retire(other) }}
		q.Push(Task[int]{Listeners: []*Listener[int]{retire, other}, Size: 1})
		q.Push(Task[int]{Listeners: []*Listener[int]{other}, Size: 1})
		synctest.Wait()
		require.Zero(t, q.Size())
	})
}

func TestQueueCallsALimitedListenerAsOftenAsItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log []string
		q := NewQueue(100, func(l *Listener[int]) { log = append(log, "spent "+l.Pattern) }, func(int) {})
		l := &Listener[int]{Pattern: "e", Left: 2, Call: func(n int) { log = append(log, fmt.Sprint(n)) }}
		for i := range 4 {
			q.Push(Task[int]{Event: i, Listeners: []*Listener[int]{l}, Size: 1})
		}
		synctest.Wait()
		require.Equal(t, []string{"0", "spent e", "1"}, log)
	})
}

func TestQueueDropsTasksThatBecomeVoidWhileTheyWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newTestQueue(100)
		release := make(chan struct{})
		q.Push(taskFor(90, func(int) { <-release }))
		var canceled atomic.Bool
		var waiting sync.WaitGroup
		waiting.Go(func() {
			require.False(t, q.PushUnless(&canceled, taskFor(90, func(int) { t.Error("the task is canceled") })))
		})
		synctest.Wait()
		canceled.Store(true)
		q.Barrier()
		close(release)
		waiting.Wait()
		stop(t, q)
	})
}

func BenchmarkQueue(b *testing.B) {
	type event [72]byte // the size of a delivery in package mesh
	for _, n := range []int{1, 3} {
		b.Run(fmt.Sprintf("listeners=%d", n), func(b *testing.B) {
			q := NewQueue(1<<20, func(*Listener[event]) {}, func(event) {})
			t := Task[event]{Size: 128}
			for range n {
				t.Listeners = append(t.Listeners, &Listener[event]{Call: func(event) {}})
			}
			b.ReportAllocs()
			for b.Loop() {
				q.Push(t)
			}
			q.Stop()
			require.NoError(b, q.WaitCall(b.Context()))
		})
	}
}
