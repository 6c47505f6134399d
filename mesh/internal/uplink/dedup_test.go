package uplink

import (
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh/internal/wire"
)

func TestHoldBufferIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(*holdBuffer) (taken int){
			"released": func(b *holdBuffer) (n int) { b.release(func(heldEvent) { n++ }); return n },
			"stopped":  func(b *holdBuffer) int { b.stop(); return 0 },
		} {
			b := newHoldBuffer(3 * wire.Size("e", nil))
			require.True(t, b.add(heldEvent{Event: wire.Event{Name: "dropped"}}))
			b.start()
			for range 3 {
				require.True(t, b.add(heldEvent{Event: wire.Event{Name: "e"}}))
			}
			waiting := make(chan bool, 1)
			go func() { waiting <- b.add(heldEvent{Event: wire.Event{Name: "e"}}) }()
			synctest.Wait()
			require.Empty(t, waiting, name)
			taken := end(b)
			require.Equal(t, name != "released", <-waiting, name)
			if name == "released" {
				require.Equal(t, 3, taken)
			}
		}
	})
	b := newHoldBuffer(1)
	b.start()
	require.True(t, b.add(heldEvent{Event: wire.Event{Name: "larger than all"}}))
}

func TestSeenSetRemembersTheLatest(t *testing.T) {
	var s seenSet
	for n := range uint64(maxSeen + 10) {
		s.add(eventKey{"x", n})
	}
	require.Len(t, s.set, maxSeen)
	require.Len(t, s.ring, maxSeen)
	require.False(t, s.take(eventKey{"x", 9}))
	require.True(t, s.take(eventKey{"x", 10}))
	require.False(t, s.take(eventKey{"x", 10}), "once")
	require.False(t, s.take(eventKey{"y", 11}))
	require.True(t, s.take(eventKey{"x", maxSeen + 9}))
}
