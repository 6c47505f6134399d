package engineio

import (
	"sync"
	"time"
)

// tallyPause is the time between two log lines about rejections of one kind.
const tallyPause = time.Second

// tally counts rejections that are not in the log yet. A flood of rejected requests must not cause a flood of log
// lines.
type tally struct {
	mu    sync.Mutex
	count int
	next  time.Time // when the next line may be written
}

// note counts one more rejection. It returns the number of rejections since the last log line, or 0 if it is too early
// for the next line.
func (t *tally) note() (count int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.count++
	now := time.Now()
	if now.Before(t.next) {
		return 0
	}
	count, t.count, t.next = t.count, 0, now.Add(tallyPause)
	return count
}
