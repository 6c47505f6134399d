package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestCosts compares the cost of a connection without credentials with the limits: of two kinds of connections, or of
// all kinds if INTEROP=full.
func TestCosts(t *testing.T) {
	exe, err := interop.BuildMesh()
	require.NoError(t, err)
	if interoptest.Full() {
		costs, err := measureCosts(t.Context(), exe, 400, idleTime+2*timeSlack)
		require.NoError(t, err)
		for _, c := range costs {
			require.True(t, c.ended, c.kind.name)
			require.False(t, c.tooMuch(), "%s: %d and %d bytes, %v", c.kind.name, c.resident, c.kernel, c.held)
		}
		return
	}
	for _, k := range kinds {
		if k.name != "unread responses" && k.name != "large WebSocket frame" {
			continue
		}
		c, err := k.measure(t.Context(), exe, 100, time.Millisecond)
		require.NoError(t, err)
		// On a busy machine the kernel may receive more before the hub has read the beginning, so each figure is compared alone.
		require.Less(t, max(c.resident, c.kernel), int64(mostCost), k.name)
	}
}
