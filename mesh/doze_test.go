package mesh

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A hub that did not run gives up no other hub. It asks the others before it routes events of its peers.
func TestAHubThatDidNotRunAsksTheOthersFirst(t *testing.T) {
	b := new(LocalBackplane)
	var hubs []*hub
	for range 2 {
		n, err := NewHub(&Options{Backplane: b})
		require.NoError(t, err)
		defer func() { require.NoError(t, n.Close()) }()
		hubs = append(hubs, n.hub.Load())
	}
	c, other := hubs[0].cluster, hubs[1].cluster
	const id = "3eb1bd439947eb762998e566ccc2e099"
	other.fences.set(id, holder{hub: hubs[1].node.id, conn: 7})
	c.mu.Lock()
	stopped := int64(time.Since(c.doze.born) - time.Minute) // as if the hub had not run for a minute
	c.doze.said.Store(stopped)
	for _, o := range c.others {
		o.seen = o.seen.Add(-time.Minute)
	}
	c.mu.Unlock()
	other.lose(hubs[0].node.id, silence)

	c.attend(context.Background())
	require.Nil(t, c.doze.rousing.Load())
	c.expire(time.Now())
	require.Len(t, c.hubs(), 1, "the other hub was not silent")
	c.fences.mu.Lock()
	defer c.fences.mu.Unlock()
	require.Equal(t, []holder{{hub: hubs[1].node.id, conn: 7}}, c.fences.nodes[id].next, "it knows where a node went meanwhile")
}

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
		f.expect(randomHex(), holder{"a", 2})
	}
	require.Len(t, f.nodes, maxFences)
}
