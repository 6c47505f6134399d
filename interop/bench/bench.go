package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/bigcompany/mesh/interop/loadgen"
)

// bench runs scenarios.
type bench struct {
	runs       int
	fileLimit  int
	progress   io.Writer
	absent     map[*server]error // servers that cannot start, which are not tried again
	oursFailed bool
}

const (
	// spareFiles are what a process has open besides its connections.
	spareFiles = 100
	// measureTimeout bounds one measurement, with the connections that it opens. Its parts have closer bounds.
	measureTimeout = 3 * time.Minute
)

// run measures each load of a scenario at each of its servers. The servers take turns, and so do the loads, so that what the
// machine does meanwhile concerns all of them.
func (b *bench) run(ctx context.Context, s scenario) (*section, error) {
	sec := &section{Name: s.name, Title: s.title, columns: s.columns}
	for _, l := range s.loads {
		for _, srv := range l.servers {
			sec.Rows = append(sec.Rows, &row{id: l.id, server: srv, Load: l.title, Server: srv.name})
		}
	}
	for round := range b.runs {
		next := 0
		for _, l := range s.loads {
			for range l.servers {
				if err := b.measure(ctx, s, l, sec.Rows[next], round); err != nil {
					return nil, err
				}
				next++
			}
		}
	}
	for _, r := range sec.Rows {
		r.Median = median(r.Runs)
	}
	return sec, nil
}

// measure does one measurement and notes it in the row. Its error is the end of everything.
func (b *bench) measure(ctx context.Context, s scenario, l load, r *row, round int) error {
	if r.NotRun != "" {
		return nil
	}
	what := strings.Join(slices.DeleteFunc([]string{s.name, l.title, r.Server}, func(s string) bool { return s == "" }), ", ")
	b.tell("run %d of %d: %s: ", round+1, b.runs, what)
	f, err := b.try(ctx, l, r.server)
	if ctx.Err() != nil {
		b.tell("interrupted\n")
		return errors.New("interrupted")
	}
	if err == nil {
		b.tell("%s %s\n", number(s.main.figure(f)), s.main.head)
		r.Runs = append(r.Runs, outcome{figures: f})
		return nil
	}
	b.tell("%v\n", err)
	if absent, ok := errors.AsType[*absentError](err); ok {
		r.NotRun = oneLine(absent)
	} else {
		r.Runs = append(r.Runs, outcome{Error: oneLine(err)})
	}
	return nil
}

// tell tells of progress, to whom it may concern.
func (b *bench) tell(format string, args ...any) { _, _ = fmt.Fprintf(b.progress, format, args...) }

// try measures a server if it can start.
func (b *bench) try(ctx context.Context, l load, srv *server) (figures, error) {
	if err := b.absent[srv]; err != nil {
		return figures{}, err
	}
	if need := l.conns + spareFiles; need > b.fileLimit {
		return figures{}, &absentError{fmt.Errorf("needs %s open files in each process, and %s are allowed (ulimit -Hn)",
			thousands(need), thousands(b.fileLimit))}
	}
	f, err := b.once(ctx, l, srv)
	if err == nil || ctx.Err() != nil {
		return f, err
	}
	if srv.ours {
		b.oursFailed = true
	}
	if _, ok := errors.AsType[*absentError](err); ok {
		b.absent[srv] = err
	}
	return f, err
}

// absentError says why a server was not put under load.
type absentError struct{ error }

// once starts a server, measures it and ends it.
func (b *bench) once(ctx context.Context, l load, srv *server) (figures, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, measureTimeout, fmt.Errorf("it took more than %v", measureTimeout))
	defer cancel()
	c, err := l.start(ctx, srv)
	if err != nil {
		return figures{}, &absentError{err}
	}
	defer c.end()
	f, err := l.measure(ctx, c, loadgen.Target{Host: c.addr, Path: "/engine.io/", Revision: srv.revision})
	if err != nil {
		if ended := c.why(); ended != nil {
			err = fmt.Errorf("%w; %w", err, ended)
		}
	}
	return f, err
}

// start starts what is measured.
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

// oneLine makes an error fit into a table.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	const most = 160
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	return strings.TrimPrefix(text, "loadgen: ")
}
