package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
)

// bench runs scenarios.
type bench struct {
	runs       int
	fileLimit  int
	progress   io.Writer
	absent     map[*server]error // servers that could not start, with the reason; they are not tried again
	oursFailed bool
}

const (
	// spareFiles is the number of open files of a process besides its connections.
	spareFiles = 100
	// measureTimeout bounds one measurement, including the opening of its connections. Its parts have shorter limits.
	measureTimeout = 3 * time.Minute
)

// trial is one load at one server, and the row for its figures.
type trial struct {
	load
	row *row
}

// run measures each load of a scenario at each of its servers. The servers take turns, and so do the loads, so that a
// change in the machine's speed affects all of them.
func (b *bench) run(ctx context.Context, s scenario) (*section, error) {
	sec := &section{Name: s.name, Title: s.title, columns: s.columns}
	var trials []trial
	for _, l := range s.loads {
		for _, srv := range l.servers {
			t := trial{l, &row{id: l.id, server: srv, Load: l.title, Server: srv.name}}
			trials = append(trials, t)
			sec.Rows = append(sec.Rows, t.row)
		}
	}
	for round := range b.runs {
		for rest := trials; len(rest) > 0; {
			n := 1
			for n < len(rest) && rest[0].with != "" && rest[n].with == rest[0].with {
				n++
			}
			if err := b.measure(ctx, s, rest[:n], round); err != nil {
				return nil, err
			}
			rest = rest[n:]
		}
	}
	for _, r := range sec.Rows {
		r.Median = median(r.Runs)
	}
	return sec, nil
}

// measure does one measurement, or several that take turns, and records the figures in their rows. It returns an error
// only if the whole program must end.
func (b *bench) measure(ctx context.Context, s scenario, trials []trial, round int) error {
	if trials[0].row.NotRun != "" {
		return nil
	}
	var titles, results []string
	for _, t := range trials {
		titles = append(titles, t.title)
	}
	what := slices.DeleteFunc([]string{s.name, strings.Join(titles, "; "), trials[0].row.Server}, func(s string) bool { return s == "" })
	b.tell("run %d of %d: %s: ", round+1, b.runs, strings.Join(what, ", "))
	all, err := b.try(ctx, trials)
	if ctx.Err() != nil {
		b.tell("interrupted\n")
		return errors.New("interrupted")
	}
	if err == nil {
		for i, t := range trials {
			results = append(results, number(s.main.figure(all[i])))
			t.row.Runs = append(t.row.Runs, outcome{figures: all[i]})
		}
		b.tell("%s %s\n", strings.Join(results, "; "), s.main.head)
		return nil
	}
	b.tell("%v\n", err)
	absent, ok := errors.AsType[*absentError](err)
	for _, t := range trials {
		if ok {
			t.row.NotRun = oneLine(absent)
		} else {
			t.row.Runs = append(t.row.Runs, outcome{Error: oneLine(err)})
		}
	}
	return nil
}

// tell prints progress.
func (b *bench) tell(format string, args ...any) { _, _ = fmt.Fprintf(b.progress, format, args...) }

// try measures a server, alone or in turns with others, if it can start.
func (b *bench) try(ctx context.Context, trials []trial) ([]figures, error) {
	srv, need := trials[0].row.server, spareFiles
	if err := b.absent[srv]; err != nil {
		return nil, err
	}
	for _, t := range trials {
		need += t.conns
	}
	if need > b.fileLimit {
		return nil, &absentError{fmt.Errorf("needs %s open files in each process, and %s are allowed (ulimit -Hn)",
			thousands(need), thousands(b.fileLimit))}
	}
	all, err := once(ctx, trials)
	if err == nil || ctx.Err() != nil {
		return all, err
	}
	if srv.ours {
		b.oursFailed = true
	}
	if _, ok := errors.AsType[*absentError](err); ok {
		b.absent[srv] = err
	}
	return nil, err
}

// absentError is the reason why a server was not put under load.
type absentError struct{ error }

// once starts a server for each trial, measures the servers and ends them.
func once(ctx context.Context, trials []trial) ([]figures, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("it took more than %v", measureTimeout))
	defer cancel()
	var children []*child
	for _, t := range trials {
		c, err := t.start(ctx, t.row.server)
		if err != nil {
			return nil, &absentError{err}
		}
		defer c.end()
		children = append(children, c)
	}
	all, err := take(ctx, trials, children)
	if err != nil {
		for _, c := range children {
			if ended := c.why(); ended != nil {
				err = fmt.Errorf("%w; %w", err, ended)
			}
		}
	}
	return all, err
}

// take measures running servers: one server alone, or several servers in turns.
func take(ctx context.Context, trials []trial, children []*child) ([]figures, error) {
	target := func(i int) loadgen.Target {
		return loadgen.Target{Host: children[i].addr, Path: "/engine.io/", Revision: trials[i].row.server.revision}
	}
	if trials[0].open == nil {
		f, err := trials[0].measure(ctx, children[0], target(0))
		return []figures{f}, err
	}
	var next []func(context.Context) (figures, error)
	for i, t := range trials {
		turn, end, err := t.open(ctx, children[i], target(i))
		if err != nil {
			return nil, err
		}
		defer end()
		next = append(next, turn)
	}
	all := make([]figures, len(trials))
	for range trials[0].turns {
		for i, turn := range next {
			f, err := turn(ctx)
			if err != nil {
				return nil, err
			}
			all[i].add(f)
		}
	}
	return all, nil
}

// start starts the server, or the cluster, of the load.
func (l load) start(ctx context.Context, srv *server) (*child, error) {
	if l.hubs > 0 {
		return startCluster(ctx, l.hubs)
	}
	cmd, line, err := srv.command(ctx, l.kind, l.heartbeat)
	if err != nil {
		return nil, err
	}
	return startChild(ctx, cmd, line)
}

// oneLine shortens an error to one line of at most about 160 bytes, for a table.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	const most = 160
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.TrimPrefix(text, "loadgen: ")
}
