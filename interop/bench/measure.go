package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/bigcompany/mesh/interop/loadgen"
)

const (
	messageSize = 128 // bytes, of a fan-out
	echoSize    = 32  // bytes
)

// figures are what one measurement came to; zero where a scenario does not ask.
type figures struct {
	Count     int     `json:"count,omitempty"` // deliveries, answers or connects
	Seconds   float64 `json:"seconds,omitempty"`
	PerSecond float64 `json:"per_second,omitempty"`
	P50       float64 `json:"p50_us,omitempty"` // microseconds
	P99       float64 `json:"p99_us,omitempty"`
	CPU       float64 `json:"server_cpu_us,omitempty"` // of the server, for each of Count
	Memory    float64 `json:"kb_per_connection,omitempty"`
}

// add adds what was measured later, of figures that are counts and CPU time.
func (f *figures) add(g figures) {
	cpu := f.CPU*float64(f.Count) + g.CPU*float64(g.Count)
	f.Count += g.Count
	f.Seconds += g.Seconds
	f.PerSecond = float64(f.Count) / f.Seconds
	f.CPU = cpu / float64(f.Count)
}

// underLoad measures the server while load is on.
func underLoad(ctx context.Context, c *child, load func() (loadgen.Rate, error)) (figures, error) {
	before, err := c.cpu(ctx)
	if err != nil {
		return figures{}, err
	}
	r, err := load()
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

// measureIdle measures memory when each connection has been through two heartbeats, for which a server may need more than for
// the handshake.
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
		if _, err := crowd.Echo(ctx, o); err != nil { // a JIT compiler wants to see the code at work
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

// interest is what the peers of a hub listen to. One more peer emits.
type interest struct {
	peers       int
	subscribers int // of the peers
	deliveries  int
	warmUp      int // deliveries before those that count: a server that has just been started is about to grow
	ahead       int // messages
	rate        int // messages a second; 0 for as many as they take
	patterns    int // that each subscriber has besides; if there are any, it subscribes by pattern
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

// openMesh is for load's open.
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

// measureHop has the two peers at two hubs, if there are two.
func (s sizes) measureHop(ctx context.Context, c *child, t loadgen.Target) (figures, error) {
	in := interest{peers: 1, subscribers: 1}
	crowd, err := loadgen.Open(ctx, t, loadgen.Options{Connections: 2, Also: c.also(t), First: in.first})
	if err != nil {
		return figures{}, err
	}
	defer crowd.Close()
	return underLoad(ctx, c, func() (loadgen.Rate, error) { return crowd.OneAtATime(ctx, s.hops, in.event) })
}

// event is a packet as a client of the original mesh sends it, which repeats its event table and credentials each time.
func (in interest) event(n int) string {
	name := "tick"
	if in.patterns > 0 {
		name = "bench::tick"
	}
	return `{"event":"` + name + `","payload":{"n":` + strconv.Itoa(100_000+n%900_000) +
		`},"eventTable":{},"headers":{"auth":{}}}`
}

// first is the handshake of peer i, the emitter being peer 0. It announces the whole table, as the original's clients do with
// their second one: newListener, which they send before, says nothing more.
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
