package limit

import (
	"sync"
	"time"
)

// LogInterval is the minimum time between two log lines of a throttle.
const LogInterval = time.Second

// Throttle counts the cases that are not logged yet. It prevents a log line for each rejection in a flood. Any goroutine
// may call Allow.
type Throttle struct {
	mu    sync.Mutex
	count int
	next  time.Time // when the next line may be logged
}

// Allow counts a case. It returns the number of cases since the last log line, or 0 if it is too early for the next
// line.
func (t *Throttle) Allow() (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	now := time.Now()
	if now.Before(t.next) {
		return 0
	}
	count, t.count, t.next = t.count, 0, now.Add(LogInterval)
	return count
}

// Throttles are log throttles by the kind of the log line. Any goroutine may call Allow.
type Throttles struct {
	mu    sync.Mutex
	kinds map[string]*Throttle
}

// Allow counts a case of a kind, as Throttle.Allow does. The kinds are constants of the caller, because they are never
// removed.
func (t *Throttles) Allow(kind string) (count int) {
	t.mu.Lock()
	one := t.kinds[kind]
	if one == nil {
		if t.kinds == nil {
			t.kinds = make(map[string]*Throttle)
		}
		one = new(Throttle)
		t.kinds[kind] = one
	}
	t.mu.Unlock()
	return one.Allow()
}
