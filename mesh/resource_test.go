package mesh_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// calls collects the events with which a resource's methods and listeners are called.
type calls struct {
	ears
}

func collectCalls(t testing.TB) calls { return calls{ears{meshtest.NewRecorder[mesh.Event](t), t}} }

// noneUntil checks that no event is left, by a mark that takes the same way as the events.
func (c calls) noneUntil(t testing.TB, n, other *mesh.Node) {
	t.Helper()
	off := n.On("mark", c.Add)
	defer off()
	flush(t, n)
	require.NoError(t, other.Emit("mark", nil))
	c.silentUntil("mark")
}

func TestAMethodRunsOnceForEachEventOfAnotherNode(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		r := n.Resource("creature")
		ran := collectCalls(t)
		r.Method("talk", ran.Add)
		r.SetRemote(true)
		flush(t, n)
		require.NoError(t, other.Emit("creature::talk", map[string]string{"text": "hi"}))
		want := mesh.Event{Name: "creature::talk", Payload: []byte(`{"text":"hi"}`), From: other.ID()}
		require.Empty(t, cmp.Diff(want, ran.Next()))
		require.NoError(t, other.Emit("creature::fly", nil))
		require.NoError(t, n.Emit("creature::talk", "own"))
		ran.noneUntil(t, n, other)
	})
}

func TestAMethodOfAResourceThatIsNotRemoteRunsForCallOnly(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		ran, heard, everything := collectCalls(t), collectCalls(t), collectCalls(t)
		r := n.Resource("creature")
		r.Method("talk", ran.Add)
		r.On("talk", ran.Add)
		// These listeners have the event delivered. The method must not run because of that.
		n.On("creature::talk", heard.Add)
		n.On("**", everything.Add)
		flush(t, n)
		require.NoError(t, other.Emit("creature::talk", 1))
		require.Equal(t, "1", string(heard.Next().Payload))
		require.Equal(t, "1", string(everything.Next().Payload))
		ran.noneUntil(t, n, other)

		require.NoError(t, r.Call("talk", 2))
		for _, at := range []calls{ran, ran, heard} {
			require.Empty(t, cmp.Diff(mesh.Event{Name: "creature::talk", Payload: []byte(`2`), From: n.ID()}, at.Next()))
		}
	})
}

func TestACallStaysLocal(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		at := listenTo(t, other, "**")
		ran := collectCalls(t)
		r := n.Resource("creature")
		r.SetRemote(true)
		r.Method("talk", func(e mesh.Event) {
			if string(e.Payload) == "1" {
				require.NoError(t, r.Call("talk", 2), "in a callback")
			}
			ran.Add(e)
		})
		n.OnAny(func(mesh.Event) { t.Error("a call is no event of this node's") })
		require.NoError(t, r.Call("talk", 1))
		require.Equal(t, "1", string(ran.Next().Payload))
		require.Equal(t, "2", string(ran.Next().Payload))
		flush(t, n)
		require.NoError(t, other.Emit("end", nil))
		at.silentUntil("end")
	})
}

func TestHubRelaysEventsOfItsOwnResource(t *testing.T) {
	hub := listen(t, mesh.Options{})
	a, b := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
	ran := collectCalls(t)
	for _, n := range []*mesh.Node{hub, b} {
		r := n.Resource("creature")
		r.Method("talk", ran.Add)
		r.SetRemote(true)
		flush(t, n)
	}
	require.NoError(t, a.Emit("creature::talk", nil))
	ran.Next()
	ran.Next()
}

func TestRemoteIsSwitchedWhileConnected(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		ran := collectCalls(t)
		r := n.Resource("creature")
		off := r.Method("talk", ran.Add)
		for i, remote := range []bool{true, false, false, true, true} {
			r.SetRemote(remote)
			require.Equal(t, remote, r.Remote())
			flush(t, n)
			require.NoError(t, other.Emit("creature::talk", i))
			if remote {
				ran.Next()
			} else {
				ran.noneUntil(t, n, other)
			}
		}
		off()
		off()
		flush(t, n)
		require.NoError(t, other.Emit("creature::talk", nil))
		ran.noneUntil(t, n, other)
		require.ErrorIs(t, r.Call("talk", nil), mesh.ErrNoMethod)
		r.Method("talk", ran.Add)
		require.NoError(t, r.Call("talk", nil))
		ran.Next()
	})
}

