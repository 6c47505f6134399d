package engineio_test

import (
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireAllocates calls f. With the build tag soak, the program may allocate at most most bytes meanwhile.
func requireAllocates(t *testing.T, most int, f func()) {
	t.Helper()
	before := memory().TotalAlloc
	f()
	if soak {
		require.Less(t, memory().TotalAlloc-before, uint64(most), "allocated bytes")
	}
}

// requireHeapGrows calls f. With the build tag soak, the live heap may grow by at most most bytes meanwhile.
func requireHeapGrows(t *testing.T, most int, f func()) {
	t.Helper()
	before := liveHeap()
	f()
	if soak {
		require.Less(t, liveHeap()-before, int64(most), "bytes of the heap")
	}
}

// liveHeap returns the size of the heap after collections, in bytes.
func liveHeap() int64 {
	if soak {
		runtime.GC()
		runtime.GC() // pools keep their objects for one collection
	}
	return int64(memory().HeapAlloc)
}

func memory() runtime.MemStats {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m
}
