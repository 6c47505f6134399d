package loadgen

import (
	"context"
	"fmt"
	"time"
)

// OneAtATime publishes messages on the first session and measures the time of each delivery. It publishes a message
// when the previous message has reached the second session. message is the same as FanOutOptions.Message.
func (c *Crowd) OneAtATime(ctx context.Context, count int, message func(n int) string) (Rate, error) {
	if len(c.conns) < 2 {
		return Rate{}, fmt.Errorf("loadgen: %d sessions are too few for a publisher and a receiver", len(c.conns))
	}
	f := &fanOut{crowd: c, receivers: c.conns[1:2], wake: make(chan struct{}, 1), start: time.Now()}
	c.load.Store(&load{received: f.received})
	defer c.load.Store(nil)
	n, err := f.warmUp(ctx, FanOutOptions{Message: message, Receivers: 1})
	if err != nil {
		return Rate{}, err
	}
	f.reset()
	var times histogram
	began := time.Now()
	for i := range count {
		f.wakeAt.Store(int64(i + 1))
		sent := time.Since(f.start)
		if _, err := c.conns[0].socket.Write(appendFrame(nil, '4', message(n+i))); err != nil {
			return Rate{}, fmt.Errorf("loadgen: publish: %w", err)
		}
		if err := f.arrived(ctx); err != nil {
			return Rate{}, err
		}
		times.add(time.Duration(f.last.Load()) - sent)
	}
	if f.stray.Load() > 0 {
		return Rate{}, errStray
	}
	return Rate{Count: count, Elapsed: time.Since(began), P50: times.quantile(0.50), P99: times.quantile(0.99)}, nil
}

// arrived waits until the total has reached wakeAt.
func (f *fanOut) arrived(ctx context.Context) error {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	for f.total.Load() < f.wakeAt.Load() {
		select {
		case <-f.wake:
		case <-f.crowd.broken:
			return f.crowd.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			return errTimeout
		}
	}
	return nil
}
