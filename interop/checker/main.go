// Command checker checks the promises of a mesh's hubs from outside, while connections break:
//
//	go run ./interop/checker
//
// It knows only the wire format, as docs/packet-format.md describes it. Its clients emit numbered events and subscribe
// to the events of all other clients, each through a separate proxy. The faults are connections that are reset, proxies
// that deliver bytes late, on the old connection, after the client is back, and hubs that are stopped (SIGSTOP) and
// continue. The checker counts the events that a subscriber received out of order, twice, or from itself, and the
// confirmed events that it did not receive.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/internal/cli"
)

func main() { cli.Main(run) }

// The meshes that can be checked.
const (
	one         = "one"
	cluster     = "cluster"
	throughNATS = "nats"
)

var modes = []string{one, cluster, throughNATS}

// check holds the settings of one run.
type check struct {
	mode    string
	hub     string // the program
	clients int
	faults  int
	pause   time.Duration // between two faults
	every   time.Duration // between two events of a client
	tail    time.Duration // the longest time by which a proxy delays bytes
	stop    time.Duration // the time for which every second stop of a hub lasts
	logs    string        // a directory
}

var defaults = check{
	clients: 30, faults: 200, pause: 300 * time.Millisecond, every: 40 * time.Millisecond, tail: 3 * time.Second, stop: 5 * time.Second,
}

var errBroken = errors.New("a promise is broken")

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := defaults
	cmd := &cobra.Command{
		Use:   "checker [MESH]...",
		Short: "Check a mesh's promises from outside while connections break",
		Long: `checker starts hubs, connects clients to them through proxies, and breaks connections.
It checks each MESH: one (one hub), cluster (three hubs with --cluster) and nats (three hubs
at a nats-server); without an argument, all of them.

It prints the events that a listener got out of order, from itself, or twice, and the lost
ones: a barrier (Flush) had confirmed them, and a listener whose session lasted did not get
them. It prints two more figures that break no promise: unconfirmed events that were lost
with the emitter's connection, and events between two hubs, confirmed or not, from 1 s
before a hub was stopped for so long that the others gave it up, until 3 s after all hubs
knew each other again.

The exit status is 1 if a promise is broken.`,
		Example: `  go run ./interop/checker
  go run ./interop/checker --hub ./old-mesh one`,
		RunE: func(cmd *cobra.Command, chosen []string) error {
			if len(chosen) == 0 {
				chosen = modes
			}
			for _, mode := range chosen {
				if !slices.Contains(modes, mode) {
					return fmt.Errorf("no mesh %q: choose from %s", mode, strings.Join(modes, ", "))
				}
			}
			return c.all(cmd.Context(), chosen, stdout)
		},
	}
	cmd.Flags().StringVar(&c.hub, "hub", "", "check hubs of the command mesh in `FILE`; of several, separated by commas, each hub takes the next (default: the command of this source tree)")
	cmd.Flags().IntVar(&c.clients, "clients", c.clients, "connect `N` clients")
	cmd.Flags().IntVar(&c.faults, "faults", c.faults, "cause `N` faults")
	cmd.Flags().DurationVar(&c.pause, "pause", c.pause, "begin a fault each `TIME`")
	cmd.Flags().DurationVar(&c.every, "every", c.every, "each client emits an event each `TIME`")
	cmd.Flags().DurationVar(&c.tail, "tail", c.tail, "proxies bring bytes late by up to `TIME`")
	cmd.Flags().DurationVar(&c.stop, "stop", c.stop, "every second stop of a hub lasts `TIME`, the others 1 to 2 s")
	return cli.Execute(ctx, cmd, args, stdin, stdout, stderr)
}

func (c *check) all(ctx context.Context, chosen []string, stdout io.Writer) (err error) {
	if c.hub == "" {
		if c.hub, err = interop.BuildMesh(); err != nil {
			return err
		}
	}
	if c.logs, err = os.MkdirTemp("", "checker"); err != nil {
		return err
	}
	defer func() {
		if err == nil {
			_ = os.RemoveAll(c.logs)
		}
	}()
	broken := false
	for _, mode := range chosen {
		c.mode = mode
		l, err := c.run(ctx)
		if err != nil {
			return err
		}
		r := l.judge()
		c.print(stdout, r)
		if r.order+r.echo+r.doubled+r.lost > 0 {
			broken = true
			for _, s := range l.samples {
				_, _ = fmt.Fprintln(stdout, "   ", s)
			}
		}
	}
	if broken {
		return fmt.Errorf("%w; the hubs' logs are in %s", errBroken, c.logs)
	}
	return nil
}

func (c *check) print(w io.Writer, r result) {
	_, _ = fmt.Fprintf(w, "%-8s %d clients, %d faults, %d events, %d deliveries, %d owed: order %d, echo %d, doubled %d, lost %d; unconfirmed %d, between hubs %d\n",
		c.mode, c.clients, c.faults, r.events, r.deliveries, r.owed, r.order, r.echo, r.doubled, r.lost, r.unconfirmed, r.betweenHubs)
}
