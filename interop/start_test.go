package interop

import (
	"context"
	"os/exec"
	"testing"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// startNode is like RunNode, but it kills the peer when t ends. It skips t if Node.js or npm is missing.
func startNode(t testing.TB, script string, args ...string) *Peer {
	t.Helper()
	interoptest.Need(t, "node", "npm")
	p, err := RunNode(t.Context(), script, args...)
	return p.during(t, err)
}

// startPage is like RunBrowser, but it ends the browser when t ends. It skips t if Chromium, Node.js or npm is
// missing.
func startPage(t testing.TB, page string) *Peer {
	t.Helper()
	interoptest.Need(t, "chromium", "node", "npm")
	p, err := RunBrowser(t.Context(), page)
	p.during(t, err)
	t.Cleanup(func() {
		if err := p.Quit(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// startProgram is like runProgram, but it kills the peer when t ends.
func startProgram(t testing.TB, name string, cmd *exec.Cmd) *Peer {
	t.Helper()
	p, err := runProgram(name, cmd)
	return p.during(t, err)
}

// during fails t if err is not nil. Otherwise it kills the peer when t ends, and logs the peer's standard error if t
// failed.
func (p *Peer) during(t testing.TB, err error) *Peer {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		p.Kill()
		if t.Failed() {
			t.Logf("interop: %s wrote to standard error:\n%s", p.name, p.Stderr())
		}
	})
	return p
}

// Must sends a command and returns the first event of the kind. It fails t if no event comes within AwaitTimeout.
func (e *Endpoint) Must(t testing.TB, c Command, kind string) Event {
	t.Helper()
	if err := e.Do(c); err != nil {
		t.Fatal(err)
	}
	return e.MustAwait(t, kind)
}

// MustAwait returns the first event of the kind. It fails t if none comes within AwaitTimeout.
func (e *Endpoint) MustAwait(t testing.TB, kind string) Event {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
	defer cancel()
	ev, err := e.Await(ctx, kind)
	if err != nil {
		t.Fatal(err)
	}
	return ev
}
