package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// binary is the path of the command, built for these tests.
var binary string

func TestMain(m *testing.M) {
	interoptest.RunAtOnce(4)
	interoptest.Main(m, &binary)
}

// patience bounds every wait for a process.
const patience = 20 * time.Second

// process is a running command.
type process struct {
	*interoptest.Process
	t *testing.T
}

// spawn starts the command. env adds variables (NAME=value) to the environment.
func spawn(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), passwordVariable+"="), env...)
	return &process{interoptest.Start(t, cmd), t}
}

// says waits for a line on standard error that contains all the parts, and returns the line.
func (p *process) says(parts ...string) string {
	p.t.Helper()
	return p.Await(p.Stderr, strings.Join(parts, " "), func(line string) bool { return all(line, parts) })
}

func all(text string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(text, part) {
			return false
		}
	}
	return true
}

// hears returns the next event on standard output.
func (p *process) hears() line {
	p.t.Helper()
	text, ok := p.Next(p.Stdout)
	require.True(p.t, ok, "%v ended without an event", p.Cmd.Args[1:])
	var e line
	require.NoError(p.t, json.Unmarshal([]byte(text), &e))
	return e
}

// hearsFrom waits for an event from a node.
func (p *process) hearsFrom(id string) line {
	p.t.Helper()
	for {
		if e := p.hears(); e.From == id {
			return e
		}
	}
}

// node is a process's role, URL and ID.
type node struct{ role, url, id string }

// is waits until the process prints its role, URL and ID.
func (p *process) is() node {
	p.t.Helper()
	text := p.says("this node is")
	var n node
	var ok bool
	if n.url, n.id, ok = strings.Cut(text, " (its ID is "); ok {
		n.role, n.url, ok = strings.Cut(n.url, " at ")
	}
	require.True(p.t, ok, text)
	n.role = strings.Trim(strings.TrimPrefix(n.role, "mesh: this node is "), ",")
	n.id = strings.TrimSuffix(n.id, ")")
	return n
}

// execute runs a command to its end.
func execute(t *testing.T, env []string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(append(os.Environ(), passwordVariable+"="), env...)
	var out, err bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &err
	_ = cmd.Run() // the exit code shows it
	return out.String(), err.String(), cmd.ProcessState.ExitCode()
}
