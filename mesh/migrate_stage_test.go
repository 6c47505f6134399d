package mesh_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// stage is an in-memory network, in a bubble, with fake hubs: http://a, http://b and so on.
type stage struct {
	t       *testing.T
	network *meshtest.Network
	hubs    map[string]*meshtest.Hub
}

func onStage(t *testing.T, names string, act func(t *testing.T, s *stage)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := &stage{t: t, network: meshtest.NewNetwork(t), hubs: make(map[string]*meshtest.Hub)}
		for name := range strings.SplitSeq(names, "") {
			s.hubs[name] = meshtest.NewHub(t, name)
			s.network.Serve(name, s.hubs[name])
		}
		act(t, s)
	})
}

// onlyUp makes all hubs except one accept no connections.
func (s *stage) onlyUp(hub string) {
	for name := range s.hubs {
		s.network.SetDown(name, name != hub)
	}
}

// connect connects a client to hub a. The client has the addresses of the other hubs, too.
func (s *stage) connect(opts mesh.Options) (*mesh.Node, *meshtest.Peer) {
	s.t.Helper()
	var addrs []string
	for name := range s.hubs {
		addrs = append(addrs, "http://"+name)
	}
	s.onlyUp("a")
	opts.Addr, opts.HTTPClient, opts.Transports = strings.Join(addrs, ","), s.network.Client, overWebSocket
	n, err := mesh.Connect(meshtest.Context(s.t), &opts)
	require.NoError(s.t, err)
	s.t.Cleanup(func() { require.NoError(s.t, n.Close()) })
	for name := range s.hubs {
		s.network.SetDown(name, false)
	}
	p := s.arrival("a")
	require.Contains(s.t, p.Hello, `"moves":true`)
	return n, p
}

// arrival waits for the next client of a hub.
func (s *stage) arrival(hub string) *meshtest.Peer {
	s.t.Helper()
	return s.hubs[hub].Peers.Next()
}

// actor is a client that moves between the hubs of a stage, and plays the steps of a test.
type actor struct {
	*stage
	node    *mesh.Node
	heard   ears                      // events with the name e
	changes <-chan mesh.State         // reports of OnState
	at      map[string]*meshtest.Peer // the client's newest session at each hub
}

// step is one step of a move. A step has either hub and one field about an action there, or one of the last fields.
type step struct {
	hub     string // a hub of the stage
	arrives bool   // the client connects to the hub
	sends   string // a packet that the hub sends
	events  []int  // the hub sends events with these numbers, see meshtest.Event
	syncs   bool   // the client sends $mesh.sync, and the hub replies
	gets    string // the next packet that the hub receives contains this text
	quiet   bool   // the hub receives nothing
	dies    bool   // the hub breaks the client's connection
	left    bool   // the client has closed the connection

	emits []int  // the client emits own events with these payloads
	hears string // the payloads that the client's listener got since the last such step
}

// act connects a client to hub a, which listens to the event e.
func (s *stage) act(opts mesh.Options) *actor {
	s.t.Helper()
	n, old := s.connect(opts)
	a := &actor{stage: s, node: n, at: map[string]*meshtest.Peer{"a": old}}
	a.heard = listenTo(s.t, n, "e")
	a.changes = states(n)
	a.play(step{hub: "a", gets: `"mesh::e"`})
	return a
}

// play plays steps in order.
func (a *actor) play(steps ...step) {
	a.t.Helper()
	for i, s := range steps {
		peer, where := a.at[s.hub], fmt.Sprintf("step %d: %+v", i, s)
		switch {
		case s.arrives:
			a.at[s.hub] = a.arrival(s.hub)
		case s.sends != "":
			peer.Send(s.sends)
		case s.events != nil:
			for _, n := range s.events {
				peer.Send(foreign(n))
			}
		case s.syncs:
			peer.AnswerSync()
		case s.gets != "":
			require.Contains(a.t, peer.Next(), s.gets, where)
		case s.quiet:
			synctest.Wait()
			require.Empty(a.t, peer.C, where)
		case s.dies:
			synctest.Wait() // until the client has the packets
			peer.Socket.Abort(nil)
		case s.left:
			synctest.Wait()
			require.True(a.t, peer.Ended(), where)
		case s.emits != nil:
			synctest.Wait() // until the client has the packets
			for _, n := range s.emits {
				require.NoError(a.t, a.node.Emit("own", n), where)
			}
		default:
			require.Equal(a.t, s.hears, strings.Join(heardPayloads(a.heard), " "), where)
		}
	}
}

// movesTo returns the steps from a hub's request to move until the client waits for that hub's last packet.
func movesTo(old, next string) []step {
	return []step{{hub: old, sends: meshtest.Move}, {hub: next, arrives: true}, {hub: next, syncs: true}, {hub: old, gets: meshtest.Leaving}}
}

// foreign returns an event of another node.
func foreign(n int) string {
	return fmt.Sprintf(`{"event":"e","payload":%d,"from":"other","n":%d}`, n, n)
}

// own returns the packet for the client's own event.
func own(i int) string { return fmt.Sprintf(`{"event":"own","payload":%d,"n":%d}`, i, i) }

// heardPayloads returns the payloads that have arrived so far, in a bubble.
func heardPayloads(e ears) (all []string) {
	synctest.Wait()
	for _, ev := range e.All() {
		all = append(all, string(ev.Payload))
	}
	return all
}
