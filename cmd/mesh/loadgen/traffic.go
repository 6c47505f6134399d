package loadgen

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// TrafficOptions are the options of Traffic.
type TrafficOptions struct {
	// Publishers and Subscribers are the numbers of sessions.
	Publishers, Subscribers int
	// Transports are ways to connect: ByWebSocket, ByPolling and ByUpgrade. Publishers use them in turn, and so do
	// subscribers. Default: ByWebSocket.
	Transports []string
	// First returns the first text message of a subscriber or of a publisher.
	First func(subscriber bool) string
	// Append appends a message that contains number to dst. Number returns the number of a received message, or false
	// if the message has no number.
	Append func(dst []byte, number int64) []byte
	Number func(text []byte) (int64, bool)
	// Rate is the number of messages per second of all publishers together. 0 means as many as the subscribers take.
	Rate float64
	// Ahead bounds the number of sent messages that the slowest subscriber has not got, if Rate is 0. Default: 1,000.
	Ahead int
	// Duration is the time during which messages are sent.
	Duration time.Duration
	// Progress, if it is not nil, is called every 100 ms and at the end. The calls do not overlap. Traffic calls it in
	// another goroutine, but the last time in the goroutine of the caller.
	Progress func(TrafficProgress)
}

// TrafficProgress is the progress of a load.
type TrafficProgress struct {
	Open           int           // number of open sessions
	Sent, Received int           // numbers of messages; Received counts a message once for each subscriber that got it
	Elapsed        time.Duration // since the first message; 0 while sessions are opened
}

// TrafficResult is the result of a load.
type TrafficResult struct {
	Sent, Received int           // as in TrafficProgress
	Sending        time.Duration // time during which messages were sent
	Elapsed        time.Duration // from the first message to the last delivery
	// P50, P90, P99 and Max are the percentiles and the maximum of the time from the sending of a message to its
	// delivery. If a message was sent late because the server did not take the previous one, its time begins when the
	// message was due.
	P50, P90, P99, Max time.Duration
	// Ended is the number of sessions that ended before the load. EndedBy is the error of the first of them.
	Ended   int
	EndedBy error
}

// traffic is one run of Traffic.
type traffic struct {
	o           TrafficOptions
	subscribers []*subscriber
	publishers  []*publisher
	closing     atomic.Bool
	epoch       time.Time // start of all times

	open, sent, received atomic.Int64
	times                histogram
	longest              atomic.Int64
	began, last          atomic.Int64 // start of the load, or 0, and time of the last delivery; both since epoch
	wake                 chan struct{}
	waiting              atomic.Int32  // number of publishers that wait for wake
	over                 chan struct{} // closed when no more messages may be sent

	mu      sync.Mutex
	ended   int
	endedBy error
	sending time.Duration
	wg      sync.WaitGroup
}

func (r *traffic) now() time.Duration { return time.Since(r.epoch) }

// elapsed returns the time since the load began.
func (r *traffic) elapsed() time.Duration { return r.now() - time.Duration(r.began.Load()) }

// Traffic sends messages from the publishers to the subscribers and measures the time of each delivery. It uses
// revision 3, which every hub supports. If ctx ends during the load, Traffic returns the results so far.
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
		files *= 2 // at most: a session by polling has two connections
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

// report calls Progress every 100 ms until stop is called. stop calls it once more.
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

const (
	// quiet is the time without a delivery after which the wait for outstanding messages ends. patience bounds the
	// whole wait.
	quiet = time.Second
	// late is the time by which the last message may be late, because this process may have to wait for a processor.
	late = time.Second
	// pause is the time between two checks.
	pause = 10 * time.Millisecond
)

// wait waits until one of the channels is closed or until d has passed. It counts pauses and does not use the clock. So
// the time during which a busy machine does not run this process does not count.
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

// run sends the messages and waits for outstanding deliveries.
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
	default: // the server does not read: a publisher is blocked in a write
		r.closing.Store(true)
		for _, p := range r.publishers {
			p.abort()
		}
		<-sent
	}
	r.sending = r.elapsed()
	if r.o.Rate > 0 && ctx.Err() == nil { // after its last message, a publisher only waited for the end of Duration
		r.sending = max(r.sending, r.o.Duration)
	}
	r.drain(ctx.Err() != nil)
}

// drain waits until all sent messages have come or until no more messages come. After an interrupt it waits for at most
// quiet.
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
