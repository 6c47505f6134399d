package interop

import (
	"context"
	"os/exec"
	"path/filepath"

	"github.com/bigcompany/mesh/interop/internal/env"
)

// debianPython is the interpreter for which Debian's packages python3-engineio and python3-aiohttp are installed.
const debianPython = "/usr/bin/python3"

// RunPython runs a peer with python-engineio, until Kill or until ctx ends. It takes the commands of EngineServer and
// EngineClient.
func RunPython(ctx context.Context) (*Peer, error) {
	if err := exec.CommandContext(ctx, debianPython, "-c", "import engineio, aiohttp").Run(); err != nil {
		return nil, env.MissingError{debianPython + " with python3-engineio and python3-aiohttp"}
	}
	root, err := moduleRoot()
	if err != nil {
		return nil, err
	}
	return run(ctx, "eio.py", exec.CommandContext(ctx, debianPython, filepath.Join(root, "interop", "python", "eio.py")))
}
