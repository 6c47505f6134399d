package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the part of docs/command-line.md that is made of the commands")

// The reference has a part that people write. This test writes the part after this line.
const reference, written = "../../docs/command-line.md", "<!-- From here on: go test ./cmd/mesh -run TestReference -update -->\n"

// TestReferenceIsUpToDate compares the documentation with the commands. With -update it writes the documentation.
func TestReferenceIsUpToDate(t *testing.T) {
	text, err := os.ReadFile(reference)
	require.NoError(t, err)
	head, old, found := strings.Cut(string(text), written)
	require.True(t, found)
	root := command(&logFlags{stderr: newStderr(new(bytes.Buffer))})
	var b strings.Builder
	fmt.Fprintf(&b, "\n## The prompt\n\n```text\n%s```\n", promptText)
	ofNode := pflag.NewFlagSet("", 0)
	new(nodeFlags).register(ofNode)
	for _, cmd := range root.Commands() {
		if cmd.IsAvailableCommand() && cmd.Name() != "help" {
			describe(&b, cmd, ofNode)
		}
	}
	b.WriteString("\n## Flags of a node\n\nThose of every command that makes one.\n\n")
	table(&b, ofNode)
	b.WriteString("\n## Flags of every command\n\n")
	table(&b, root.PersistentFlags())
	if *update {
		require.NoError(t, os.WriteFile(reference, []byte(head+written+b.String()), 0o644)) //nolint:gosec // not secret
		return
	}
	require.Empty(t, cmp.Diff(b.String(), old), "say 'go test ./cmd/mesh -run TestReference -update'")
	for _, name := range regexp.MustCompile(`--[a-z][a-z-]*`).FindAllString(strings.ReplaceAll(head, "--help", ""), -1) {
		require.Regexp(t, "[|] `"+name+"[ `]", b.String(), "no command has this flag")
	}
	for _, name := range regexp.MustCompile("`mesh ([a-z]+)").FindAllStringSubmatch(head, -1) {
		found, _, err := root.Find(name[1:])
		require.NoError(t, err)
		require.True(t, found.HasParent() || name[1] == "completion", "there is no command %s", name[1])
	}
}

func describe(b *strings.Builder, cmd *cobra.Command, ofNode *pflag.FlagSet) {
	fmt.Fprintf(b, "\n## mesh %s\n\n```text\n%s\n```\n", cmd.Name(), cmd.UseLine())
	if cmd.Long != "" {
		fmt.Fprintf(b, "\n%s\n", inMarkdown(cmd.Long))
	} else {
		fmt.Fprintf(b, "\n%s.\n", cmd.Short)
	}
	if cmd.HasExample() {
		fmt.Fprintf(b, "\n```sh\n%s\n```\n", regexp.MustCompile(`(?m)^  `).ReplaceAllString(cmd.Example, ""))
	}
	own, shared := pflag.NewFlagSet("", 0), 0
	own.SortFlags = false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if g := ofNode.Lookup(f.Name); g != nil && g.Usage == f.Usage && g.DefValue == f.DefValue {
			shared++
		} else {
			own.AddFlag(f)
		}
	})
	if own.HasFlags() {
		b.WriteString("\n")
		table(b, own)
	}
	if shared > 0 {
		b.WriteString("\nAnd the [flags of a node](#flags-of-a-node).\n")
	}
}

// inMarkdown escapes a help text, so that Markdown does not interpret it. Indented lines are code.
func inMarkdown(text string) string {
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "  ") {
			lines[i] = "  " + line
		} else {
			lines[i] = marks.Replace(line)
		}
	}
	return strings.Join(lines, "\n")
}

var marks = strings.NewReplacer("*", `\*`, "|", `\|`, "<", `\<`)

func table(b *strings.Builder, flags *pflag.FlagSet) {
	b.WriteString("| flag | |\n|---|---|\n")
	flags.VisitAll(func(f *pflag.Flag) {
		name, usage := pflag.UnquoteUsage(f)
		preset := ""
		switch f.DefValue {
		case "", "false", "[]":
		case "0":
			if strings.Contains(usage, "default") { // the usage text has the default in words
				break
			}
			fallthrough
		default:
			preset = "; default: `" + f.DefValue + "`"
		}
		fmt.Fprintf(b, "| `%s` | %s%s |\n", strings.TrimSpace("--"+f.Name+" "+name), marks.Replace(usage), preset)
	})
}
