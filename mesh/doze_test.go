package mesh_test

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
)

// A hub that did not run for some time, because its process was stopped, gives up no other hub. It asks the others
// before it routes events of its peers, because a peer's node may be at another hub by now.
func TestHubThatDidNotRunAsksTheOthersFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := new(hookedBackplane)
		stopped, other := serveInMemory(t, mesh.Options{Backplane: b}), serveInMemory(t, mesh.Options{Backplane: b})
		arrive := func(hub *memoryHub, conn int) *wire {
			w := dialWire(t, "http://mesh", &engineio.DialOptions{Revision: engineio.Revision3, Transports: overWebSocket, HTTPClient: hub.client})
			w.send(offerOf("node", onConn(conn)))
			require.Contains(t, w.next(), "$mesh.hello")
			return w
		}
		heard := listenTo(t, stopped.Node, "e")
		old := arrive(stopped, 1)
		old.numbers(1, 2)
		old.barrier()

		// Stop the hub, as far as the others can see: it publishes no heartbeat, and receives nothing.
		stop := make(chan struct{})
		run := sync.OnceFunc(func() { close(stop) })
		defer run()
		publish := func(hub, name string, _ []byte) {
			if hub == stopped.ID() && name == "$hubs" {
				<-stop
			}
		}
		receive := func(hub string) {
			if hub == stopped.ID() {
				<-stop
			}
		}
		b.onPublish.Store(&publish)
		b.onReceive.Store(&receive)
		time.Sleep(time.Minute)
		require.Zero(t, other.Stats().Hubs, "the other hub has given it up")
		back := arrive(other, 2)
		back.numbers(5, 6)
		back.barrier()

		// The hub runs again. First it reads the events that the node sent before.
		old.numbers(3, 4)
		synctest.Wait()
		run()
		require.Equal(t, []string{"1", "2", "5", "6"}, heardNumbers(heard))
		require.EqualValues(t, 2, stopped.Stats().Late)
		require.Equal(t, 1, stopped.Stats().Hubs, "the other hub was not silent")
		b.onPublish.Store(nil)
		b.onReceive.Store(nil)
		require.NoError(t, old.sock.Close())
		require.NoError(t, back.sock.Close())
		stopped.stop(t)
		other.stop(t)
	})
}
