// Command bench measures this project's servers and their peers in one run, on the machine on which it runs:
//
//	go run ./interop/bench
//
// See its --help. It is one program in two parts: a load generator, package loadgen, and the servers. Each server is a
// separate process for one measurement: this program with the hidden command serve, Node.js, or the command mesh.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/internal/cli"
)

func main() { cli.Main(run) }

// errOurs reports that a server of this project failed. Failures of other servers are only in the report.
var errOurs = errors.New("a server of this project failed")

// flags are the flags of the command line.
type flags struct {
	only   []string
	before string
	runs   int
	hubs   bool
	quick  bool
	json   bool
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var f flags
	cmd := &cobra.Command{
		Use:   "bench",
		Short: "Measure this project's servers and their peers",
		Long: `bench measures this project's servers and their peers in one run: googollee's
go-engine.io, Node.js engine.io with ws, and the hub of Node.js resource-mesh.

Each server is a separate process on this machine, and is started again for each
measurement. All servers get the same client, which uses none of their libraries.
Servers take turns, and the median of the runs counts. For a peer that cannot start,
the report gives the reason. A full run takes about ten minutes. No other program
should use the machine meanwhile.

Clients use revision 4 of Engine.IO. They use revision 3 in a mesh, and with
googollee's server, which supports no other. Servers have their defaults, except that
idle connections have a heartbeat every 5 s, and those of fanout have none, because
googollee's server does not support it there. A sender to many receivers is at most
1,000 messages ahead of the slowest one. At the Node.js hub it is at most 50 ahead,
because that hub sends nothing before it has handled all packets that it has read.

Scenarios, for --only:
` + describeScenarios(scenarios(full)) + `
Scenarios with --cluster, which starts the command mesh once for each hub. One, two
and three hubs run at the same time, and get parts of their load in turns:
` + describeScenarios(clusterScenario(full)) + `
bench prints the result to standard output, and progress to standard error. The exit
status is not zero if a server of this project failed. It reports failures of peers.`,
		Example: `  go run ./interop/bench
  go run ./interop/bench --only echo,fanout --runs 1
  go run ./interop/bench --json > figures.json
  go run ./interop/bench --before ./old-bench --runs 5`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.bench(cmd.Context(), stdout, stderr) },
	}
	cmd.Flags().StringSliceVar(&f.only, "only", nil, "run these `scenarios` only, separated by commas")
	cmd.Flags().StringVar(&f.before, "before", "", "measure another build of this program, in `FILE`, in place of the peers")
	cmd.Flags().IntVar(&f.runs, "runs", 3, "measure each server `N` times")
	cmd.Flags().BoolVar(&f.hubs, "cluster", false, "measure only joined hubs of this project")
	cmd.Flags().BoolVar(&f.quick, "quick", false, "make everything small: a test of this program, not of the servers")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, with the figures of each run")
	cmd.AddCommand(serveCommand())
	return cli.Execute(ctx, cmd, args, stdin, stdout, stderr)
}

// bench runs the scenarios and prints the report.
func (f *flags) bench(ctx context.Context, stdout, stderr io.Writer) error {
	if f.runs < 1 {
		return fmt.Errorf("--runs %d: at least one is needed", f.runs)
	}
	size := full
	if f.quick {
		size = quick
	}
	all := scenarios(size)
	if f.hubs {
		all = clusterScenario(size)
		defer interop.RemoveBuilds()
	}
	if f.before != "" {
		if f.hubs {
			return errors.New("--before compares single servers: leave out --cluster")
		}
		var err error
		if all, err = besides(f.before, all); err != nil {
			return err
		}
	}
	chosen, err := choose(all, f.only)
	if err != nil {
		return err
	}
	limit, err := loadgen.RaiseFileLimit() // the servers inherit the limit
	if err != nil {
		return err
	}
	b := &bench{runs: f.runs, fileLimit: limit, progress: stderr, absent: make(map[*server]error)}
	r := &report{Machine: describeMachine(ctx, limit), Runs: f.runs, Quick: f.quick}
	for _, s := range chosen {
		results, err := b.run(ctx, s)
		if err != nil {
			return err
		}
		r.Scenarios = append(r.Scenarios, results)
	}
	if f.before != "" {
		r.Ratios = r.compareBuilds()
	} else {
		r.Ratios = r.compare()
	}
	if f.json {
		err = r.writeJSON(stdout)
	} else {
		err = r.writeText(stdout)
	}
	if err == nil && b.oursFailed {
		err = errOurs
	}
	return err
}

// choose returns the scenarios with these names, in the order of all. Without names it returns all scenarios.
func choose(all []scenario, names []string) ([]scenario, error) {
	if len(names) == 0 {
		return all, nil
	}
	var known []string
	for _, s := range all {
		known = append(known, s.name)
	}
	for _, n := range names {
		if !slices.Contains(known, n) {
			return nil, fmt.Errorf("--only: there is no scenario %q, but %s", n, strings.Join(known, ", "))
		}
	}
	return slices.DeleteFunc(all, func(s scenario) bool { return !slices.Contains(names, s.name) }), nil
}

// describeScenarios returns a line for each scenario, for the help.
func describeScenarios(all []scenario) string {
	var b strings.Builder
	for _, s := range all {
		fmt.Fprintf(&b, "  %-9s%s\n", s.name, s.title)
	}
	return b.String()
}
