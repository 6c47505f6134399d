package loadgen

import (
	"context"
	"time"
)

// maxBatch is the size, in bytes, from which a batch takes no more messages. A batch is one write or POST.
const maxBatch = 64 << 10

// publish sends one publisher's messages.
func (r *traffic) publish(ctx context.Context, p *publisher) {
	next := r.schedule
	if r.o.Rate == 0 {
		next = r.window
	}
	var batch, text []byte
	free := time.Duration(0) // time of the last return of send, since the beginning of the load
	for n := 0; ; {
		count := next(ctx, p, n)
		if count == 0 {
			return
		}
		batch = batch[:0]
		now, sent := r.elapsed(), 0
		for ; sent < count && len(batch) < maxBatch; sent++ {
			stamp := now
			if due := r.due(p, n+sent); r.o.Rate > 0 && due < free {
				stamp = due
			}
			text = r.o.Append(text[:0], r.began.Load()+int64(stamp))
			batch = p.add(batch, '4', text)
		}
		if p.send(batch) != nil {
			return // the reader reports a broken connection
		}
		n += sent
		r.sent.Add(int64(sent))
		free = r.elapsed()
	}
}

// due returns when a publisher must send message n, as a time since the beginning of the load.
func (r *traffic) due(p *publisher, n int) time.Duration {
	return time.Duration(float64(n*len(r.publishers)+p.number) / r.o.Rate * float64(time.Second))
}

// schedule waits until message n of a publisher is due. It returns the number of messages that are due by then, or 0 if
// the publisher must stop.
func (r *traffic) schedule(ctx context.Context, p *publisher, n int) int {
	due := r.due(p, n)
	if due >= r.o.Duration {
		return 0
	}
	if wait := due - r.elapsed(); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-p.gone:
			return 0
		case <-ctx.Done():
			return 0
		}
	}
	select {
	case <-r.over:
		return 0
	default:
	}
	if ctx.Err() != nil {
		return 0
	}
	now := r.elapsed()
	count := 1
	for at := r.due(p, n+count); at <= now && at < r.o.Duration; at = r.due(p, n+count) {
		count++
	}
	return count
}

// window waits until a publisher may send. It returns the number of messages that the publisher may send, or 0 if it
// must stop.
func (r *traffic) window(ctx context.Context, p *publisher, _ int) int {
	r.waiting.Add(1)
	defer r.waiting.Add(-1)
	for {
		if ctx.Err() != nil || r.elapsed() >= r.o.Duration {
			return 0
		}
		slowest, some := r.slowest()
		if !some {
			return 0
		}
		room := (r.o.Ahead - int(r.sent.Load()-slowest)) / len(r.publishers)
		if room > 0 && room >= r.o.Ahead/len(r.publishers)/4 {
			return room
		}
		select {
		case <-r.wake:
		case <-time.After(10 * time.Millisecond): // another publisher may have taken the wake-up
		case <-p.gone:
			return 0
		case <-ctx.Done():
		}
	}
}

// slowest returns the number of messages of the slowest open subscriber. It returns false if no subscriber is open.
func (r *traffic) slowest() (least int64, some bool) {
	least = 1 << 62
	for _, s := range r.subscribers {
		select {
		case <-s.gone:
		default:
			least, some = min(least, s.got.Load()), true
		}
	}
	return least, some
}
