// Command matrix runs this project's server and client with foreign clients and servers, and prints which exchanges
// work:
//
//	go run ./interop/matrix
//
// See its --help. The tests of package interop run the same exchanges.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/internal/cli"
)

func main() { cli.Main(run) }

// flags are the flags of the command line.
type flags struct {
	only []string
	json bool
}

// run executes one command line and returns the exit status.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	var f flags
	most, webTransport := interop.Legends()
	cmd := &cobra.Command{
		Use:   "matrix",
		Short: "Run this project's server and client with foreign peers",
		Long: `matrix runs this project's Engine.IO server with foreign clients, and this project's
client with foreign servers. It prints a table in Markdown with a row for each peer and
a column for each exchange. A cell has a mark for each way to use the transports:

  ` + most + `

A second table shows a browser, and this project's client and server with each other.
Its cells have these marks:

  ` + webTransport + `

A ✓ is an exchange that works. A number is an exchange that fails because of the peer:
the note with this number gives the reason, and two peers without this project failed in
the same way in the same run. A ✗ is a failure of this project. A – does not apply. A ?
was not run, and a note gives the reason.

The exchanges:
` + interop.DescribeColumns() + `
matrix needs Node.js, npm, Go and Chromium, and takes about half a minute. Without
Chromium it does not run Chromium's row, and with INTEROP=require in the environment it
fails. It prints the tables to standard output, and progress to standard error. The exit
status is not zero if there is a ✗.`,
		Example: `  go run ./interop/matrix
  go run ./interop/matrix --only 6.6.8,6.6.13
  go run ./interop/matrix --json > matrix.json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return f.matrix(cmd.Context(), stdout, stderr) },
	}
	cmd.Flags().StringSliceVar(&f.only, "only", nil, "only rows whose `peer`'s name or version has one of these in it")
	cmd.Flags().BoolVar(&f.json, "json", false, "print JSON, with the errors")
	cmd.AddCommand(pagesCommand(stdout, stderr))
	return cli.Execute(ctx, cmd, args, stdin, stdout, stderr)
}

// errOurs reports a failure of this project.
var errOurs = errors.New("this project fails with these peers")

// matrix runs the exchanges and prints the table.
func (f *flags) matrix(ctx context.Context, stdout, stderr io.Writer) error {
	x, err := interop.RunMatrix(ctx, f.only, func(line string) { _, _ = fmt.Fprintln(stderr, "matrix:", line) })
	if err != nil {
		return err
	}
	return f.print(x, stdout, stderr)
}

func (f *flags) print(x *interop.Matrix, stdout, stderr io.Writer) error {
	write := x.WriteMarkdown
	if f.json {
		write = x.WriteJSON
	}
	if err := write(stdout); err != nil {
		return err
	}
	failures := x.Failures()
	for _, line := range failures {
		_, _ = fmt.Fprintln(stderr, "✗", line)
	}
	if len(failures) > 0 {
		return errOurs
	}
	return nil
}
