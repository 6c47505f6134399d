package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/bigcompany/mesh/interop"
)

// kind says how a server handles messages.
type kind string

const (
	kindEcho  kind = "echo"  // sends a message back
	kindRelay kind = "relay" // sends a message to all other sessions
	kindHub   kind = "hub"   // is the hub of a mesh
)

// server is one of the servers to compare.
type server struct {
	name     string
	ours     bool
	revision int // of the protocol, for its clients
	// command returns the command that starts the server, and a line for the server's standard input, or an empty
	// string. The process ends when ctx ends.
	command func(ctx context.Context, k kind, heartbeat time.Duration) (cmd *exec.Cmd, line string, err error)
}

// The report shows the names. The versions of the Node.js packages are pinned in interop/node/package.json.
var (
	ours      = &server{name: "this project", ours: true, revision: 4, command: itself("")}
	ourHub    = &server{name: "this project", ours: true, revision: 3, command: itself("")}
	googollee = &server{name: "googollee 1.4.2", revision: 3, command: itself("googollee-")}
	nodeEIO   = &server{name: "engine.io 6.6.13", revision: 4, command: nodeEngine}
	nodeHub   = &server{name: "resource-mesh 0.5.1", revision: 3, command: nodeMesh}
)

// itself returns a function that starts this program as a server.
func itself(prefix string) func(context.Context, kind, time.Duration) (*exec.Cmd, string, error) {
	return func(ctx context.Context, k kind, heartbeat time.Duration) (*exec.Cmd, string, error) {
		exe, err := os.Executable()
		if err != nil {
			return nil, "", err
		}
		args := []string{"serve", prefix + string(k)}
		if heartbeat > 0 {
			args = append(args, "--ping-interval", heartbeat.String())
		}
		return exec.CommandContext(ctx, exe, args...), "", nil
	}
}

func nodeEngine(ctx context.Context, k kind, heartbeat time.Duration) (*exec.Cmd, string, error) {
	args := []string{string(k)}
	if heartbeat > 0 {
		args = append(args, strconv.FormatInt(heartbeat.Milliseconds(), 10))
	}
	cmd, err := nodeCommand(ctx, "bench-eio.js", args...)
	return cmd, "", err
}

func nodeMesh(ctx context.Context, _ kind, _ time.Duration) (*exec.Cmd, string, error) {
	cmd, err := nodeCommand(ctx, interop.MeshNode)
	return cmd, `{"do":"listen","host":"127.0.0.1"}`, err
}

func nodeCommand(ctx context.Context, script string, args ...string) (*exec.Cmd, error) {
	for _, program := range []string{"node", "npm"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, fmt.Errorf("%s is not on the PATH", program)
		}
	}
	dir, err := interop.InstallNode()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "node", append([]string{filepath.Join(dir, script)}, args...)...)
	cmd.Dir = dir
	return cmd, nil
}
