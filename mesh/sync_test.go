package mesh_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// A goroutine that routes an event has looked up the subscribers, and may publish the event only later. Other
// subscribers may have received it already. $mesh.sync, $mesh.leaving and Flush wait for such goroutines at all hubs.
func TestSyncWaitsForEventsThatHubsAreRouting(t *testing.T) {
	b := new(hookedBackplane)
	hubs := []*mesh.Node{listen(t, mesh.Options{Backplane: b}), listen(t, mesh.Options{Backplane: b})}
	// Each wait starts to wait and returns a function that reports whether the wait is over.
	client := func(packet, reply string) func(t *testing.T) (over <-chan error) {
		return func(t *testing.T) <-chan error {
			w := arrive(t, hubs[0].URL(), "client", "")
			w.Send(packet)
			over := make(chan error, 1)
			go func() {
				if got := <-w.C; got != reply {
					over <- fmt.Errorf("the hub replied %s", got)
				}
				close(over)
			}()
			return over
		}
	}
	hub := func(t *testing.T) <-chan error {
		over := make(chan error, 1)
		go func() { over <- hubs[0].Flush(meshtest.Context(t)) }()
		return over
	}
	for _, tc := range []struct {
		name  string
		at    *mesh.Node // the hub that is routing
		begin func(t *testing.T) <-chan error
	}{
		{"sync at the same hub", hubs[0], client(meshtest.Sync, meshtest.Sync)},
		{"sync at another hub", hubs[1], client(meshtest.Sync, meshtest.Sync)},
		{"leaving the same hub", hubs[0], client(meshtest.Leaving, meshtest.Left)},
		{"leaving another hub", hubs[1], client(meshtest.Leaving, meshtest.Left)},
		{"Flush of another hub", hubs[1], hub},
	} {
		t.Run(tc.name, func(t *testing.T) {
			routing, held := make(chan struct{}), make(chan struct{})
			release := sync.OnceFunc(func() { close(held) })
			defer release()
			hook := func(_, name string) {
				if name == "held" {
					routing <- struct{}{}
					<-held
				}
			}
			b.onPublish.Store(&hook)
			defer b.onPublish.Store(nil)
			meshtest.Dial(t, tc.at.URL(), nil).Send(`{"event":"held"}`)
			<-routing
			over := tc.begin(t)
			select {
			case <-over:
				require.Fail(t, "the hub did not wait")
			case <-time.After(50 * time.Millisecond):
			}
			release()
			require.NoError(t, <-over)
		})
	}
}

// If another hub exists and does not respond, the hub does not report success to a client.
func TestSyncFailsWhileAHubIsSilent(t *testing.T) {
	const (
		hubTimeout = 3 * time.Second // without a message, a hub counts as gone
		tries      = 2               // attempts before the hub lets a client leave
	)
	synctest.Test(t, func(t *testing.T) {
		b := new(mesh.LocalBackplane)
		_, network := serveInMemory(t, mesh.Options{Backplane: b})
		mute, err := b.Join("mute", func(string, []byte) {})
		require.NoError(t, err)
		mute.Subscribe("$hubs", "$hub-mute")
		ctx, silence := context.WithCancel(t.Context())
		go func() {
			for ctx.Err() == nil {
				_ = mute.Publish("$hubs", []byte(`c{"kind":"here","count":1}`), nil)
				select {
				case <-time.After(time.Second):
				case <-ctx.Done():
				}
			}
		}()
		synctest.Wait()
		w := dialInMemory(t, network)
		w.Send(meshtest.Offer("client", ""))
		require.Contains(t, w.Next(), "$mesh.hello")
		start := time.Now()
		w.Send(meshtest.Sync)
		require.Contains(t, w.Next(), `"error":"unanswered"`)
		require.InDelta(t, hubTimeout, time.Since(start), float64(time.Second))
		start = time.Now()
		w.Send(meshtest.Leaving)
		require.Equal(t, meshtest.Left, w.Next(), "the hub lets the client leave all the same")
		require.InDelta(t, tries*hubTimeout, time.Since(start), float64(3*time.Second))
		require.Less(t, time.Since(start), 10*time.Second, "a client waits no longer")

		silence() // the hub gives up the silent hub, which is not a response, either
		w.Send(meshtest.Sync)
		require.Contains(t, w.Next(), `"error":"unanswered"`)
		time.Sleep(hubTimeout)
		w.Send(meshtest.Sync)
		require.Equal(t, meshtest.Sync, w.Next(), "the silent hub is gone")
		require.NoError(t, mute.Close())
	})
}
