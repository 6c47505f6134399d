package mesh

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/engineiotest"
)

func TestKeeperIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, end := range map[string]func(*keeper) (taken int){
			"released": func(k *keeper) (n int) { k.release(func(kept) { n++ }); return n },
			"stopped":  func(k *keeper) int { k.stop(); return 0 },
		} {
			k := newKeeper(3 * eventSize("e", nil))
			require.True(t, k.keep(kept{Event: Event{Name: "dropped"}}))
			k.begin()
			for range 3 {
				require.True(t, k.keep(kept{Event: Event{Name: "e"}}))
			}
			waiting := make(chan bool, 1)
			go func() { waiting <- k.keep(kept{Event: Event{Name: "e"}}) }()
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
	require.True(t, k.keep(kept{Event: Event{Name: "larger than all"}}))
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

// Those who are routing have looked up who listens, and may publish what they route only later: $mesh.sync waits for them.
func TestSyncWaitsForThoseWhoAreRouting(t *testing.T) {
	n, err := NewHub(nil)
	require.NoError(t, err)
	h := n.hub.Load()
	server := engineiotest.NewServer(h, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	for _, packet := range []string{`{"event":"$mesh.sync","payload":{}}`, `{"event":"$mesh.leaving"}`} {
		s, err := server.Dial(t.Context(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}})
		require.NoError(t, err)
		require.NoError(t, s.Write(t.Context(), engineio.Text(`{"event":"handshake","headers":{"mesh":{"v":1,"key":"0123456789abcdef"}}}`)))
		_, err = s.Read(t.Context())
		require.NoError(t, err)
		r := h.routings.Get().(*routing)
		r.busy.RLock()
		require.NoError(t, s.Write(t.Context(), engineio.Text(packet)))
		answered := make(chan error, 1)
		go func() {
			_, err := s.Read(context.Background())
			answered <- err
		}()
		require.Eventually(t, func() bool { // somebody waits for it
			free := r.busy.TryRLock()
			if free {
				r.busy.RUnlock()
			}
			return !free
		}, 10*time.Second, time.Millisecond)
		require.Empty(t, answered)
		r.busy.RUnlock()
		h.recycle(r)
		require.NoError(t, <-answered)
		require.NoError(t, s.Close())
	}
	require.NoError(t, server.Close())
	require.NoError(t, n.Close())
}

func TestGiveWayReplacesTheOwnAddressOnly(t *testing.T) {
	home := address{scheme: "http", host: "localhost", port: "1"}
	own, other := home.at("127.0.0.1"), address{scheme: "http", host: "other", port: "1"}
	c := &client{home: &home, addrs: []address{other, own}, local: own}
	require.Equal(t, 1, c.elsewhere())
	c.giveWay(&bindError{host: "::1", taken: true})
	require.Equal(t, fmt.Sprint([]address{other, home.at("::1")}), fmt.Sprint(c.addrs))
	c.addrs = []address{c.local, other}
	require.Equal(t, 2, c.elsewhere(), "the other one is tried too")
	c.addrs = []address{c.local}
	require.Zero(t, c.elsewhere())
}
