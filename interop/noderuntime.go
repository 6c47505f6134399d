package interop

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
)

// npmPlatforms maps GOOS/GOARCH to the name of the platform in npm. The npm package node-PLATFORM holds the program.
var npmPlatforms = map[string]string{
	"linux/amd64": "linux-x64", "linux/arm64": "linux-arm64", "darwin/amd64": "darwin-x64", "darwin/arm64": "darwin-arm64",
}

var runtimes sync.Mutex

// NodeRuntime returns the path of the node program of a version, such as 18.20.8. The first call installs the program
// from npm into the folder node/runtimes.
func NodeRuntime(ctx context.Context, version string) (string, error) {
	platform := npmPlatforms[runtime.GOOS+"/"+runtime.GOARCH]
	if platform == "" {
		return "", fmt.Errorf("interop: npm has no node for %s/%s", runtime.GOOS, runtime.GOARCH)
	}
	runtimes.Lock()
	defer runtimes.Unlock()
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "interop", "node", "runtimes", version)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	unlock, err := lockFile(filepath.Join(dir, ".install.lock"))
	if err != nil {
		return "", fmt.Errorf("interop: %w", err)
	}
	defer unlock()
	node := filepath.Join(dir, "node_modules", "node-"+platform, "bin", "node")
	if out, err := exec.CommandContext(ctx, node, "--version").Output(); err == nil && strings.TrimSpace(string(out)) == "v"+version {
		return node, nil
	}
	ctx, cancel := context.WithTimeout(ctx, installTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, "npm", "install", "--prefix", dir, "--no-save", "--ignore-scripts", "--no-audit", "--no-fund",
		"node-"+platform+"@"+version)
	cmd.Dir = dir
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("interop: npm install node %s: %w\n%s", version, err, out)
	}
	return node, nil
}
