package loadgen

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// TrafficOptions are the options of Traffic.
type TrafficOptions struct {
	// Publishers and Subscribers are how many sessions there are of each.
	Publishers, Subscribers int
	// Transports are ByWebSocket, ByPolling and ByUpgrade; publishers take them in turn, and so do subscribers.
	// Default: ByWebSocket.
	Transports []string
	// First returns the text message that a session sends first.
	First func(subscriber bool) string
	// Append appends a message to publish, which carries a number, and Number finds that in what arrives; false if it
	// is no such message.
	Append func(dst []byte, number int64) []byte
	Number func(text []byte) (int64, bool)
	// Rate is how many messages a second all publishers send together. 0 means as many as the subscribers take.
	Rate float64
	// Ahead bounds how many messages are sent that the slowest subscriber has not got, if Rate is 0. Default: 1,000.
	Ahead int
	// Duration is for how long messages are sent.
	Duration time.Duration
	// Progress, if there is one, is called each 100 ms, by one goroutine, which is Traffic's caller or one of its own.
	Progress func(TrafficProgress)
}

// TrafficProgress is how far a load has come.
type TrafficProgress struct {
	Open           int           // sessions
	Sent, Received int           // messages; received ones are counted once a subscriber
	Elapsed        time.Duration // since the first message; 0 while sessions are opened
}

// TrafficResult is what a load came to.
type TrafficResult struct {
	Sent, Received int           // as in TrafficProgress
	Sending        time.Duration // for how long messages were sent
	Elapsed        time.Duration // from the first message to the last delivery
	// The times from a message's sending until it was read, for each delivery. A message that had to wait because the
	// server did not take the one before it counts from when it should have been sent.
	P50, P90, P99, Max time.Duration
	// Ended is how many sessions ended before the load did, and EndedBy why the first of them did.
	Ended   int
	EndedBy error
}

// traffic is one run of Traffic.
type traffic struct {
	o           TrafficOptions
	subscribers []*subscriber
	publishers  []*publisher
	closing     atomic.Bool
	epoch       time.Time // what times are counted from

	open, sent, received atomic.Int64
	times                histogram
	longest              atomic.Int64
	began, last          atomic.Int64 // when the load began, or 0, and when the last delivery came
	wake                 chan struct{}
	waiting              atomic.Int32  // publishers that want to be woken
	over                 chan struct{} // closed when nothing is to be sent any more

	mu      sync.Mutex
	ended   int
	endedBy error
	sending time.Duration
	wg      sync.WaitGroup
}

func (r *traffic) now() time.Duration { return time.Since(r.epoch) }

// elapsed is the time since the load began.
func (r *traffic) elapsed() time.Duration { return r.now() - time.Duration(r.began.Load()) }

// member is one session of a traffic.
type member struct {
	session
	ready chan struct{} // closed at the answer to the first heartbeat
	gone  chan struct{} // closed when the session has ended
	err   error         // why it did, once gone is closed
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

// Traffic has sessions send messages, at a rate, to sessions that measure how long these were under way. It speaks
// revision 3, which every hub does. If ctx ends, it returns what was measured by then.
func Traffic(ctx context.Context, t Target, o TrafficOptions) (TrafficResult, error) {
	if len(o.Transports) == 0 {
		o.Transports = []string{ByWebSocket}
	}
	if o.Ahead <= 0 {
		o.Ahead = 1000
	}
	t.Revision = 3
	files := o.Publishers + o.Subscribers
	if slices.Contains(o.Transports, ByPolling) {
		files *= 2 // at most
	}
	if err := needFiles(files); err != nil {
		return TrafficResult{}, err
	}
	r := &traffic{o: o, epoch: time.Now(), wake: make(chan struct{}, o.Publishers), over: make(chan struct{})}
	defer r.close()
	stop := r.report()
	err := r.openAll(ctx, t)
	if err == nil {
		r.run(ctx)
	}
	stop()
	if err != nil {
		return TrafficResult{}, err
	}
	return r.result(), nil
}

// report calls Progress until stop is called.
func (r *traffic) report() (stop func()) {
	if r.o.Progress == nil {
		return func() {}
	}
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				r.o.Progress(r.progress())
			case <-done:
				return
			}
		}
	})
	return func() {
		close(done)
		wg.Wait()
		r.o.Progress(r.progress())
	}
}

func (r *traffic) progress() TrafficProgress {
	p := TrafficProgress{Open: int(r.open.Load()), Sent: int(r.sent.Load()), Received: int(r.received.Load())}
	if r.began.Load() > 0 {
		p.Elapsed = r.elapsed()
	}
	return p
}

