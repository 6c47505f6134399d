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
	// Connections is the number of sessions to open. Only EchoPolling uses it.
	Connections int
	// Window is the number of messages under way in each session. EchoPolling always has one. Default: 1.
	Window int
	// Size is the size of a message, in bytes.
	Size int
	// Duration is the duration of the load.
	Duration time.Duration
}

// echo is one run of Echo.
type echo struct {
	size  int
	frame []byte // all messages of a window
	start time.Time
	end   time.Duration // echoes that come later than this after start do not count
	count atomic.Int64
	times histogram
	left  atomic.Int64 // number of sessions that still wait for echoes
	done  chan struct{}
	once  sync.Once
	wrong atomic.Pointer[error]
}

// echoing is the state of a session during Echo. Only the session's reader uses it while the load runs.
type echoing struct {
	sent []time.Duration // send times of the messages under way, a ring
	next int             // index of the oldest message
	out  int             // number of messages under way
}

// Echo keeps a window of messages under way in every session. If a read returns some echoes, the session sends as many
// new messages in one write. Each echo must be as long as its message.
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

func (e *echo) received(c *conn, t counts) {
	s := &c.echoing
	if t.messages > s.out || t.bytes != t.messages*e.size {
		err := fmt.Errorf("loadgen: connection %d: %d messages with %d bytes came back; %d of %d bytes each were in flight",
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
		_, _ = c.socket.Write(e.frame[:t.messages*len(e.frame)/len(s.sent)]) // the reader reports a broken connection
		return
	}
	if s.out -= t.messages; s.out == 0 && e.left.Add(-1) == 0 {
		e.once.Do(func() { close(e.done) })
	}
}
