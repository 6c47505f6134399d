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

	"github.com/bigcompany/mesh/interop/internal/env"
)

const (
	// quiet is the timeout of an exchange whose fault is silent or unsteady. A silent exchange that is idle waits
	// first, so it gets twice quiet.
	quiet = 5 * time.Second
	// tries is the maximum number of runs of an unsteady exchange. The runs stop at the first failure.
	tries = 10
	// pairsAtOnce is the number of pairs that run at the same time. A pair has at most two processes.
	pairsAtOnce = 6
)

// An outcome is the result of one exchange.
type outcome struct {
	mode  mode
	cell  cell
	fault *fault // expected fault of the peer; nil if the exchange must succeed
	shown bool   // the exchange has shown the fault
	err   error  // the unexpected part of the result; nil if the result is as expected
}

// results holds the outcomes of one pair, ordered by mode and then by cell.
type results struct {
	pair     pair
	notRun   string // why the pair was not run; empty if it was
	outcomes []outcome
	stderr   string // the peers' standard error, if an exchange failed
}

// runner runs the exchanges of pairs.
type runner struct {
	// skip reports whether to leave out an exchange. If skip is nil, all exchanges run.
	skip func(p pair, m mode, c cell) bool
	// done, if it is not nil, is called with each pair's results as soon as they are complete. The calls do not
	// overlap.
	done func(results)

	busy chan struct{} // holds one element for each running exchange that is not idle
}

// run runs the pairs and returns the results of each pair, in the order of pairs.
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

// outcomes returns an outcome without a result for each exchange that the runner must run for a pair.
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
	if missing, ok := errors.AsType[env.MissingError](err); ok && !env.Required() {
		return results{pair: p, notRun: missing.Reason()}
	}
	if err != nil {
		for i := range res.outcomes {
			res.outcomes[i].err = err
		}
		return res
	}
	var running sync.WaitGroup
	for _, idle := range []bool{false, true} { // the idle exchanges run last and have the processes for themselves
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

// run runs the exchange and sets shown and err.
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

// requireUnsteady checks the unsteady faults of a reference pair. If no exchange has shown such a fault, it sets an
// error.
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

// RunMatrix exchanges messages between our ends and each peer whose name contains one of the strings in only. A name
// includes the version. An empty only selects all peers. For each failure that it expects of a peer, RunMatrix also
// runs the same exchange between foreign peers, to see whether it fails there. It calls progress with a line for each
// pair. The calls do not overlap. RunMatrix returns an error if no peer matches or if ctx ends. Failures of exchanges
// are in the matrix. The caller must call RemoveBuilds at the end.
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

// newRunner returns a runner for the rows. Of the reference pairs, it runs only the exchanges that show a fault of the
// rows.
func newRunner(rows []pair) *runner {
	return &runner{skip: func(p pair, m mode, c cell) bool { return !p.isOurs() && !excuses(p, m, c, rows) }}
}

// excuses reports whether an exchange of a reference pair must show a fault that one of the rows has in the same
// exchange.
func excuses(reference pair, m mode, c cell, rows []pair) bool {
	f := faultOf(reference, m, c)
	return f != nil && slices.ContainsFunc(rows, func(p pair) bool { return faultOf(p, m, c) == f })
}
