package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
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

var builds struct {
	sync.Mutex
	dir string
}

var googollee = sync.OnceValues(func() (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "interop")
	if err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	builds.Lock()
	builds.dir = dir
	builds.Unlock()
	exe := filepath.Join(dir, "googollee.exe") // the suffix is for Windows, and does no harm elsewhere
	cmd := exec.Command("go", "build", "-o", exe, "./interop/googollee")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("interop: go build: %w\n%s", err, out)
	}
	return exe, nil
})

// RemoveBuilds removes the programs that were built for this process.
func RemoveBuilds() {
	builds.Lock()
	defer builds.Unlock()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
		builds.dir = ""
	}
}
