package meshtest

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long a test waits for an expected result.
const Patience = 10 * time.Second

// Context returns a context that ends after Patience, or with the test.
func Context(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), Patience)
	t.Cleanup(cancel)
	return ctx
}

// Recorder collects values, such as the arguments of a callback. Any number of goroutines may call Add.
type Recorder[T any] struct {
	C chan T // the values that the test has not taken yet

	t testing.TB
}

// NewRecorder returns a recorder with room for as many values as a test needs.
func NewRecorder[T any](t testing.TB) *Recorder[T] {
	return &Recorder[T]{t: t, C: make(chan T, 100_000)}
}

// Add records a value.
func (r *Recorder[T]) Add(v T) { r.C <- v }

// Next waits for the next value. It fails the test if no value comes.
func (r *Recorder[T]) Next() T {
	r.t.Helper()
	return r.Find(func(T) bool { return true })
}

// Find waits for a value that matches, and drops the values before it. It fails the test if no such value comes.
func (r *Recorder[T]) Find(match func(T) bool) T {
	r.t.Helper()
	patience := time.NewTimer(Patience)
	defer patience.Stop()
	for {
		select {
		case v := <-r.C:
			if match(v) {
				return v
			}
		case <-patience.C:
			require.FailNow(r.t, "no value came")
		}
	}
}

// All takes the values that are there. It does not wait.
func (r *Recorder[T]) All() (all []T) {
	for {
		select {
		case v := <-r.C:
			all = append(all, v)
		default:
			return all
		}
	}
}
