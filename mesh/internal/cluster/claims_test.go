package cluster

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

func TestFencesLetEventsPassFromWhereANodeEmits(t *testing.T) {
	var f fences
	for _, hub := range []string{"a", "b", "c"} {
		f.know(hub)
	}
	require.True(t, f.passes("n", "a"), "no holder is known")
	f.expect("n", holder{"b", 2})
	require.True(t, f.passes("n", "a"), "its events of before are on the way")
	f.expect("n", holder{"c", 3})
	require.True(t, f.passes("n", "b"))
	require.False(t, f.passes("n", "a"))
	require.True(t, f.passes("n", "b"))
	require.True(t, f.passes("n", "c"))
	require.False(t, f.passes("n", "b"))
	f.expect("n", holder{"b", 1})
	require.False(t, f.passes("n", "b"), "a late claim")
	f.expect("n", holder{"b", 4})
	require.True(t, f.passes("n", "c"))
	require.True(t, f.passes("n", "b"))
	require.False(t, f.passes("n", "c"))
	require.True(t, f.passes("n", "n"), "the node is a hub now")
	f.set("n", holder{"c", 3})
	require.True(t, f.passes("n", "b"), "not newer")
	f.set("n", holder{"a", 5})
	require.False(t, f.passes("n", "b"))
	require.True(t, f.passes("n", "old"), "a hub that claims no nodes")
	f.expire(time.Now().Add(fenceTime))
	require.Empty(t, f.nodes)
	require.Empty(t, f.hubs)
}

func TestFencesAreBounded(t *testing.T) {
	var f fences
	for range maxFences + 10 {
		f.expect(wire.NewID(), holder{"a", 2})
	}
	require.Len(t, f.nodes, maxFences)
}
