package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"
)

// scene is one attack at one build of the hub.
type scene struct {
	hub    string // the command mesh
	attack attack
	small  bool
	time   time.Duration
}

// phase says which other clients the hub has besides the bystanders.
type phase string

const (
	alone       phase = "alone"
	honest      phase = "beside honest clients"
	underAttack phase = "under attack"
)

// phases are in the order in which they run: an honest client sends as many bytes as the attacker before it.
var phases = []phase{alone, underAttack, honest}

// row is the effect of one phase on the bystanders, and its cost.
type row struct {
	Phase       phase
	P50, P99    time.Duration
	Ratio       float64 // of P99 to the P99 beside honest clients of the same run
	Heard       int64
	Lost        int64 // sum of all runs
	Disconnects int64 // sum of all runs
	Peak        uint64
	CPU         time.Duration // per second
	Log         string

	rate float64 // bytes per second of an attack that reports them
}

// run runs all phases in turn, runs times, and returns the medians, one row for each phase.
func (s scene) run(ctx context.Context, runs int, progress func(string)) ([]row, error) {
	byPhase := make(map[phase][]row)
	for i := range runs {
		rate := 0.0
		for _, p := range phases {
			r, err := s.phase(ctx, p, rate)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", p, err)
			}
			rate = r.rate
			byPhase[p] = append(byPhase[p], r)
			if p == honest {
				attacked := &byPhase[underAttack][i]
				attacked.Ratio = float64(attacked.P99) / float64(r.P99)
			}
			progress(fmt.Sprintf("%s, %s, run %d of %d: p50 %v, p99 %v, lost %d, disconnects %d", s.attack.name, p, i+1, runs,
				r.P50.Round(time.Microsecond), r.P99.Round(time.Microsecond), r.Lost, r.Disconnects))
			if r.Log != "" && p == underAttack {
				progress("the hub's log begins with:\n" + r.Log)
			}
		}
	}
	var rows []row
	for _, p := range phases {
		rows = append(rows, median(byPhase[p]))
	}
	return rows, nil
}

// median returns a row of medians; Heard, Lost and Disconnects are sums.
func median(rows []row) row {
	m := rows[0]
	m.P50 = middle(rows, func(r row) time.Duration { return r.P50 })
	m.P99 = middle(rows, func(r row) time.Duration { return r.P99 })
	m.Ratio = middle(rows, func(r row) float64 { return r.Ratio })
	m.Peak = middle(rows, func(r row) uint64 { return r.Peak })
	m.CPU = middle(rows, func(r row) time.Duration { return r.CPU })
	for _, r := range rows[1:] {
		m.Heard += r.Heard
		m.Lost += r.Lost
		m.Disconnects += r.Disconnects
	}
	return m
}

func middle[T time.Duration | uint64 | float64](rows []row, of func(row) T) T {
	var all []T
	for _, r := range rows {
		all = append(all, of(r))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// phase measures one phase at a new hub. Honest clients send rate bytes per second if the attack has reported that rate.
func (s scene) phase(ctx context.Context, p phase, rate float64) (r row, err error) {
	h, err := startHub(ctx, s.hub, s.attack)
	if err != nil {
		return row{}, err
	}
	defer func() { err = errors.Join(err, h.end()) }()
	b, err := connectBystanders(ctx, h.addr, s)
	if err != nil {
		return row{}, err
	}
	defer b.close()

	emitting, stop := context.WithCancel(ctx)
	emitted := make(chan struct{})
	go func() {
		defer close(emitted)
		b.emit(emitting, s.attack.large)
	}()
	defer func() {
		stop()
		<-emitted
	}()
	var a *attacker
	if p != alone {
		if a, err = startAttacker(ctx, s, h.addr, p == honest, rate); err != nil {
			return row{}, err
		}
	}
	before, err := h.cpu(ctx)
	if err != nil {
		return row{}, err
	}
	b.record()
	select {
	case <-time.After(s.time):
	case <-ctx.Done():
		return row{}, context.Cause(ctx)
	}
	after, err := h.cpu(ctx)
	if err != nil {
		return row{}, err
	}
	stop()
	<-emitted
	if a != nil { // before the count: an event that is late is not lost
		if rate, err = a.end(); err != nil {
			return row{}, fmt.Errorf("the attacker: %w", err)
		}
	}
	lost := b.settle(ctx)
	return row{
		Phase:       p,
		P50:         b.percentile(50),
		P99:         b.percentile(99),
		Heard:       b.heard,
		Lost:        lost,
		Disconnects: b.disconnects.Load(),
		Peak:        h.peak.Load(),
		CPU:         time.Duration(float64(after-before) / s.time.Seconds()),
		Log:         h.log.text(),
		rate:        rate,
	}, nil
}
