package interoptest

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// Patience bounds each wait of a Process for output.
const Patience = 40 * time.Second

// Process is a program whose output the test reads line by line. One goroutine uses it.
type Process struct {
	Cmd            *exec.Cmd
	Stdout, Stderr <-chan string   // lines; closed at the end of the output
	Seen           strings.Builder // the lines that the test has read

	t     testing.TB
	ended bool
}

// Start starts a program, and kills it when t ends. cmd must not set the output.
func Start(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd, false)
}

// StartMerged is like Start, but Stdout also has the lines of standard error.
func StartMerged(t testing.TB, cmd *exec.Cmd) *Process {
	t.Helper()
	return start(t, cmd, true)
}

func start(t testing.TB, cmd *exec.Cmd, merged bool) *Process {
	t.Helper()
	stdout, err := cmd.StdoutPipe()
	var stderr io.Reader = strings.NewReader("")
	if merged {
		cmd.Stderr = cmd.Stdout
	} else if err == nil {
		stderr, err = cmd.StderrPipe()
	}
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	p := &Process{Cmd: cmd, Stdout: lines(stdout), Stderr: lines(stderr), t: t}
	t.Cleanup(func() {
		if !p.ended {
			_ = cmd.Process.Kill() // it may have ended already
			p.Wait()
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

// Next returns the next line of Stdout or Stderr, or false at its end. It fails the test if no line comes.
func (p *Process) Next(from <-chan string) (string, bool) {
	p.t.Helper()
	select {
	case line, ok := <-from:
		p.Seen.WriteString(line + "\n")
		return line, ok
	case <-time.After(Patience):
		p.t.Fatalf("%v: no output", p.Cmd.Args)
		return "", false
	}
}

// Await returns the first line of Stdout or Stderr for which match returns true. The failure message names the line as wanted.
func (p *Process) Await(from <-chan string, wanted string, match func(line string) bool) string {
	p.t.Helper()
	var before []string
	for {
		line, ok := p.Next(from)
		if !ok {
			p.t.Fatalf("%v ended without saying %q, but:\n%s", p.Cmd.Args, wanted, strings.Join(before, "\n"))
		}
		if match(line) {
			return line
		}
		before = append(before, line)
	}
}

// Wait waits for the end of the process. It returns the unread output and the exit code.
func (p *Process) Wait() (stdout, stderr string, code int) {
	p.t.Helper()
	rest := func(from <-chan string) string {
		var all strings.Builder
		for {
			line, ok := p.Next(from)
			if !ok {
				return all.String()
			}
			all.WriteString(line + "\n")
		}
	}
	stdout, stderr = rest(p.Stdout), rest(p.Stderr)
	_ = p.Cmd.Wait() // the exit code shows it
	p.ended = true
	return stdout, stderr, p.Cmd.ProcessState.ExitCode()
}

// Interrupt ends the process by a signal. The exit code must then be 0.
func (p *Process) Interrupt(sig os.Signal) (stderr string) {
	p.t.Helper()
	if err := p.Cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	_, stderr, code := p.Wait()
	if code != 0 {
		p.t.Fatalf("%v: exit code %d: %s", p.Cmd.Args, code, stderr)
	}
	return stderr
}