// Events that were queued when remote was switched off do not run the method, either.
func TestQueuedEventsDoNotRunAMethodThatIsNoLongerRemote(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	ran := collectCalls(t)
	started, release := make(chan struct{}), make(chan struct{})
	r := c.Resource("creature")
	r.SetRemote(true)
	r.Method("talk", func(e mesh.Event) {
		if string(e.Payload) == "0" {
			close(started)
			<-release
		}
		ran.Add(e)
	})
	flush(t, c)
	for i := range 3 {
		require.NoError(t, hub.Emit("creature::talk", i))
	}
	<-started
	flush(t, c) // the other events are queued
	r.SetRemote(false)
	close(release)
	require.Equal(t, "0", string(ran.Next().Payload))
	ran.noneUntil(t, c, hub)
}

func TestTableOfAResource(t *testing.T) {
	const remote, local = `"creature::talk":{"remote":true}`, `"creature::talk":{"remote":false}`
	nothing := func(mesh.Event) {}
	h := meshtest.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: h.URL})
	announced := func(want string) {
		t.Helper()
		flush(t, c)
		packets := h.Received("handshake")
		require.Contains(t, packets[len(packets)-1], `"eventTable":{`+want+`}`)
	}
	r := c.Resource("creature")
	require.Same(t, r, c.Resource("creature"))
	require.Equal(t, "creature", r.Name())
	r.SetRemote(true)
	announced(``)
	before := len(h.Received("handshake"))
	off := r.Method("talk", nothing)
	announced(remote)
	r.SetRemote(false)
	announced(local)
	r.SetRemote(false)
	announced(local)
	require.Len(t, h.Received("handshake"), before+2, "without a change there is no announcement")

	// One name, two keys: other listeners on this node subscribe to an event that the resource excludes.
	offOrdinary := c.On("creature::talk", nothing)
	announced(remote + `,"mesh::creature::talk":{"remote":true}`)
	offOrdinary()
	announced(local)
	offPattern := c.On("creature::*", nothing)
	announced(`"creature::*":{"remote":true},` + remote + `,"mesh::creature::*":{"remote":true}`)
	offPattern()
	announced(local)

	offListener := r.On("fly", nothing)
	announced(`"creature::fly":{"remote":false},` + local)
	r.SetRemote(true)
	announced(`"creature::fly":{"remote":true},` + remote)
	off()
	offListener()
	announced(``)
}

// A hub does not deliver the events of a resource to a Node.js client while the resource is not remote, even if the
// same process also listens to the event. The client's library runs the method whenever the event arrives.
func TestAHubKeepsEventsFromOriginalResourcesThatAreNotRemote(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"handshake","payload":{},"eventTable":{"creature::talk":{"remote":false},"mesh::creature::talk":{"remote":true}},"headers":{"auth":{}}}`)
	w.Barrier()
	require.NoError(t, hub.Emit("creature::talk", nil))
	require.Empty(t, w.Received())
	w.Send(`{"event":"handshake","payload":{},"eventTable":{"creature::talk":{"remote":true},"mesh::creature::talk":{"remote":true}},"headers":{"auth":{}}}`)
	w.Barrier()
	require.NoError(t, hub.Emit("creature::talk", nil))
	require.Len(t, w.Received(), 1)
}

func TestMisusedResources(t *testing.T) {
	n := listen(t, mesh.Options{})
	r := n.Resource("creature")
	for _, name := range []string{"", "a::b", "mesh", "*", "a*", "a:", "\xff", strings.Repeat("x", 600)} {
		require.Panics(t, func() { n.Resource(name) }, "%.20q", name)
	}
	for _, name := range []string{"", "a::b", "*", "**", "\xff", strings.Repeat("x", 600)} {
		require.Panics(t, func() { r.Method(name, func(mesh.Event) {}) }, "%.20q", name)
		require.Panics(t, func() { r.On(name, func(mesh.Event) {}) }, "%.20q", name)
		require.ErrorIs(t, r.Call(name, nil), mesh.ErrNoMethod)
	}
	require.Panics(t, func() { r.Method("talk", nil) })
	require.Panics(t, func() { r.On("talk", nil) })
	r.Method("talk", func(mesh.Event) {})
	require.Panics(t, func() { r.Method("talk", func(mesh.Event) {}) })
	require.Error(t, r.Call("talk", make(chan int)))
	require.NoError(t, n.Close())
	require.ErrorIs(t, r.Call("talk", nil), mesh.ErrClosed)
	r.SetRemote(true)
	r.Method("fly", func(mesh.Event) {})()
}

func TestCallsAreBoundedAsOtherCallbacks(t *testing.T) {
	n := listen(t, mesh.Options{CallbackLimit: 1000})
	release := make(chan struct{})
	r := n.Resource("creature")
	r.Method("talk", func(mesh.Event) { <-release })
	var err error
	for range 100 {
		if err = r.Call("talk", strings.Repeat("x", 100)); err != nil {
			break
		}
	}
	require.ErrorIs(t, err, mesh.ErrQueueFull)
	close(release)
}
