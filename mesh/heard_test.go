package mesh

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

func TestKeeperIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(*keeper) (taken int){
			"released": func(k *keeper) (n int) { k.release(func(kept) { n++ }); return n },
			"stopped":  func(k *keeper) int { k.stop(); return 0 },
		} {
			k := newKeeper(3 * wire.Size("e", nil))
			require.True(t, k.keep(kept{Event: wire.Event{Name: "dropped"}}))
			k.begin()
			for range 3 {
				require.True(t, k.keep(kept{Event: wire.Event{Name: "e"}}))
			}
			waiting := make(chan bool, 1)
			go func() { waiting <- k.keep(kept{Event: wire.Event{Name: "e"}}) }()
			synctest.Wait()
			require.Empty(t, waiting, name)
			taken := end(k)
			require.Equal(t, name != "released", <-waiting, name)
			if name == "released" {
				require.Equal(t, 3, taken)
			}
		}
	})
	k := newKeeper(1)
	k.begin()
	require.True(t, k.keep(kept{Event: wire.Event{Name: "larger than all"}}))
}

func TestHeardRemembersTheLast(t *testing.T) {
	var h heard
	for n := range uint64(maxHeard + 10) {
		h.note(heardKey{"x", n})
	}
	require.Len(t, h.set, maxHeard)
	require.Len(t, h.ring, maxHeard)
	require.False(t, h.take(heardKey{"x", 9}))
	require.True(t, h.take(heardKey{"x", 10}))
	require.False(t, h.take(heardKey{"x", 10}), "once")
	require.False(t, h.take(heardKey{"y", 11}))
	require.True(t, h.take(heardKey{"x", maxHeard + 9}))
}
