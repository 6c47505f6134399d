package interop

import (
	"context"
	"os/exec"
	"sync"
)

// RunGoogollee runs the program of the folder googollee until Kill or until ctx ends. The first call in a process
// builds the program. The caller must call RemoveBuilds at the end of the process.
func RunGoogollee(ctx context.Context) (*Peer, error) {
	exe, err := googollee()
	if err != nil {
		return nil, err
	}
	return run(ctx, "googollee", exec.CommandContext(ctx, exe))
}

var googollee = sync.OnceValues(func() (string, error) { return build("./interop/googollee") })
