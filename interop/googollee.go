package interop

import (
	"os/exec"
	"sync"
	"testing"
)

// StartGoogollee runs the program of the folder googollee. It builds it first, once a process; the TestMain of a
// package that calls this calls RemoveBuilds in the end.
func StartGoogollee(t testing.TB) *Peer {
	t.Helper()
	Need(t, "go")
	exe, err := googollee()
	if err != nil {
		t.Fatal(err)
	}
	return start(t, "googollee", exec.CommandContext(t.Context(), exe))
}

var googollee = sync.OnceValues(func() (string, error) { return build("./interop/googollee") })
