package loadgen

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// How a session comes about.
const (
	ByWebSocket = "websocket"
	ByPolling   = "polling"
	ByUpgrade   = "upgrade" // by polling, then moved to a WebSocket
)

// ConnectOptions are the options of Connect.
type ConnectOptions struct {
	// How is ByWebSocket, ByPolling or ByUpgrade.
	How string
	// Parallel is how many are under way at a time. Default: 8.
	Parallel int
	// Duration is for how long. At least Parallel sessions are opened, however long that takes.
	Duration time.Duration
	// Most ends the load too, since each connection leaves a port that is not free again for a while. Default: 20,000.
	Most int
}

const defaultMost = 20_000

// Connect opens sessions and ends them in good order. A session counts when it is open and, ByUpgrade, has moved to the
// WebSocket; the server must send messages back for that to be seen.
func Connect(ctx context.Context, t Target, o ConnectOptions) (Rate, error) {
	if connect, _ := o.connector(ctx, t); connect == nil {
		return Rate{}, fmt.Errorf("loadgen: no such way to connect: %q", o.How)
	}
	if o.Parallel <= 0 {
		o.Parallel = defaultParallel
	}
	if o.Most <= 0 {
		o.Most = defaultMost
	}
	began := time.Now()
	ctx, cancel := context.WithTimeout(ctx, o.Duration)
	defer cancel()
	var tickets, count atomic.Int64
	var times histogram
	var failed atomic.Pointer[error]
	var wg sync.WaitGroup
	for range o.Parallel {
		wg.Go(func() {
			connect, end := o.connector(context.WithoutCancel(ctx), t) // a connect that has begun is finished
			defer end()
			for first := true; (first || ctx.Err() == nil) && failed.Load() == nil && tickets.Add(1) <= int64(o.Most); first = false {
				start := time.Now()
				if err := connect(); err != nil {
					err = fmt.Errorf("loadgen: connect by %s: %w", o.How, err)
					failed.CompareAndSwap(nil, &err)
					return
				}
				times.add(time.Since(start))
				count.Add(1)
			}
		})
	}
	wg.Wait()
	elapsed := time.Since(began)
	if err := failed.Load(); err != nil {
		return Rate{}, *err
	}
	if err := ctx.Err(); err != nil && !errors.Is(err, context.DeadlineExceeded) {
		return Rate{}, context.Cause(ctx)
	}
	return Rate{Count: int(count.Load()), Elapsed: elapsed, P50: times.quantile(0.50), P99: times.quantile(0.99)}, nil
}

// connector returns a function that makes one connect after the other, and one for the end. The first is nil if there is
// no such way to connect.
func (o ConnectOptions) connector(ctx context.Context, t Target) (connect func() error, end func()) {
	switch o.How {
	case ByWebSocket:
		return func() error { return connectWebSocket(ctx, t) }, func() {}
	case ByUpgrade:
		return func() error { return connectUpgrade(ctx, t) }, func() {}
	case ByPolling:
		return connectPolling(ctx, t)
	default:
		return nil, nil
	}
}

func connectWebSocket(ctx context.Context, t Target) error {
	conn, _, _, err := openWebSocket(ctx, t, "")
	if err != nil {
		return err
	}
	_, err = conn.Write(closeFrame)
	return errors.Join(err, conn.Close())
}

// connectPolling opens sessions and ends them, one after the other, on two connections that are kept, as a browser does. A
// poll is under way when a session ends.
func connectPolling(ctx context.Context, t Target) (connect func() error, end func()) {
	var polls, posts *poller
	connect = func() (err error) {
		if polls != nil {
			deadline := time.Now().Add(dialTimeout)
			_, _ = polls.conn.SetDeadline(deadline), posts.conn.SetDeadline(deadline) // a broken connection fails by itself
			err = polls.handshake()
		} else if polls, err = openPoller(ctx, t, false); err == nil {
			posts, err = dialPoller(ctx, t, false)
		}
		if err != nil {
			return err
		}
		return polls.endBeside(posts)
	}
	end = func() {
		for _, p := range []*poller{polls, posts} {
			if p != nil {
				_ = p.conn.Close()
			}
		}
	}
	return connect, end
}

// connectUpgrade moves a session from polling to a WebSocket, and makes sure of it by a message that must come back there.
func connectUpgrade(ctx context.Context, t Target) error {
	p, err := openPoller(ctx, t, false)
	if err != nil {
		return err
	}
	defer func() { _ = p.conn.Close() }()
	conn, _, _, err := openWebSocket(ctx, t, p.SID)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }()
	in := bufio.NewReaderSize(conn, 1<<10)
	if err := exchange(conn, in, appendFrame(nil, '2', "probe"), "3probe"); err != nil {
		return fmt.Errorf("probe: %w", err)
	}
	if err := exchange(conn, in, appendFrame(appendFrame(nil, '5', ""), '4', "hi"), "4hi"); err != nil {
		return fmt.Errorf("upgrade: %w", err)
	}
	_, err = conn.Write(closeFrame)
	return err
}

// exchange sends frames, and wants the next frame that comes to have a certain body.
func exchange(conn net.Conn, in *bufio.Reader, frames []byte, want string) error {
	if _, err := conn.Write(frames); err != nil {
		return err
	}
	body, err := readFrame(in)
	if err == nil && string(body) != want {
		err = fmt.Errorf("%.80q came instead of %q", body, want)
	}
	return err
}
