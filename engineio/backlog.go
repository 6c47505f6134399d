package engineio

import (
	"context"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// backlog is the state of a socket with a large queue. Most sockets have a small queue and no such state: they neither
// use the server's budget nor read the clock.
type backlog struct {
	reserved int              // bytes reserved in the budget
	out      []*wire.Outgoing // packets being written
	shrank   time.Time        // when the queue last shrank, or when the backlog began
	unsent   int              // bytes that the kernel held at the last check
	closeBy  time.Time        // when the session ends at the latest; zero unless it is closing
}

const (
	// freeAllowance is the largest queue that is not a backlog, in bytes. If QueueLimit is small, the bound is a
	// quarter of QueueLimit.
	freeAllowance = 16 << 10
	// sendBudgetStep is the least that a backlog reserves in the budget at once, in bytes.
	sendBudgetStep = 16 << 10
)

// WaitBelow waits until at most limit bytes are queued. It returns an error if ctx or the session ends first.
func (s *Socket) WaitBelow(ctx context.Context, limit int) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.waitFor(ctx, func() bool { return s.state == stateOpen && s.queued <= limit })
}

// Stalled returns how long the peer has accepted nothing from its queue. It returns 0 for a queue that has not exceeded
// 16 KiB, or a quarter of QueueLimit if that is less, since it was last empty. On Linux a peer also counts as reading
// while the kernel's own queue of the connection changes: that queue holds some megabytes, and accepts no more bytes
// until a third of it is free.
func (s *Socket) Stalled() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.backlog == nil || s.state != stateOpen {
		return 0
	}
	s.lookAtKernel()
	return time.Since(s.backlog.shrank)
}

// lookAtKernel records whether the kernel's queue has changed since the last check. The caller holds s.mu and has a
// backlog.
func (s *Socket) lookAtKernel() (changed bool) {
	if s.stream == nil {
		return false
	}
	n := s.stream.Unsent()
	if n < 0 || n == s.backlog.unsent {
		return false
	}
	s.backlog.unsent, s.backlog.shrank = n, time.Now()
	return true
}

// reserve reserves room in the budget for n more bytes in the queue, which exceeds smallQueue with them. The caller
// holds s.mu.
func (s *Socket) reserve(n int) bool {
	need := s.queued + n - s.conf.smallQueue
	b, reserved := s.backlog, 0
	if b != nil {
		reserved = b.reserved
	}
	if need <= reserved {
		return true
	}
	step := max(need-reserved, sendBudgetStep)
	if !s.conf.sendBudget.reserve(step) {
		return false
	}
	if b == nil {
		b = &backlog{shrank: time.Now()}
		s.backlog = b
	}
	b.reserved += step
	return true
}

// holds records the packets that have left the queue and are being written. The caller holds s.mu.
func (s *Socket) holds(out []*wire.Outgoing) {
	if s.backlog != nil {
		s.backlog.out = out
	}
}

// endBacklog returns the queue's bytes to the budget. The caller holds s.mu.
func (s *Socket) endBacklog() {
	b := s.backlog
	if b == nil {
		return
	}
	s.conf.sendBudget.release(b.reserved)
	if b.reserved = 0; !s.state.closing() {
		s.backlog = nil
	}
}

// progress records that the peer has accepted data. A closing session then gets more time. The caller holds s.mu.
func (s *Socket) progress() {
	b := s.backlog
	if b == nil {
		return
	}
	b.shrank = time.Now()
	if s.state.closing() {
		s.deadline = s.closeDeadline(b.shrank) // onTimer sees it
	}
}
