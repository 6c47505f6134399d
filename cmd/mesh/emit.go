package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

func emitCommand(logs *logFlags) *cobra.Command {
	var f nodeFlags
	cmd := &cobra.Command{
		Use:   "emit EVENT [JSON]",
		Short: "Emit one event into a mesh",
		Long: `Connect to a hub, emit an event, and end when the hub has processed it.

The payload is JSON; without it the event has no payload. Quote it, or the shell will
remove its quotes.

The exit code 0 means that the hub has processed the event. It does not mean that the
hub accepted the event, or that a node received it. Any other code means that there is
no such hub, that the hub rejected this node, that the event or its payload is
invalid, that the connection broke and the event may be lost, or that an interrupt
came first.`,
		Example: `  mesh emit restart
  mesh emit greeting '{"text":"hello"}'
  mesh emit greeting '"just a text"'
  mesh emit temperature -- -5`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			switch len(args) {
			case 0:
				return errors.New("emit needs the name of an event")
			case 1, 2:
				return nil
			default:
				return fmt.Errorf("emit takes an event and one JSON value, but got %d arguments; put the JSON in single quotes", len(args))
			}
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			data := ""
			if len(args) == 2 {
				data = args[1]
			}
			payload, err := parseEvent(args[0], data, len(args) == 2)
			if err != nil {
				return withQuotingHint(err)
			}
			opts, err := f.options(logs)
			if err != nil {
				return err
			}
			node, err := connect(cmd.Context(), opts)
			if err != nil {
				return err
			}
			err = emit(cmd.Context(), node, args[0], payload)
			_ = node.Close()
			if cmd.Context().Err() != nil && err != nil {
				return errors.New("interrupted before the hub had processed the event")
			}
			return friendlyError(err, opts)
		},
	}
	f.register(cmd.Flags())
	return cmd
}

// emit returns nil when the hub has processed the event.
func emit(ctx context.Context, n *mesh.Node, event string, payload json.RawMessage) error {
	if err := n.Emit(event, payload); err != nil {
		return err
	}
	ctx, cancel := withAnswerTimeout(ctx)
	defer cancel()
	err := n.Flush(ctx)
	if errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the hub at %s did not confirm the event within %v: it may be lost", n.Addr(), answerTimeout)
	}
	return err
}

// parseEvent checks the name of an event, and its payload if it has one.
func parseEvent(event, data string, has bool) (json.RawMessage, error) {
	if err := protocol.CheckEmit(event); err != nil {
		return nil, withoutPackage(err)
	}
	if !has {
		return nil, nil
	}
	if err := protocol.CheckPayload([]byte(data)); err != nil {
		return nil, badJSON(data, err)
	}
	return json.RawMessage(data), nil
}
