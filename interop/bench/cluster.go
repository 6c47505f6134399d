package main

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"strings"
	"time"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
	"github.com/bigcompany/mesh/interop"
)

// ourCluster is a cluster of hubs of the command mesh, joined by its --cluster.
var ourCluster = &server{name: "this project", ours: true, revision: 3}

// startCluster starts the hubs of a cluster, each in a separate process. It returns the first hub, which has the other
// hubs in others.
func startCluster(ctx context.Context, hubs int) (c *child, err error) {
	exe, err := interop.BuildMesh()
	if err != nil {
		return nil, err
	}
	addrs, err := interop.FreeAddrs(ctx, 2*hubs)
	if err != nil {
		return nil, err
	}
	serve, join := addrs[:hubs], addrs[hubs:]
	var all []*child
	defer func() {
		if err != nil {
			for _, c := range all {
				c.end()
			}
		}
	}()
	for i := range hubs {
		args := []string{"listen", "--addr", serve[i]}
		if hubs > 1 {
			own := append([]string{join[i]}, join[:i]...)
			args = append(args, "--cluster", strings.Join(append(own, join[i+1:]...), ","))
		}
		hub, err := startHub(ctx, exec.CommandContext(ctx, exe, args...), serve[i])
		if err != nil {
			return nil, err
		}
		all = append(all, hub)
	}
	for _, hub := range all {
		if err = hub.ready(ctx); err != nil {
			return nil, err
		}
	}
	all[0].others = all[1:]
	return all[0], nil
}

// also returns a copy of t for each of the other hubs, with the address of that hub.
func (c *child) also(t loadgen.Target) (targets []loadgen.Target) {
	for _, other := range c.others {
		t.Host = other.addr
		targets = append(targets, t)
	}
	return targets
}

// ready waits until /readyz reports that the hub reaches the other hubs.
func (c *child) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("it was not ready within %v", startTimeout))
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.addr+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-tick.C:
		case <-c.ended:
			return c.why()
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
}
