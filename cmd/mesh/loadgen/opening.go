package loadgen

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

const defaultParallel = 8

// reserve is the number of open files that are reserved for uses other than connections.
const reserve = 64

// needFiles makes sure that the process may have enough open files for the connections.
func needFiles(connections int) error {
	limit, err := RaiseFileLimit()
	if err != nil {
		return err
	}
	if connections+reserve > limit {
		return fmt.Errorf("loadgen: %d connections need as many open files, and this process may have %d: "+
			"raise the hard limit (ulimit -Hn), or start two processes", connections, limit)
	}
	return nil
}

// inParallel calls open for each connection below n, with at most parallel calls at the same time. It stops at the
// first error and returns it.
func inParallel(ctx context.Context, n, parallel int, open func(i int) error) error {
	var wg sync.WaitGroup
	var next atomic.Int64
	var failed atomic.Pointer[error]
	for range parallel {
		wg.Go(func() {
			for failed.Load() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				err := ctx.Err()
				if err == nil {
					err = open(i)
				}
				if err != nil {
					err = fmt.Errorf("loadgen: connection %d of %d: %w", i+1, n, err)
					failed.CompareAndSwap(nil, &err)
				}
			}
		})
	}
	wg.Wait()
	if err := failed.Load(); err != nil {
		return *err
	}
	return nil
}
