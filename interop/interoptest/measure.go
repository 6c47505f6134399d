package interoptest

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// RequireAllocates calls f. With the build tag soak, the program may allocate at most most bytes meanwhile.
func RequireAllocates(t testing.TB, most int, f func()) {
	t.Helper()
	before := memory().TotalAlloc
	f()
	if Soak {
		require.Less(t, memory().TotalAlloc-before, uint64(most), "allocated bytes")
	}
}

// RequireHeapGrows calls f. With the build tag soak, the live heap may grow by at most most bytes meanwhile.
func RequireHeapGrows(t testing.TB, most int, f func()) {
	t.Helper()
	before := liveHeap()
	f()
	if Soak {
		require.Less(t, liveHeap()-before, int64(most), "bytes of the heap")
	}
}

// RequireTakes fails t with the build tag soak if a measured time is not below most.
func RequireTakes(t testing.TB, most, took time.Duration, what string) {
	t.Helper()
	if Soak {
		require.Less(t, took, most, what)
	}
}

// RequireMemory fails t with the build tag soak if a measured size is not below most, both in bytes.
func RequireMemory(t testing.TB, most, size int, what string) {
	t.Helper()
	if Soak {
		require.Less(t, size, most, what)
	}
}

// liveHeap returns the size of the heap after collections, in bytes.
func liveHeap() int64 {
	if Soak {
		runtime.GC()
		runtime.GC() // pools keep their objects for one collection
	}
	return int64(memory().HeapAlloc)
}

func memory() (m runtime.MemStats) {
	runtime.ReadMemStats(&m)
	return m
}
