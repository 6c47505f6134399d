package loadgen

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// member is one session of a load.
type member struct {
	session
	ready chan struct{} // closed at the response to the first heartbeat
	gone  chan struct{} // closed when the session has ended
	err   error         // why the session has ended; valid when gone is closed
}

type subscriber struct {
	member
	got atomic.Int64
}

type publisher struct {
	member
	number int
}

var errNotReady = errors.New("the server did not answer in time")

// openAll opens the subscribers first, so that they are subscribed when a publisher sends.
func (r *traffic) openAll(ctx context.Context, t Target) error {
	r.subscribers = make([]*subscriber, r.o.Subscribers)
	err := inParallel(ctx, r.o.Subscribers, defaultParallel, func(i int) error {
		s := &subscriber{}
		r.subscribers[i] = s
		return r.join(ctx, t, &s.member, i, true, func(text []byte) { r.deliver(s, text) })
	})
	if err != nil {
		return err
	}
	r.publishers = make([]*publisher, r.o.Publishers)
	return inParallel(ctx, r.o.Publishers, defaultParallel, func(i int) error {
		p := &publisher{number: i}
		r.publishers[i] = p
		return r.join(ctx, t, &p.member, i, false, func([]byte) {})
	})
}

// join opens a session, starts its reader, and returns when the server has handled the session's first message.
func (r *traffic) join(ctx context.Context, t Target, m *member, i int, subscribes bool, message func(text []byte)) error {
	m.ready, m.gone = make(chan struct{}), make(chan struct{})
	s, err := openSession(ctx, t, r.o.Transports[i%len(r.o.Transports)])
	if err != nil {
		return err
	}
	m.session = s
	r.wg.Go(func() {
		isReady := false
		err := s.run(func(kind byte, text []byte) {
			switch {
			case kind == '4':
				message(text)
			case kind == '3' && !isReady:
				isReady = true
				close(m.ready)
			}
		})
		m.err = err
		close(m.gone)
		r.lost(err)
	})
	first := s.add(nil, '4', []byte(r.o.First(subscribes)))
	if err := s.send(s.add(first, '2', nil)); err != nil {
		return err
	}
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case <-m.ready:
		r.open.Add(1)
		return nil
	case <-m.gone:
		return m.err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return errNotReady
	}
}

// lost records that a session has ended.
func (r *traffic) lost(err error) {
	if r.closing.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended++; r.ended == 1 {
		r.endedBy = err
	}
}

// deliver handles a message for a subscriber. It runs in the goroutine that reads the session.
func (r *traffic) deliver(s *subscriber, text []byte) {
	sent, ok := r.o.Number(text)
	if !ok {
		return
	}
	now := int64(r.now())
	took := max(now-sent, 0)
	r.times.add(time.Duration(took))
	for most := r.longest.Load(); took > most && !r.longest.CompareAndSwap(most, took); {
		most = r.longest.Load()
	}
	r.last.Store(now)
	s.got.Add(1)
	r.received.Add(1)
	if r.waiting.Load() > 0 {
		select {
		case r.wake <- struct{}{}:
		default: // the publishers are awake already
		}
	}
}

// heartbeats sends the heartbeats of all sessions.
func (r *traffic) heartbeats(ctx context.Context) {
	var all []*member
	for _, s := range r.subscribers {
		all = append(all, &s.member)
	}
	for _, p := range r.publishers {
		all = append(all, &p.member)
	}
	interval := all[0].interval()
	if interval <= 0 {
		return
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, m := range all {
				_ = m.send(m.add(nil, '2', nil)) // the reader reports a broken connection
			}
		}
	}
}

// close ends all sessions and waits for their goroutines.
func (r *traffic) close() {
	r.closing.Store(true)
	var wg sync.WaitGroup
	end := func(s session) {
		if s != nil {
			wg.Go(s.close)
		}
	}
	for _, s := range r.subscribers {
		if s != nil {
			end(s.session)
		}
	}
	for _, p := range r.publishers {
		if p != nil {
			end(p.session)
		}
	}
	wg.Wait()
	r.wg.Wait()
}
