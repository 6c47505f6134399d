// Command attack attacks a hub while honest nodes use it, and prints the effect on those nodes:
//
//	go run ./interop/attack
//
// See its --help. The hub, the attacker and the bystanders are separate processes: a `mesh listen`, this program again with
// the hidden command act, and this program.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/internal/cli"
)

func main() { cli.Main(run) }

// errHarm reports that bystanders lost events or connections.
var errHarm = errors.New("bystanders lost events or connections")

// flags are the flags of the command line.
type flags struct {
	hub   string
	small bool
	time  time.Duration
	runs  int
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var f flags
	cmd := &cobra.Command{
		Use:   "attack [NAME]...",
		Short: "Attack a hub while honest nodes use it",
		Long: `attack starts a hub, connects honest nodes to it (the bystanders), and attacks the hub.
Each attack runs in three phases, each at a new hub: alone, beside honest clients that make
as many connections and send as many bytes as the attacker, and under the attack. The table
in Markdown has one row for each phase: the bystanders' p50 and p99 of the time that an
event takes, the events that they lost, how often the hub disconnected them, and the hub's
memory and CPU time. All servers listen on the loopback interface, and every attack is
bounded in connections, bytes and time.

Attacks:
` + describe(attacks) + `
The exit status is 1 if a bystander lost an event or its connection.`,
		Example: `  go run ./interop/attack
  go run ./interop/attack --hub ./old-mesh --runs 5 flood`,
		Args: cobra.ArbitraryArgs, // the names of attacks
		RunE: func(cmd *cobra.Command, names []string) error {
			chosen, err := choose(attacks, names)
			if err != nil {
				return err
			}
			return f.attack(cmd.Context(), chosen, stdout, stderr)
		},
	}
	cmd.Flags().StringVar(&f.hub, "hub", "", "attack a hub of the command mesh in `FILE` (default: the command of this source tree)")
	cmd.Flags().BoolVar(&f.small, "small", false, "attack with small figures, as the tests do")
	cmd.Flags().DurationVar(&f.time, "time", 10*time.Second, "measure each phase for `TIME`")
	cmd.Flags().IntVar(&f.runs, "runs", 1, "run all phases `N` times and print medians")
	cmd.AddCommand(actCommand(stdin, stdout), costCommand(stdout))
	return cli.Execute(ctx, cmd, args, stdin, stdout, stderr)
}

// attack runs the attacks and prints the table.
func (f *flags) attack(ctx context.Context, chosen []attack, stdout, stderr io.Writer) error {
	if f.runs < 1 {
		return fmt.Errorf("--runs %d: give at least 1", f.runs)
	}
	if _, err := loadgen.RaiseFileLimit(); err != nil { // the child processes inherit it
		return err
	}
	hub := f.hub
	if hub == "" {
		var err error
		if hub, err = interop.BuildMesh(); err != nil {
			return err
		}
	}
	harm := false
	writeHeader(stdout)
	for _, a := range chosen {
		s := scene{hub: hub, attack: a, small: f.small, time: f.time}
		rows, err := s.run(ctx, f.runs, func(line string) { _, _ = fmt.Fprintln(stderr, "attack:", line) })
		if err != nil {
			return fmt.Errorf("%s: %w", a.name, err)
		}
		writeRows(stdout, a, rows)
		under := rows[len(rows)-1]
		harm = harm || under.Lost > 0 || under.Disconnects > 0
	}
	if harm {
		return errHarm
	}
	return nil
}

func choose(all []attack, names []string) ([]attack, error) {
	if len(names) == 0 {
		return all, nil
	}
	var chosen []attack
	for _, name := range names {
		a, ok := find(all, name)
		if !ok {
			return nil, fmt.Errorf("no attack is named %q; the attacks are:\n%s", name, describe(all))
		}
		chosen = append(chosen, a)
	}
	return chosen, nil
}

func find(all []attack, name string) (attack, bool) {
	for _, a := range all {
		if a.name == name {
			return a, true
		}
	}
	return attack{}, false
}

func describe(all []attack) string {
	var b strings.Builder
	for _, a := range all {
		_, _ = fmt.Fprintf(&b, "  %-14s %s\n", a.name, a.short)
	}
	return b.String()
}
