package mesh_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// A hub that did not run for some time, because its process was stopped, gives up no other hub. It asks the others
// before it routes events of its peers, because a peer's node may be at another hub by now.
func TestHubThatDidNotRunAsksTheOthersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(hookedBackplane)
		stopped, atStopped := serveInMemory(t, mesh.Options{Backplane: b})
		other, atOther := serveInMemory(t, mesh.Options{Backplane: b})
		arrive := func(network *meshtest.Network, conn int) *meshtest.Session {
			w := dialInMemory(t, network)
			w.Send(meshtest.Offer("node", meshtest.Conn(conn)))
			require.Contains(t, w.Next(), "$mesh.hello")
			return w
		}
		heard := listenTo(t, stopped, "e")
		old := arrive(atStopped, 1)
		old.SendEvents(1, 2)
		old.Barrier()

		// Stop the hub, as far as the others can see: it publishes no heartbeat, and receives nothing.
		stop := make(chan struct{})
		rejoin := b.cutOff(stopped.ID())
		run := sync.OnceFunc(func() { close(stop); rejoin() })
		defer run()
		publish := func(hub, name string) {
			if hub == stopped.ID() && name == "$hubs" {
				<-stop
			}
		}
		b.onPublish.Store(&publish)
		time.Sleep(time.Minute)
		require.Zero(t, other.Stats().Hubs, "the other hub has given it up")
		back := arrive(atOther, 2)
		back.SendEvents(5, 6)
		back.Barrier()

		// The hub runs again. First it reads the events that the node sent before.
		old.SendEvents(3, 4)
		synctest.Wait()
		run()
		require.Equal(t, []string{"1", "2", "5", "6"}, heardPayloads(heard))
		require.EqualValues(t, 2, stopped.Stats().Late)
		require.Equal(t, 1, stopped.Stats().Hubs, "the other hub was not silent")
	})
}
