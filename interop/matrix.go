package interop

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	// quiet is how long a peer is given for what it never does; twice that where it is to wait first.
	quiet = 5 * time.Second
	// tries is how often an unsteady exchange is run until it fails.
	tries = 10
	// pairsAtOnce bounds the processes: two a pair.
	pairsAtOnce = 6
)

// An outcome is what came of one exchange.
type outcome struct {
	mode  mode
	cell  cell
	fault *fault // of the peer; nil if the exchange is to succeed
	shown bool   // the fault was seen
	err   error  // what is not as it should be
}

// results are the outcomes of one pair, in the order of modes and cells.
type results struct {
	pair     pair
	notRun   string // why there are no outcomes; empty if there are
	outcomes []outcome
	stderr   string // what the peers had to say, if anything failed
}

// runner runs the exchanges of pairs.
type runner struct {
	// skip leaves out exchanges; nil runs all.
	skip func(p pair, m mode, c cell) bool
	// done, if there is one, is called with each pair's results as soon as they are there, one at a time.
	done func(results)

	busy chan struct{} // holds one element an exchange that keeps a processor busy
}

// run returns the results of each pair.
func (r *runner) run(ctx context.Context, pairs []pair) []results {
	r.busy = make(chan struct{}, 4*runtime.GOMAXPROCS(0))
	all := make([]results, len(pairs))
	slots := make(chan struct{}, pairsAtOnce)
	var running sync.WaitGroup
	var mu sync.Mutex
	for i, p := range pairs {
		slots <- struct{}{}
		running.Go(func() {
			all[i] = r.pair(ctx, p)
			if r.done != nil {
				mu.Lock()
				r.done(all[i])
				mu.Unlock()
			}
			<-slots
		})
	}
	running.Wait()
	return all
}

// outcomes are what there is to find out about a pair.
func (r *runner) outcomes(p pair) []outcome {
	var list []outcome
	if p.unavailable != "" {
		return nil
	}
	for _, m := range p.modes() {
		for _, c := range cells {
			if c.in(m) && (r.skip == nil || !r.skip(p, m, c)) {
				list = append(list, outcome{mode: m, cell: c, fault: faultOf(p, m, c)})
			}
		}
	}
	return list
}

// pair runs all exchanges of a pair.
func (r *runner) pair(ctx context.Context, p pair) results {
	res := results{pair: p, notRun: p.unavailable, outcomes: r.outcomes(p)}
	if len(res.outcomes) == 0 {
		return res
	}
	client, server, stop, err := p.start(ctx)
	if missing, ok := errors.AsType[missingError](err); ok && !required() {
		return results{pair: p, notRun: missing.reason()}
	}
	if err != nil {
		for i := range res.outcomes {
			res.outcomes[i].err = err
		}
		return res
	}
	var running sync.WaitGroup
	for _, idle := range []bool{false, true} { // those that wait have the processes for themselves
		for i := range res.outcomes {
			o := &res.outcomes[i]
			if o.cell.idle != idle {
				continue
			}
			running.Go(func() {
				if !idle {
					r.busy <- struct{}{}
					defer func() { <-r.busy }()
				}
				o.run(ctx, p, client, server)
			})
		}
		running.Wait()
	}
	stderr := stop()
	res.requireUnsteady()
	if slices.ContainsFunc(res.outcomes, func(o outcome) bool { return o.err != nil }) {
		res.stderr = strings.TrimSpace(stderr)
	}
	return res
}

// run runs the exchange, and sets what came of it.
func (o *outcome) run(ctx context.Context, p pair, c clientSide, s serverSide) {
	f := o.fault
	once := func(timeout time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		return o.cell.run(ctx, c, s, o.mode)
	}
	switch {
	case f == nil:
		o.err = once(AwaitTimeout)
		if rare := findFault(p, o.mode, o.cell, true); rare != nil && !p.isOurs() && o.err != nil {
			o.err = rare.shownBy(o.err)
		}
	case !f.unsteady:
		timeout := AwaitTimeout
		if f.silent && o.cell.idle {
			timeout = 2 * quiet
		} else if f.silent {
			timeout = quiet
		}
		o.err = f.shownBy(once(timeout))
		o.shown = o.err == nil
	case !p.isOurs():
		for range tries {
			if err := once(quiet); err != nil {
				o.err = f.shownBy(err)
				o.shown = o.err == nil
				return
			}
		}
	}
}

// requireUnsteady makes errors of unsteady faults of references that no exchange has shown.
func (r *results) requireUnsteady() {
	shown := make(map[*fault]bool)
	for _, o := range r.outcomes {
		shown[o.fault] = shown[o.fault] || o.shown
	}
	for i, o := range r.outcomes {
		if o.fault != nil && o.fault.unsteady && o.err == nil && !shown[o.fault] && !r.pair.isOurs() {
			r.outcomes[i].err = o.fault.shownBy(nil)
		}
	}
}

// RunMatrix has our ends exchange messages with each peer whose name or version has one of the strings in it, all if there
// is none, and finds out which failures other peers show too. It calls progress with a line now and then. The error is
// that there is no such peer, or the end of ctx; whatever fails is in the matrix. The caller calls RemoveBuilds in the end.
func RunMatrix(ctx context.Context, only []string, progress func(string)) (*Matrix, error) {
	rows := slices.DeleteFunc(slices.Clone(ourPairs), func(p pair) bool {
		return len(only) > 0 && !slices.ContainsFunc(only, func(s string) bool { return strings.Contains(p.peer(), s) })
	})
	if len(rows) == 0 {
		return nil, fmt.Errorf("interop: there is no peer %s", strings.Join(only, ", "))
	}
	r := newRunner(rows)
	r.done = func(res results) {
		if res.notRun != "" {
			progress(fmt.Sprintf("%s, revision %d: not run", res.pair, res.pair.revision))
		} else if len(res.outcomes) > 0 {
			progress(fmt.Sprintf("%s, revision %d: done", res.pair, res.pair.revision))
		}
	}
	all := r.run(ctx, slices.Concat(rows, references))
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return newMatrix(all), nil
}

// newRunner returns a runner of the rows, and of those exchanges of references that show their faults.
func newRunner(rows []pair) *runner {
	return &runner{skip: func(p pair, m mode, c cell) bool { return !p.isOurs() && !excuses(p, m, c, rows) }}
}

// excuses tells whether an exchange of a reference shows a fault that one of the rows has too.
func excuses(reference pair, m mode, c cell, rows []pair) bool {
	f := faultOf(reference, m, c)
	return f != nil && slices.ContainsFunc(rows, func(p pair) bool { return faultOf(p, m, c) == f })
}
