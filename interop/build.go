package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

var builds struct {
	sync.Mutex
	dir string
}

// build builds the program of a package, without data for debuggers, and returns its path. The program exists until
// RemoveBuilds.
func build(pkg string) (exe string, err error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	builds.Lock()
	defer builds.Unlock()
	if builds.dir == "" {
		if builds.dir, err = os.MkdirTemp("", "interop"); err != nil {
			return "", fmt.Errorf("interop: %w", err)
		}
	}
	exe = filepath.Join(builds.dir, filepath.Base(pkg)+".exe") // Windows needs the suffix; other systems ignore it
	cmd := exec.CommandContext(context.Background(), "go", "build", "-ldflags=-w", "-o", exe, pkg)
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("interop: go build: %w\n%s", err, out)
	}
	return exe, nil
}

// BuildMesh builds the command mesh and returns its path. The program exists until RemoveBuilds.
func BuildMesh() (exe string, err error) { return build("./cmd/mesh") }

// BuildNATS builds nats-server from its module and returns its path. The program exists until RemoveBuilds.
func BuildNATS() (exe string, err error) { return build("github.com/nats-io/nats-server/v2") }

// RemoveBuilds removes the programs that this process has built.
func RemoveBuilds() {
	builds.Lock()
	defer builds.Unlock()
	if builds.dir != "" {
		_ = os.RemoveAll(builds.dir)
		builds.dir = ""
	}
}
