package engineio

import "sync/atomic"

// budget bounds the bytes that all sockets of a server hold in their queues. The nil budget is without bound.
type budget struct {
	limit int64
	used  atomic.Int64
}

func (b *budget) take(n int) bool {
	if b == nil {
		return true
	}
	if b.used.Add(int64(n)) > b.limit {
		b.used.Add(-int64(n))
		return false
	}
	return true
}

func (b *budget) give(n int) {
	if b != nil {
		b.used.Add(-int64(n))
	}
}
