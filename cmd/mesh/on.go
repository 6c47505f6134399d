package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/mesh"
)

func onCommand(logs *logFlags) *cobra.Command {
	var f nodeFlags
	var count int
	cmd := &cobra.Command{
		Use:   "on [--count N] EVENT...",
		Short: "Print events of a mesh",
		Long: `Connect to a hub and print each event with one of the names, one JSON object a line:

  {"event":"greeting","payload":{"n":1},"from":"ID of the node that emitted it"}

In a pattern, * matches one part of a name and ** any number of parts; parts are
separated by ::. Quote patterns, or the shell will take them for files. A Node.js hub
does not support patterns.

It runs until it is interrupted or has printed --count events. If it loses its hub,
it waits until the hub returns, or moves to another hub if --addr has several
addresses; it does not print events of the meantime.`,
		Example: `  mesh on greeting
  mesh on --count 1 'sensor::*::temperature'
  mesh on '**'`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return errors.New("on needs the name of an event; '**' means every event")
			}
			return checkPatterns("", args)
		},
		RunE: func(cmd *cobra.Command, events []string) error {
			if count < 0 {
				return fmt.Errorf("--count %d: it must not be negative", count)
			}
			return f.withNode(cmd.Context(), logs, func(ctx context.Context, node *mesh.Node) error {
				done := make(chan error, 1)
				received := 0
				out := &printer{out: cmd.OutOrStdout(), printed: func(_ mesh.Event, err error) {
					if received++; err == nil && received != count {
						return
					}
					_ = node.Close() // the printer prints no event after this
					done <- err
				}}
				for _, pattern := range events {
					out.on(node, pattern)
				}
				reportState(node, logs)
				if err := awaitSubscribed(ctx, node); err != nil {
					return err
				}
				printIdentity(node, logs)
				logs.notice("listening to "+strings.Join(events, " "), "events", events)

				select {
				case err := <-done:
					return err
				case <-ctx.Done():
					return nil
				}
			})
		},
	}
	cmd.Flags().IntVar(&count, "count", 0, "end after `N` events (default: never)")
	f.register(cmd.Flags())
	return cmd
}

// awaitSubscribed waits until the hub knows the node's subscriptions.
func awaitSubscribed(ctx context.Context, n *mesh.Node) error {
	ctx, cancel := withAnswerTimeout(ctx)
	defer cancel()
	err := n.Flush(ctx)
	if errors.Is(err, mesh.ErrClosed) { // enough events have arrived already
		err = nil
	}
	return err
}
