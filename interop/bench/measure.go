package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
)

const (
	messageSize = 128 // bytes, of a fan-out
	echoSize    = 32  // bytes
)

// figures are the results of one measurement. A figure that the scenario does not measure is zero.
type figures struct {
	Count     int     `json:"count,omitempty"` // deliveries, echoes or connects
	Seconds   float64 `json:"seconds,omitempty"`
	PerSecond float64 `json:"per_second,omitempty"`
	P50       float64 `json:"p50_us,omitempty"` // microseconds
	P99       float64 `json:"p99_us,omitempty"`
	CPU       float64 `json:"server_cpu_us,omitempty"` // of the server, divided by Count
	Memory    float64 `json:"kb_per_connection,omitempty"`
}

// add adds the figures of a later turn: the counts and the CPU time. It does not combine the other figures.
func (f *figures) add(g figures) {
	cpu := f.CPU*float64(f.Count) + g.CPU*float64(g.Count)
	f.Count += g.Count
	f.Seconds += g.Seconds
	f.PerSecond = float64(f.Count) / f.Seconds
	f.CPU = cpu / float64(f.Count)
}

// maxSilent is how long underLoad waits for the first answer.
const maxSilent = 10 * time.Second

// underLoad runs load and measures the CPU time of the server meanwhile.
func underLoad(ctx context.Context, c *child, load func() (loadgen.Rate, error)) (figures, error) {
	before, err := c.cpu(ctx)
	if err != nil {
		return figures{}, err
	}
	r, err := load()
	for silent := time.Duration(0); err == nil && r.Count == 0 && silent < maxSilent; r.Elapsed += silent {
		silent = r.Elapsed
		r, err = load() // the machine was too busy for a single answer: measure for a longer time
	}
	if err != nil {
		return figures{}, err
	}
	after, err := c.cpu(ctx)
	if err != nil {
		return figures{}, err
	}
	if r.Count == 0 {
		return figures{}, fmt.Errorf("nothing came within %v", r.Elapsed.Round(time.Millisecond))
	}
	return figures{
		Count:     r.Count,
		Seconds:   r.Elapsed.Seconds(),
		PerSecond: r.PerSecond(),
		P50:       micros(r.P50),
		P99:       micros(r.P99),
		CPU:       micros(after-before) / float64(r.Count),
	}, nil
}

func micros(d time.Duration) float64 { return float64(d) / float64(time.Microsecond) }

// measureIdle measures the memory for each connection, after two heartbeats for each connection. A server may need more
// memory for a heartbeat than for the handshake.
func (s sizes) measureIdle(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
	before, err := c.memory(ctx)
	if err != nil {
		return figures{}, err
	}
	crowd, err := loadgen.Open(ctx, t, loadgen.Options{Connections: s.idle, Parallel: 8})
	if err != nil {
		return figures{}, err
	}
	defer crowd.Close()
	const rounds = 2
	bound := rounds*s.heartbeat + 20*time.Second
	timeout := time.After(bound)
	poll := time.NewTicker(50 * time.Millisecond)
	defer poll.Stop()
	for crowd.Pings() < int64(rounds*s.idle) {
		select {
		case <-poll.C:
		case <-ctx.Done():
			return figures{}, context.Cause(ctx)
		case <-timeout:
			return figures{}, fmt.Errorf("%d of %d heartbeats within %v", crowd.Pings(), rounds*s.idle, bound)
		}
		if err := crowd.Err(); err != nil {
			return figures{}, err
		}
	}
	after, err := c.memory(ctx)
	if err != nil {
		return figures{}, err
	}
	return figures{Memory: (after - before) / float64(s.idle) / 1024}, nil
}

func (s sizes) measureFanOut(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
	crowd, err := loadgen.Open(ctx, t, loadgen.Options{Connections: s.receivers + 1})
	if err != nil {
		return figures{}, err
	}
	defer crowd.Close()
	return underLoad(ctx, c, func() (loadgen.Rate, error) {
		return crowd.FanOut(ctx, loadgen.FanOutOptions{
			Message:    func(n int) string { return fmt.Sprintf("%0*d", messageSize, n) },
			Receivers:  s.receivers,
			Deliveries: s.deliveries,
			Ahead:      s.ahead,
			Timeout:    s.patience,
		})
	})
}

func (s sizes) measureEcho(window int) func(context.Context, *child, loadgen.Target) (figures, error) {
	return func(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
		crowd, err := loadgen.Open(ctx, t, loadgen.Options{Connections: s.busy})
		if err != nil {
			return figures{}, err
		}
		defer crowd.Close()
		o := loadgen.EchoOptions{Window: window, Size: echoSize, Duration: s.warmUp}
		if _, err := crowd.Echo(ctx, o); err != nil { // warm-up: a JIT compiler optimizes code that runs
			return figures{}, err
		}
		o.Duration = s.echo
		return underLoad(ctx, c, func() (loadgen.Rate, error) { return crowd.Echo(ctx, o) })
	}
}

