package main

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// TestCosts measures connections of one kind without credentials. With the build tag soak it compares the cost of a
// connection of each kind with the limits.
func TestCosts(t *testing.T) {
	exe, err := interop.BuildMesh()
	require.NoError(t, err)
	if !interoptest.Soak {
		_, err := kinds[0].measure(t.Context(), exe, 20, time.Millisecond)
		require.NoError(t, err)
		return
	}
	costs, err := measureCosts(t.Context(), exe, 400, idleTime+2*timeSlack)
	require.NoError(t, err)
	for _, c := range costs {
		require.True(t, c.ended, c.kind.name)
		require.False(t, c.tooMuch(), "%s: %d and %d bytes, %v", c.kind.name, c.resident, c.kernel, c.held)
	}
}
