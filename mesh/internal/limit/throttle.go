package limit

import (
	"sync"

	"github.com/bigcompany/mesh/engineio/logthrottle"
)

// Throttle limits the log lines about cases of one kind.
type Throttle = logthrottle.Throttle

// LogInterval is the minimum time between two log lines of a throttle.
const LogInterval = logthrottle.DefaultInterval

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