func (s sizes) measurePolling(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
	o := loadgen.EchoOptions{Connections: s.busy, Window: 1, Size: echoSize, Duration: s.warmUp}
	if _, err := loadgen.EchoPolling(ctx, t, o); err != nil {
		return figures{}, err
	}
	o.Duration = s.echo
	return underLoad(ctx, c, func() (loadgen.Rate, error) { return loadgen.EchoPolling(ctx, t, o) })
}

func (s sizes) measureConnect(how string) func(context.Context, *child, loadgen.Target) (figures, error) {
	return func(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
		o := loadgen.ConnectOptions{How: how, Parallel: 8, Duration: s.warmUp}
		if _, err := loadgen.Connect(ctx, t, o); err != nil {
			return figures{}, err
		}
		o.Duration = s.connect
		return underLoad(ctx, c, func() (loadgen.Rate, error) { return loadgen.Connect(ctx, t, o) })
	}
}

// interest describes the subscriptions of a hub's peers. One more peer emits.
type interest struct {
	peers       int
	subscribers int // the number of peers that subscribe
	deliveries  int
	warmUp      int // deliveries that do not count, at the beginning: a new server first grows
	ahead       int // messages
	rate        int // messages per second; 0 means as many as the subscribers take
	patterns    int // further patterns of each subscriber; if not 0, it subscribes by pattern
}

func (s sizes) measureMesh(in interest) func(context.Context, *child, loadgen.Target) (figures, error) {
	return func(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
		turn, end, err := s.openMesh(in)(ctx, c, t)
		if err != nil {
			return figures{}, err
		}
		defer end()
		return turn(ctx)
	}
}

// openMesh returns the function open of a load. It opens the peers and does the warm-up.
func (s sizes) openMesh(in interest) opening {
	return func(ctx context.Context, c *child, t loadgen.Target) (turn func(context.Context) (figures, error), end func(), err error) {
		crowd, err := loadgen.Open(ctx, t, loadgen.Options{Connections: in.peers + 1, Also: c.also(t), First: in.first})
		if err != nil {
			return nil, nil, err
		}
		fanOut := func(ctx context.Context, deliveries int) (loadgen.Rate, error) {
			return crowd.FanOut(ctx, loadgen.FanOutOptions{
				Message:    in.event,
				Receivers:  in.subscribers,
				Deliveries: deliveries,
				Ahead:      in.ahead,
				Rate:       float64(in.rate),
				Timeout:    s.meshPatience,
			})
		}
		if in.warmUp > 0 {
			if _, err := fanOut(ctx, in.warmUp); err != nil {
				crowd.Close()
				return nil, nil, fmt.Errorf("warming up: %w", err)
			}
		}
		return func(ctx context.Context) (figures, error) {
			return underLoad(ctx, c, func() (loadgen.Rate, error) { return fanOut(ctx, in.deliveries) })
		}, crowd.Close, nil
	}
}

// measureHop measures events between two peers, one event at a time. If there are two hubs, the peers are at different
// hubs.
func (s sizes) measureHop(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
	in := interest{peers: 1, subscribers: 1}
	crowd, err := loadgen.Open(ctx, t, loadgen.Options{Connections: 2, Also: c.also(t), First: in.first})
	if err != nil {
		return figures{}, err
	}
	defer crowd.Close()
	return underLoad(ctx, c, func() (loadgen.Rate, error) { return crowd.OneAtATime(ctx, s.hops, in.event) })
}

// event returns a packet in the form in which a client of the original mesh sends it: with its event table and
// credentials in each packet.
func (in interest) event(n int) string {
	name := "tick"
	if in.patterns > 0 {
		name = "bench::tick"
	}
	return `{"event":"` + name + `","payload":{"n":` + strconv.Itoa(100_000+n%900_000) +
		`},"eventTable":{},"headers":{"auth":{}}}`
}

// first returns the handshake of peer i. Peer 0 is the emitter. The handshake announces the whole table, like the
// second handshake of the original's clients. These clients send newListener before it, which has no more information.
func (in interest) first(i int) []string {
	var names []string
	switch {
	case i == 0 || i > in.subscribers:
	case in.patterns == 0:
		names = append(names, "tick")
	default:
		names = append(names, "bench::*")
		for p := range in.patterns {
			names = append(names, fmt.Sprintf("own::%d::%d::*", i, p))
		}
	}
	var table []string
	for _, name := range names {
		table = append(table, `"mesh::`+name+`":{"remote":true}`)
	}
	return []string{`{"event":"handshake","payload":{},"eventTable":{` + strings.Join(table, ",") + `},"headers":{"auth":{}}}`}
}
