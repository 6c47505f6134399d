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

// The ways to open a session.
const (
	ByWebSocket = "websocket"
	ByPolling   = "polling"
	ByUpgrade   = "upgrade" // by polling, then moved to a WebSocket
)

// ConnectOptions are the options of Connect.
type ConnectOptions struct {
	// How is ByWebSocket, ByPolling or ByUpgrade.
	How string
	// Parallel is the number of sessions that are opened at the same time. Default: 8.
	Parallel int
	// Duration is the duration of the load. Connect opens at least Parallel sessions, even if that takes longer.
	Duration time.Duration
	// Most is the maximum number of sessions. It also ends the load, because each closed connection occupies a port for
	// a while. Default: 20,000.
	Most int
}

const defaultMost = 20_000

// Connect opens sessions and closes them properly. A session counts when it is open and, with ByUpgrade, has moved to
// the WebSocket. With ByUpgrade the server must echo messages, because an echo on the WebSocket shows the move.
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
			connect, end := o.connector(context.WithoutCancel(ctx), t) // Connect finishes a connect that has begun
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

// connector returns two functions. Each call of connect opens and ends one session. end releases the connection. Both
// are nil if o.How is unknown.
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

// connectPolling returns functions for connector. The sessions follow one another on two connections, as in a browser. A poll
// is in progress when a session ends.
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

// connectUpgrade moves a session from polling to a WebSocket. It expects the echo of a message on the WebSocket, which
// shows that the session has moved.
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

// exchange sends frames. The next frame that comes must have the body want.
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
