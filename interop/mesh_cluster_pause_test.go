//go:build unix

package interop

import (
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestHubOfAClusterPaused stops a hub for 5 s. Then the process continues where it was stopped.
func TestHubOfAClusterPaused(t *testing.T) {
	t.Parallel()
	f := startFleet(t)
	c := startWalking(t, f)
	var began, over time.Time
	r := f.suffer(c, "a hub paused", func() {
		began = time.Now()
		f.hubs[0].signal(t, syscall.SIGSTOP)
		time.Sleep(5 * time.Second)
		over = time.Now()
		f.hubs[0].signal(t, syscall.SIGCONT)
	})
	c.mu.Lock()
	defer c.mu.Unlock()
	rest := c.count(began, over, func(from, to *walker) bool { return from.hub != 0 && to.hub != 0 })
	t.Logf("between the others: %d lost, up to %v", rest.lost, round(rest.longest))
	require.Zero(t, rest.lost)
	interoptest.RequireTakes(t, promptly, rest.longest, "between the others")
	require.Zero(t, r.near.lost, "events within the hub wait for it")
	require.Greater(t, r.near.longest, 4*time.Second, "the hub was not paused")
	require.Zero(t, r.lost, "connections of clients")
}
