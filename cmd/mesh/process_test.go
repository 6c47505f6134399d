package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
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

// process is a running command whose output the test reads line by line.
type process struct {
	t              *testing.T
	cmd            *exec.Cmd
	stdout, stderr <-chan string   // closed at the end of the output
	seen           strings.Builder // the lines read from both
	ended          bool
}

// spawn starts the command. env adds variables (NAME=value) to the environment.
func spawn(t *testing.T, env []string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(binary, args...)
	cmd.Env = append(append(os.Environ(), passwordVariable+"="), env...)
	stdout, err := cmd.StdoutPipe()
	require.NoError(t, err)
	stderr, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	p := &process{t: t, cmd: cmd, stdout: lines(stdout), stderr: lines(stderr)}
	t.Cleanup(func() {
		if !p.ended {
			_ = cmd.Process.Kill()
			p.wait()
		}
	})
	return p
}

func lines(r io.Reader) <-chan string {
	found := make(chan string, 1<<12) // more than any test prints
	go func() {
		defer close(found)
		for s := bufio.NewScanner(r); s.Scan(); {
			found <- s.Text()
		}
	}()
	return found
}

func (p *process) next(from <-chan string) (string, bool) {
	p.t.Helper()
	select {
	case line, ok := <-from:
		p.seen.WriteString(line + "\n")
		return line, ok
	case <-time.After(patience):
		p.t.Fatalf("%v: no output", p.cmd.Args[1:])
		return "", false
	}
}

// says waits for a line on standard error that contains all the parts, and returns the line.
func (p *process) says(parts ...string) string {
	p.t.Helper()
	var before []string
	for {
		text, ok := p.next(p.stderr)
		require.True(p.t, ok, "%v ended without saying %q, but:\n%s", p.cmd.Args[1:], parts, strings.Join(before, "\n"))
		if all(text, parts) {
			return text
		}
		before = append(before, text)
	}
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
	text, ok := p.next(p.stdout)
	require.True(p.t, ok, "%v ended without an event", p.cmd.Args[1:])
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

// wait waits for the end of the process. It returns the unread output and the exit code.
func (p *process) wait() (stdout, stderr string, code int) {
	p.t.Helper()
	rest := func(from <-chan string) string {
		var all strings.Builder
		for {
			text, ok := p.next(from)
			if !ok {
				return all.String()
			}
			all.WriteString(text + "\n")
		}
	}
	stdout, stderr = rest(p.stdout), rest(p.stderr)
	_ = p.cmd.Wait() // the exit code shows it
	p.ended = true
	return stdout, stderr, p.cmd.ProcessState.ExitCode()
}

// interrupt ends the process by a signal. The exit code must then be 0.
func (p *process) interrupt(sig os.Signal) (stderr string) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
	_, stderr, code := p.wait()
	require.Zero(p.t, code, "%v: %s", p.cmd.Args[1:], stderr)
	return stderr
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