// openAll opens the sessions. Subscribers come first, so that publishers find them.
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

// join opens a session, starts its reader, and returns when the server has dealt with its first message.
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

// lost takes note of a session that has ended.
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

// deliver runs on the subscribers' readers.
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
		default: // they are awake
		}
	}
}

const (
	// quiet is how long nothing has to come for the wait to end for what is under way. patience bounds that as a whole.
	quiet = time.Second
	// late is how long after its time the last message may be sent: this process, too, has to wait for its processor.
	late = time.Second
	// pause is the time between two looks.
	pause = 10 * time.Millisecond
)

// wait waits until one of the channels is closed, or d has passed. That is counted in pauses rather than by the clock: a
// process that stood still meanwhile, as on a busy machine, has waited for nobody.
func wait(d time.Duration, one, other <-chan struct{}) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for range d / pause {
		select {
		case <-one:
			return
		case <-other:
			return
		case <-tick.C:
		}
	}
}

// run sends, and waits for what is under way.
func (r *traffic) run(ctx context.Context) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r.began.Store(int64(r.now()))
	r.wg.Go(func() { r.heartbeats(ctx) })
	var sending sync.WaitGroup
	for _, p := range r.publishers {
		sending.Go(func() { r.publish(ctx, p) })
	}
	sent := make(chan struct{})
	go func() {
		sending.Wait()
		close(sent)
	}()
	select {
	case <-sent:
	case <-ctx.Done():
	case <-time.After(r.o.Duration):
		wait(late, sent, ctx.Done())
	}
	close(r.over)
	wait(quiet, sent, nil)
	select {
	case <-sent:
	default: // the server does not read: a publisher is stuck in its write
		r.closing.Store(true)
		for _, p := range r.publishers {
			p.abort()
		}
		<-sent
	}
	r.sending = r.elapsed()
	if r.o.Rate > 0 && ctx.Err() == nil { // nothing was due after the last message
		r.sending = max(r.sending, r.o.Duration)
	}
	r.drain(ctx.Err() != nil)
}

// drain waits until all that was sent has come, or nothing comes any more. Who interrupts does not want to wait.
func (r *traffic) drain(interrupted bool) {
	most := patience
	if interrupted {
		most = quiet
	}
	seen, since := r.received.Load(), 0
	for range most / pause {
		received := r.received.Load()
		if received >= r.sent.Load()*int64(len(r.subscribers)) {
			return
		}
		if received != seen {
			seen, since = received, 0
		} else if since++; since > int(quiet/pause) {
			return
		}
		time.Sleep(pause)
	}
}

// heartbeats sends those of all sessions.
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
				_ = m.send(m.add(nil, '2', nil)) // the reader notices what is wrong
			}
		}
	}
}

// maxBatch bounds what is sent in one write or POST, in bytes.
const maxBatch = 64 << 10

// publish sends one publisher's messages.
func (r *traffic) publish(ctx context.Context, p *publisher) {
	next := r.schedule
	if r.o.Rate == 0 {
		next = r.window
	}
	var batch, text []byte
	free := time.Duration(0) // from the beginning, when the last write returned
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
			return // the reader notices what is wrong
		}
		n += sent
		r.sent.Add(int64(sent))
		free = r.elapsed()
	}
}

// due is when a publisher's n-th message is to be sent, from the beginning.
func (r *traffic) due(p *publisher, n int) time.Duration {
	return time.Duration(float64(n*len(r.publishers)+p.number) / r.o.Rate * float64(time.Second))
}

// schedule waits until a publisher's n-th message is due, and returns how many are by then; 0 if there are no more.
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

// window waits until a publisher may send, and returns how many messages it may; 0 if the time is over.
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
		case <-time.After(10 * time.Millisecond): // the nudge may have gone to another publisher
		case <-p.gone:
			return 0
		case <-ctx.Done():
		}
	}
}

// slowest returns what the slowest subscriber has got of those that are there; false if none is.
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

func (r *traffic) result() TrafficResult {
	r.mu.Lock()
	defer r.mu.Unlock()
	return TrafficResult{
		Sent: int(r.sent.Load()), Received: int(r.received.Load()),
		Sending: r.sending, Elapsed: max(r.sending, time.Duration(r.last.Load()-r.began.Load())),
		P50: r.times.quantile(0.50), P90: r.times.quantile(0.90), P99: r.times.quantile(0.99),
		Max:   time.Duration(r.longest.Load()),
		Ended: r.ended, EndedBy: r.endedBy,
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
