package loadgen

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// EchoOptions are the options of Echo and EchoPolling.
type EchoOptions struct {
	// Connections is for EchoPolling: how many sessions to open.
	Connections int
	// Window is how many messages each session has under way. EchoPolling has one. Default: 1.
	Window int
	// Size is the size of a message, in bytes.
	Size int
	// Duration is for how long.
	Duration time.Duration
}

// echo is one run of Echo.
type echo struct {
	size  int
	frame []byte // as many messages as the window holds
	start time.Time
	end   time.Duration // from start on, answers do not count
	count atomic.Int64
	times histogram
	left  atomic.Int64 // sessions that still wait for answers
	done  chan struct{}
	once  sync.Once
	wrong atomic.Pointer[error]
}

// echoing is a session's part in that. It belongs to the session's reader while the load is on.
type echoing struct {
	sent []time.Duration // of the messages under way, a ring
	next int             // the oldest of them
	out  int             // how many
}

// Echo keeps messages under way on every session: as many new ones are sent, in one write, as answers came with one read.
// Each answer must be as long as its message.
func (c *Crowd) Echo(ctx context.Context, o EchoOptions) (Rate, error) {
	window := max(o.Window, 1)
	e := &echo{size: o.Size, end: o.Duration, done: make(chan struct{})}
	text := strings.Repeat("e", o.Size)
	for range window {
		e.frame = appendFrame(e.frame, '4', text)
	}
	e.left.Store(int64(len(c.conns)))
	for _, co := range c.conns {
		co.echoing = echoing{sent: make([]time.Duration, window), out: window}
	}
	e.start = time.Now()
	c.load.Store(&load{received: e.received})
	defer c.load.Store(nil)
	for _, co := range c.conns {
		if _, err := co.socket.Write(e.frame); err != nil {
			return Rate{}, fmt.Errorf("loadgen: connection %d: %w", co.number+1, err)
		}
	}
	if err := c.wait(ctx, e.done, o.Duration+patience); err != nil {
		return Rate{}, err
	}
	if err := e.wrong.Load(); err != nil {
		return Rate{}, *err
	}
	return Rate{Count: int(e.count.Load()), Elapsed: o.Duration, P50: e.times.quantile(0.50), P99: e.times.quantile(0.99)}, nil
}

func (e *echo) received(c *conn, t tally) {
	s := &c.echoing
	if t.messages > s.out || t.bytes != t.messages*e.size {
		err := fmt.Errorf("loadgen: connection %d: %d messages with %d bytes came back; %d of %d bytes each were under way",
			c.number+1, t.messages, t.bytes, s.out, e.size)
		e.wrong.CompareAndSwap(nil, &err)
		e.once.Do(func() { close(e.done) })
		return
	}
	now := time.Since(e.start)
	over := now >= e.end
	for range t.messages {
		if !over {
			e.times.add(now - s.sent[s.next])
		}
		s.sent[s.next] = now
		s.next = (s.next + 1) % len(s.sent)
	}
	if !over {
		e.count.Add(int64(t.messages))
		_, _ = c.socket.Write(e.frame[:t.messages*len(e.frame)/len(s.sent)]) // the reader notices what is wrong
		return
	}
	if s.out -= t.messages; s.out == 0 && e.left.Add(-1) == 0 {
		e.once.Do(func() { close(e.done) })
	}
}
