// Command mesh runs, feeds and watches a mesh from the command line. See mesh --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

func main() {
	ctx, end := context.WithCancelCause(context.Background())
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		s := <-signals
		signal.Stop(signals) // a second signal ends the process at once
		if s == syscall.SIGTERM {
			end(errTerminated)
		}
		end(nil)
	}()
	log.SetOutput(io.Discard) // net/http logs unsolicited responses there
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// errTerminated is the cause of a context that SIGTERM ended. After SIGTERM a hub may take a while to end, because its
// clients move to other hubs. After Ctrl-C it ends at once.
var errTerminated = errors.New("terminated")

// strconvPrefix matches the standard library's text before the reason why a number is invalid.
var strconvPrefix = regexp.MustCompile(`strconv\.\w+: parsing "[^"]*": `)

// run executes one command line and returns the exit code.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	logs := &logFlags{stderr: newStderr(stderr)}
	cmd := command(logs)
	cmd.SetArgs(args)
	cmd.SetOut(stdout)
	cmd.SetErr(stderr)
	if err := cmd.ExecuteContext(ctx); err != nil {
		logs.fail(err)
		return 1
	}
	return 0
}

// command returns the command with all its subcommands.
func command(logs *logFlags) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "mesh",
		Short: "Run, feed and watch a mesh",
		Long: `A mesh is a distributed event emitter: every node that subscribes to an event receives
it from the node that emits it. One node is the hub, the others are its clients.

Events go to standard output, one JSON object a line; everything else goes to
standard error.`,
		Example: `  mesh start --on greeting          # in one terminal: becomes the hub
  mesh emit greeting '{"n":1}'      # in another: the first one prints the event`,
		SilenceErrors:              true,
		SilenceUsage:               true,
		SuggestionsMinimumDistance: 2,
		CompletionOptions:          cobra.CompletionOptions{HiddenDefaultCmd: true},
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			hint := "'mesh --help' lists the commands"
			if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
				hint = fmt.Sprintf("is it 'mesh %s'?", near[0])
			}
			return fmt.Errorf("unknown command %q; %s", args[0], hint)
		},
		RunE:              func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
		PersistentPreRunE: func(*cobra.Command, []string) error { return logs.check() },
	}
	logs.register(cmd.PersistentFlags())
	cmd.AddCommand(
		startCommand(logs), listenCommand(logs), connectCommand(logs),
		onCommand(logs), emitCommand(logs),
		nodesCommand(logs), explainCommand(logs), benchCommand(logs), versionCommand(),
	)
	checkShell(cmd)
	cmd.SetFlagErrorFunc(func(c *cobra.Command, err error) error {
		text := strconvPrefix.ReplaceAllString(err.Error(), "")
		if _, arg, ok := strings.Cut(text, "unknown shorthand flag: "); ok {
			_, arg, _ = strings.Cut(arg, " in ")
			text = arg + " is not a flag"
			if c.Args != nil && c.Args(c, []string{"a", "b"}) == nil {
				text += fmt.Sprintf(". If it is an argument, put it after all flags and a --: '%s %s'", c.CommandPath(), strings.Join(append(c.Flags().Args(), "--", arg), " "))
			}
		}
		return fmt.Errorf("%s; '%s --help' lists the flags", text, c.CommandPath())
	})
	return cmd
}

// checkShell makes 'mesh completion' report an unknown shell, instead of printing its help.
func checkShell(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	for _, cmd := range root.Commands() {
		if cmd.Name() != "completion" {
			continue
		}
		cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
		cmd.Args = func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return nil
			}
			return fmt.Errorf("completion does not know the shell %q: choose bash, zsh, fish or powershell", args[0])
		}
	}
}
