package loadgen

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// FanOutOptions are the options of FanOut.
type FanOutOptions struct {
	// Message returns the n-th message to publish, from 0; the first few are for the warming-up. They should be
	// of one length.
	Message func(n int) string
	// Receivers is how many sessions get each message: those behind the first, which publishes. The others must get
	// none.
	Receivers int
	// Deliveries is how many, to all receivers together, end the load.
	Deliveries int
	// Ahead is how many messages the publisher may be ahead of the slowest receiver. Default: 1,000.
	Ahead int
	// Rate is how many messages a second are published, 10 ms' worth at a time. 0 means as many as Ahead lets.
	Rate float64
	// Timeout ends the load too: a slow server is measured by what it has delivered by then. Default: 1 minute.
	Timeout time.Duration
}

// fanOut is one run of FanOut.
type fanOut struct {
	crowd     *Crowd
	receivers []*conn
	base      []int64      // what each receiver had got before
	total     atomic.Int64 // messages of the receivers, since base
	stray     atomic.Int64 // messages of the others
	wakeAt    atomic.Int64 // the total at which the publisher wants to know
	wake      chan struct{}
	last      atomic.Int64 // when the last delivery came, from start
	start     time.Time
}

var errStray = errors.New("loadgen: a session got a message that it was not to get")

