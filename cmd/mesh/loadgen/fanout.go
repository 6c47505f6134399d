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
	// Message returns message n to publish, from 0. The first few messages are for the warm-up. All messages should
	// have the same length.
	Message func(n int) string
	// Receivers is the number of sessions that must get each message. They follow the first session, which publishes.
	// All other sessions must get no message.
	Receivers int
	// Deliveries is the number of deliveries, to all receivers together, that ends the load. FanOut rounds it up to
	// whole messages.
	Deliveries int
	// Ahead is the number of messages by which the publisher may be ahead of the slowest receiver. Default: 1,000.
	Ahead int
	// Rate is the number of messages to publish per second, in portions of 10 ms. 0 means as many as Ahead allows.
	Rate float64
	// Timeout also ends the load. A slow server is then measured by its deliveries so far. Default: 1 minute.
	Timeout time.Duration
}

// fanOut is one run of FanOut.
type fanOut struct {
	crowd     *Crowd
	receivers []*conn
	base      []int64      // number of messages that each receiver had got before
	total     atomic.Int64 // messages of the receivers, since base
	stray     atomic.Int64 // messages of sessions that must get none
	wakeAt    atomic.Int64 // the total at which to wake the publisher
	wake      chan struct{}
	last      atomic.Int64 // time of the last delivery, since start
	start     time.Time
}

var errStray = errors.New("loadgen: a session got an unexpected message")

// FanOut publishes on the first session and counts the deliveries to the receivers. It returns an error if another
// session gets a message. The publisher may get its own messages.
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
	_ = c.conns[0].socket.SetWriteDeadline(deadline) // on a broken connection the next write fails
	err = f.publish(ctx, o, n)
	_ = c.conns[0].socket.SetWriteDeadline(time.Time{}) // on a broken connection the next write fails
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

// received runs in the goroutines that read the sessions.
func (f *fanOut) received(c *conn, t counts) {
	if c.number < 1 || c.number > len(f.receivers) {
		if c.number > 0 { // the server may send a publisher its own messages
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
	default: // the publisher is awake already
	}
}

// warmUp publishes one message at a time until a message has reached every receiver, so that the server knows all of
// them. It returns the number of messages that it published.
func (f *fanOut) warmUp(ctx context.Context, o FanOutOptions) (n int, err error) {
	const tries, most = 12, 2 * time.Second
	each := 100 * time.Millisecond // several hubs may need a moment to learn of all receivers
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
				f.wakeAt.Store(f.total.Load() + 1) // some of these may be late deliveries of earlier messages
			case <-until:
				waiting = false
			case <-f.crowd.broken:
				return n, f.crowd.Err()
			case <-ctx.Done():
				return n, context.Cause(ctx)
			}
		}
		if f.slowest() >= 1 {
			if n > 0 { // earlier messages may still be under way
				err = f.calm(ctx)
			}
			return n + 1, err
		}
	}
	return n, fmt.Errorf("loadgen: none of %d messages reached all %d receivers; the last one reached %d", tries, o.Receivers, f.total.Load())
}

// calm waits until no delivery has come for 100 ms.
func (f *fanOut) calm(ctx context.Context) error {
	for before := int64(-1); before != f.total.Load(); {
		before = f.total.Load()
		if err := f.pause(ctx, 100*time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

// reset sets the counts to zero.
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

// slowest returns the number of messages that the slowest receiver has got since reset.
func (f *fanOut) slowest() int {
	least := int64(1 << 62)
	for i, c := range f.receivers {
		least = min(least, c.got.Load()-f.base[i])
	}
	return int(least)
}

// publish publishes messages from number n on, and returns when all deliveries have come.
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
			if f.last.Load() < int64(began.Sub(f.start)) { // the receiver has counted it but not set f.last yet
				f.last.Store(int64(time.Since(f.start)))
			}
			return nil
		}
		// Wake up when a part of the outstanding deliveries has come. If there are no more messages to send, wake up
		// when all have come.
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

// rateTick is the interval between portions of messages if there is a Rate.
const rateTick = 10 * time.Millisecond

// pause waits for d. It returns an error if a session breaks or ctx ends first.
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
