package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/mesh"
)

func explainCommand(logs *logFlags) *cobra.Command {
	var f nodeFlags
	var asJSON bool
	var from string
	cmd := &cobra.Command{
		Use:   "explain [--from NODE] NODE EVENT",
		Short: "Explain why a node gets an event, or does not",
		Long: `Ask a hub whether a node would get an event, and print the rule that decides that.

NODE is an ID from 'mesh nodes', its first four or more characters, a name, or the
word 'hub', which means the hub that replies. Without --from, the hub assumes that
another node, which need not exist, emits the event.

If hubs have joined each other, each of the two nodes may be at any hub.

The exit code 0 means that the hub has replied, with either result.`,
		Example: `  mesh explain 3eb1bd43 greeting
  mesh explain hub sensor::1::temperature
  mesh explain --from printer --json scanner greeting`,
		DisableFlagsInUseLine: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("explain needs a node and the name of an event")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			return f.withNode(cmd.Context(), logs, func(ctx context.Context, node *mesh.Node) error {
				why, to, err := explainNode(ctx, node, from, args[0], args[1])
				if err != nil {
					return err
				}
				out := nodePrinter{out: cmd.OutOrStdout()}
				if asJSON {
					return out.encode(struct {
						To    string `json:"to"`
						Event string `json:"event"`
						mesh.Explanation
						Text string `json:"text"`
					}{to.ID, args[1], why, why.Rule.String()})
				}
				return out.printExplanation(args[0], to, args[1], why)
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "", "the `NODE` that emits the event (default: some other)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	f.register(cmd.Flags())
	return cmd
}

// explainNode finds the nodes that the arguments name, and asks the hub.
func explainNode(ctx context.Context, n *mesh.Node, from, who, event string) (why mesh.Explanation, to mesh.NodeInfo, err error) {
	all, err := otherNodes(ctx, n)
	if err != nil {
		return why, to, err
	}
	if to, err = findNode(all, who); err != nil {
		return why, to, err
	}
	emitter := mesh.NodeInfo{}
	if from != "" {
		if emitter, err = findNode(all, from); err != nil {
			return why, to, err
		}
	}
	ctx, cancel := withAnswerTimeout(ctx)
	defer cancel()
	why, err = n.Explain(ctx, mesh.ExplainQuery{From: emitter.ID, To: to.ID, Event: event})
	return why, to, err
}

func (p *nodePrinter) printExplanation(target string, to mesh.NodeInfo, event string, why mesh.Explanation) error {
	verdict := "does not get"
	if why.Delivered {
		verdict = "gets"
	}
	who := short(to.ID)
	if to.Name != "" {
		who += " (" + displayName(to) + ")"
	}
	switch {
	case target == "hub":
		who = "the hub"
	case to.Role == mesh.RoleHub:
		who = "the hub " + who
	}
	by := ""
	if why.Match != "" && why.Match != event {
		by = " It listens to " + printable(why.Match) + "."
	}
	text := fmt.Sprintf("%s %s %s\n%s: %s%s\n", who, verdict, printable(event), string(why.Rule), why.Rule, by)
	return p.write([]byte(text))
}