// FanOut publishes on the first session and counts what arrives at the others.
func (c *Crowd) FanOut(ctx context.Context, o FanOutOptions) (Rate, error) {
	if o.Receivers < 1 || o.Receivers >= len(c.conns) {
		return Rate{}, fmt.Errorf("loadgen: %d sessions are too few for a publisher and %d receivers", len(c.conns), o.Receivers)
	}
	if o.Ahead <= 0 {
		o.Ahead = 1000
	}
	if o.Timeout <= 0 {
		o.Timeout = time.Minute
	}
	f := &fanOut{crowd: c, receivers: c.conns[1 : o.Receivers+1], wake: make(chan struct{}, 1)}
	f.start = time.Now()
	c.load.Store(&load{received: f.received})
	defer c.load.Store(nil)
	n, err := f.warmUp(ctx, o)
	if err != nil {
		return Rate{}, err
	}

	f.reset()
	began := time.Since(f.start)
	ctx, cancel := context.WithTimeoutCause(ctx, o.Timeout, errTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	_ = c.conns[0].socket.SetWriteDeadline(deadline) // a broken connection fails in Write
	err = f.publish(ctx, o, n)
	_ = c.conns[0].socket.SetWriteDeadline(time.Time{}) // as above
	if err != nil {
		if !errors.Is(context.Cause(ctx), errTimeout) || c.Err() != nil {
			return Rate{}, err
		}
		f.last.Store(int64(time.Since(f.start)))
	}
	if f.stray.Load() > 0 {
		return Rate{}, errStray
	}
	return Rate{Count: int(f.total.Load()), Elapsed: time.Duration(f.last.Load()) - began}, nil
}

// received runs on the goroutines of all sessions.
func (f *fanOut) received(c *conn, t tally) {
	if c.number < 1 || c.number > len(f.receivers) {
		if c.number > 0 { // whether a publisher hears itself is the server's choice
			f.stray.Add(int64(t.messages))
		}
		return
	}
	total := f.total.Add(int64(t.messages))
	if total >= f.wakeAt.Load() {
		f.last.Store(int64(time.Since(f.start)))
		f.nudge()
	}
}

func (f *fanOut) nudge() {
	select {
	case f.wake <- struct{}{}:
	default: // it is awake
	}
}

// warmUp publishes one message at a time until one has reached every receiver, so that all of them are known to the
// server. It returns how many it took.
func (f *fanOut) warmUp(ctx context.Context, o FanOutOptions) (n int, err error) {
	const tries, most = 12, 2 * time.Second
	each := 100 * time.Millisecond // hubs that are joined may take a moment to know all receivers
	for n = range tries {
		f.reset()
		f.wakeAt.Store(int64(o.Receivers))
		if _, err := f.crowd.conns[0].socket.Write(appendFrame(nil, '4', o.Message(n))); err != nil {
			return n, fmt.Errorf("loadgen: publish: %w", err)
		}
		until := time.After(each)
		each = min(2*each, most)
		for waiting := true; waiting && f.slowest() < 1; {
			select {
			case <-f.wake:
				f.wakeAt.Store(f.total.Load() + 1) // some of these may be late ones of the messages before
			case <-until:
				waiting = false
			case <-f.crowd.broken:
				return n, f.crowd.Err()
			case <-ctx.Done():
				return n, context.Cause(ctx)
			}
		}
		if f.slowest() >= 1 {
			if n > 0 { // what was published before may still be under way to some
				err = f.calm(ctx)
			}
			return n + 1, err
		}
	}
	return n, fmt.Errorf("loadgen: none of %d messages reached all %d receivers; the last one reached %d", tries, o.Receivers, f.total.Load())
}

// calm waits until nothing has come for a moment.
func (f *fanOut) calm(ctx context.Context) error {
	for before := int64(-1); before != f.total.Load(); {
		before = f.total.Load()
		if err := f.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// reset counts anew.
func (f *fanOut) reset() {
	f.base = f.base[:0]
	for _, c := range f.receivers {
		f.base = append(f.base, c.got.Load())
	}
	f.total.Store(0)
	f.wakeAt.Store(1 << 62)
	select {
	case <-f.wake:
	default:
	}
}

// slowest returns how many messages the slowest receiver has got.
func (f *fanOut) slowest() int {
	least := int64(1 << 62)
	for i, c := range f.receivers {
		least = min(least, c.got.Load()-f.base[i])
	}
	return int(least)
}

// publish publishes messages from the n-th on, and returns when the deliveries are there.
func (f *fanOut) publish(ctx context.Context, o FanOutOptions, n int) error {
	receivers := len(f.receivers)
	messages := (o.Deliveries + receivers - 1) / receivers
	sent := 0
	var buf []byte
	began := time.Now()
	f.wakeAt.Store(int64(messages * receivers))
	for {
		room, least := min(o.Ahead-(sent-f.slowest()), messages-sent), min(o.Ahead/4+1, messages-sent)
		if o.Rate > 0 && sent < messages {
			due := int(o.Rate*rateTick.Seconds()) * int(1+time.Since(began)/rateTick)
			if due <= sent {
				if err := f.pause(ctx, rateTick-time.Since(began)%rateTick); err != nil {
					return err
				}
				continue
			}
			room, least = min(room, due-sent), 1
		}
		if room >= least && room > 0 {
			buf = buf[:0]
			for range room {
				buf = appendFrame(buf, '4', o.Message(n+sent))
				sent++
			}
			if _, err := f.crowd.conns[0].socket.Write(buf); err != nil {
				return fmt.Errorf("loadgen: publish: %w", err)
			}
			continue
		}
		outstanding := sent*receivers - int(f.total.Load())
		if outstanding <= 0 && sent == messages {
			if f.last.Load() < int64(began.Sub(f.start)) { // its receiver is about to note it
				f.last.Store(int64(time.Since(f.start)))
			}
			return nil
		}
		// Woken when a part of what is under way has come, and at the latest when all of it has.
		part := max(outstanding/8, 1)
		if sent == messages {
			part = outstanding
		}
		f.wakeAt.Store(int64(sent*receivers - outstanding + part))
		if f.total.Load() >= f.wakeAt.Load() {
			f.last.Store(int64(time.Since(f.start)))
			continue
		}
		select {
		case <-f.wake:
		case <-f.crowd.broken:
			return f.crowd.Err()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}

// rateTick is how often messages are published at a rate.
const rateTick = 10 * time.Millisecond

// pause waits for the next messages to be due.
func (f *fanOut) pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-f.crowd.broken:
		return f.crowd.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
