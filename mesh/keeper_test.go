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

// visitor connects a client to a hub and introduces it. It sends the client's responses to a channel.
func visitor(t *testing.T, server *engineiotest.Server) (s *engineio.Socket, answers chan string) {
	s, err := server.Dial(t.Context(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}})
	require.NoError(t, err)
	require.NoError(t, s.Write(t.Context(), engineio.Text(`{"event":"handshake","headers":{"mesh":{"v":1,"key":"0123456789abcdef"}}}`)))
	_, err = s.Read(t.Context())
	require.NoError(t, err)
	answers = make(chan string, 10)
	go func() {
		for {
			m, err := s.Read(context.Background())
			if err != nil {
				return
			}
			answers <- string(m.Data)
		}
	}()
	return s, answers
}

func serveHub(t *testing.T, opts *Options) (*hub, *engineiotest.Server) {
	n, err := NewHub(opts)
	require.NoError(t, err)
	h := n.hub.Load()
	return h, engineiotest.NewServer(h, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
}

const (
	syncPacket    = `{"event":"$mesh.sync","payload":{}}`
	leavingPacket = `{"event":"$mesh.leaving","payload":{}}`
	leftPacket    = `{"event":"$mesh.left","payload":{}}`
)

// A goroutine that routes an event has looked up the subscribers, and may publish the event only later. Other
// subscribers may have received it already. $mesh.sync waits for such goroutines, here and at the other hubs.
func TestSyncWaitsForThoseWhoAreRouting(t *testing.T) {
	backplane := new(LocalBackplane)
	here, server := serveHub(t, &Options{Backplane: backplane})
	there, other := serveHub(t, &Options{Backplane: backplane})
	for _, h := range []*hub{here, there} {
		for packet, want := range map[string]string{syncPacket: syncPacket, leavingPacket: leftPacket} {
			s, answers := visitor(t, server)
			r := h.routings.Get().(*routing)
			r.busy.RLock()
			require.NoError(t, s.Write(t.Context(), engineio.Text(packet)))
			require.Eventually(t, func() bool { // a goroutine waits for the lock
				free := r.busy.TryRLock()
				if free {
					r.busy.RUnlock()
				}
				return !free
			}, 10*time.Second, time.Millisecond)
			require.Empty(t, answers)
			r.busy.RUnlock()
			h.recycle(r)
			require.Equal(t, want, <-answers)
			require.NoError(t, s.Close())
		}
	}
	require.NoError(t, server.Close())
	require.NoError(t, other.Close())
	require.NoError(t, here.node.Close())
	require.NoError(t, there.node.Close())
}

// If another hub exists and does not respond, the hub does not report success to a client.
func TestSyncIsNotAnsweredForAHubThatIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		backplane := new(LocalBackplane)
		h, server := serveHub(t, &Options{Backplane: backplane})
		mute, err := backplane.Join("00000000000000000000000000000001", func(string, []byte) {})
		require.NoError(t, err)
		mute.Subscribe(nameHubs, nameHub+"00000000000000000000000000000001")
		here := time.NewTicker(time.Second)
		quiet := make(chan struct{})
		go func() {
			for {
				_ = mute.Publish(nameHubs, []byte(`c{"kind":"here","count":1}`), nil)
				select {
				case <-here.C:
				case <-quiet:
					return
				}
			}
		}()
		synctest.Wait()
		s, answers := visitor(t, server)
		start := time.Now()
		require.NoError(t, s.Write(t.Context(), engineio.Text(syncPacket)))
		require.Contains(t, <-answers, `"error":"unanswered"`)
		require.InDelta(t, hubTimeout, time.Since(start), float64(time.Second))
		start = time.Now()
		require.NoError(t, s.Write(t.Context(), engineio.Text(leavingPacket)))
		require.Equal(t, leftPacket, <-answers, "it is let go all the same")
		require.InDelta(t, departTries*hubTimeout, time.Since(start), float64(3*time.Second))
		require.Less(t, time.Since(start), leaveTimeout)

		close(quiet) // the hub loses the silent hub, which is not a response, either
		require.NoError(t, s.Write(t.Context(), engineio.Text(syncPacket)))
		require.Contains(t, <-answers, `"error":"unanswered"`)
		time.Sleep(hubTimeout)
		require.NoError(t, s.Write(t.Context(), engineio.Text(syncPacket)))
		require.Equal(t, syncPacket, <-answers, "it is gone")
		require.NoError(t, s.Close())
		require.NoError(t, server.Close())
		require.NoError(t, mute.Close())
		require.NoError(t, h.node.Close())
	})
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
