package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/mesh"
)

// withNode connects a node to a hub, calls fn, and closes the node. An interrupt is not an error.
func (f *nodeFlags) withNode(ctx context.Context, logs *logFlags, fn func(context.Context, *mesh.Node) error) error {
	opts, err := f.options(logs)
	if err != nil {
		return err
	}
	node, err := connect(ctx, opts)
	if err != nil {
		return unlessInterrupted(ctx, err)
	}
	defer closeNode(node)
	return unlessInterrupted(ctx, friendlyError(fn(ctx, node), opts))
}

// connect connects for a command that needs a running hub.
func connect(ctx context.Context, opts *mesh.Options) (*mesh.Node, error) {
	bound, cancel := withAnswerTimeout(ctx)
	defer cancel()
	n, err := mesh.Connect(bound, opts)
	if err != nil && ctx.Err() != nil {
		return nil, errors.New("interrupted before the hub had answered")
	}
	return n, friendlyError(err, opts)
}

// printTimeout bounds how long a command that ends waits for a callback to print its event.
const printTimeout = time.Second

// closeNode closes a node. A callback that is printing an event completes the line first.
func closeNode(n *mesh.Node) {
	_ = n.Close()
	ctx, cancel := context.WithTimeout(context.Background(), printTimeout)
	defer cancel()
	_ = n.WaitCallback(ctx)
}

// unlessInterrupted returns nil if an interrupt caused the failure, and otherwise err.
func unlessInterrupted(ctx context.Context, err error) error {
	select {
	case <-ctx.Done():
		return nil
	default:
		return err
	}
}

// noArgs rejects the arguments of a command that takes only flags.
func noArgs(cmd *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("unexpected argument %q; '%s --help' lists the flags", args[0], cmd.CommandPath())
	}
	return nil
}
