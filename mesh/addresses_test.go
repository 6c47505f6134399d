package mesh_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestConnectPicksOneOfSeveralAddresses(t *testing.T) {
	a, b := listen(t, mesh.Options{}), listen(t, mesh.Options{})
	picked := map[string]int{}
	for range 40 { // both are picked, except with a probability of 2 in 10^12
		n, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: a.Addr() + "," + b.Addr()})
		require.NoError(t, err)
		info, _ := n.Hub()
		require.Equal(t, map[string]string{a.Addr(): a.ID(), b.Addr(): b.ID()}[n.Addr()], info.ID)
		picked[n.Addr()]++
		require.NoError(t, n.Close())
	}
	require.Len(t, picked, 2)
}

func TestConnectSkipsAddressesWithoutAHub(t *testing.T) {
	hub := listen(t, mesh.Options{})
	dead, deaf := stableAddr(t), meshtest.StartProxy(t, "127.0.0.1:1")
	for range 4 {
		n := connectTo(t, mesh.Options{Addr: dead + ", " + deaf.Addr() + ", " + hub.Addr()})
		require.Equal(t, hub.Addr(), n.Addr())
	}
	_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: dead + "," + deaf.Addr()})
	require.ErrorContains(t, err, dead)
	require.ErrorContains(t, err, deaf.Addr())
}

func TestConnectEndsAtTheFirstHubThatRefuses(t *testing.T) {
	refusing, admitting := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")}), listen(t, mesh.Options{})
	refusals := 0
	for range 20 {
		n, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: refusing.Addr() + "," + admitting.Addr()})
		if err == nil {
			require.NoError(t, n.Close())
			continue
		}
		var refused *mesh.AuthError
		require.ErrorAs(t, err, &refused)
		refusals++
	}
	require.Positive(t, refusals) // except with a probability of one in a million
}

func TestClientComesBackLastToTheHubThatItLost(t *testing.T) {
	t.Parallel() // it waits for a timer
	a, b := listen(t, mesh.Options{}), listen(t, mesh.Options{})
	proxies := map[string]*meshtest.Proxy{}
	addr := ""
	for _, hub := range []*mesh.Node{a, b} {
		p := meshtest.StartProxy(t, hub.Addr())
		proxies[hub.ID()] = p
		addr += "," + p.Addr()
	}
	n := connectTo(t, mesh.Options{Addr: addr[1:], Transports: overWebSocket})
	changes := states(n)
	at, _ := n.Hub()
	for range 8 {
		proxies[at.ID].Cut()
		now := awaitStatus(t, changes, mesh.Connected).Hub
		require.NotEqual(t, at, now)
		at = now
	}
}

func TestClientMovesToAnotherAddressWhenItsHubIsLost(t *testing.T) {
	a, b := listen(t, mesh.Options{Addr: stableAddr(t)}), listen(t, mesh.Options{Addr: stableAddr(t)})
	n := connectTo(t, mesh.Options{Addr: a.Addr() + "," + stableAddr(t) + "," + b.Addr()})
	from, to := a, b
	if n.Addr() == b.Addr() {
		from, to = b, a
	}
	heard := listenTo(t, n, "e")
	changes := states(n)
	require.NoError(t, from.Close())
	awaitStatus(t, changes, mesh.Disconnected)
	require.NoError(t, n.Emit("late", nil))
	require.Equal(t, to.ID(), awaitStatus(t, changes, mesh.Connected).Hub.ID)
	require.Equal(t, to.Addr(), n.Addr())
	require.NoError(t, n.Flush(meshtest.Context(t)))
	require.EqualValues(t, 1, to.Stats().Received)
	require.NoError(t, to.Emit("e", 1))
	require.Equal(t, "1", string(heard.Next().Payload))

	// Then back to a hub at the first address.
	back := listen(t, mesh.Options{Addr: from.Addr()})
	require.NoError(t, to.Close())
	require.Equal(t, back.ID(), awaitStatus(t, changes, mesh.Connected).Hub.ID)
	require.Equal(t, from.Addr(), n.Addr())
}
