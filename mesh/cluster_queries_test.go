package mesh_test

import (
	"encoding/json"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

func TestNodesOfAllHubs(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{Name: "hub"})
	const each = 300 // more than one page holds
	want := make(map[string]string)
	for _, h := range hubs {
		want[h.ID()] = ""
		var wires []*meshtest.Session
		for i := range each {
			w := meshtest.Dial(t, h.URL(), nil)
			key := fmt.Sprintf("%s-%d", h.ID(), i)
			w.Send(offer(key, ""))
			want[protocol.ID(key)] = h.ID()
			wires = append(wires, w)
		}
		for _, w := range wires {
			require.Contains(t, w.Next(), "$mesh.hello")
		}
	}
	asker := connect(t, hubs[1], mesh.Options{})
	want[asker.ID()] = hubs[1].ID()
	for _, n := range []*mesh.Node{asker, hubs[0]} {
		all, err := n.Nodes(meshtest.Context(t))
		require.NoError(t, err)
		got := make(map[string]string)
		for _, i := range all {
			require.NotContains(t, got, i.ID)
			got[i.ID] = i.Hub
		}
		require.Equal(t, want, got)
		hub, _ := n.Hub()
		require.Equal(t, hub.ID, all[0].ID, "its own hub first")
	}
	// Small pages, as another client may request them.
	w := meshtest.Dial(t, hubs[2].URL(), nil)
	w.Send(offer(testKey, ""))
	require.Contains(t, w.Next(), "$mesh.hello")
	want[protocol.ID(testKey)] = hubs[2].ID()
	got := make(map[string]string)
	for after, first := int64(0), true; first || after > 0; first = false {
		w.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":1,"limit":50,"after":%d}}`, after))
		var a struct {
			Payload struct {
				Next  int64
				Total int
				Nodes []mesh.NodeInfo
				Hubs  []mesh.NodeInfo
			}
		}
		require.NoError(t, json.Unmarshal([]byte(w.Next()), &a))
		var others []string
		for _, i := range a.Payload.Hubs {
			require.Equal(t, mesh.RoleHub, i.Role)
			require.NotEmpty(t, i.Addr)
			require.Empty(t, i.Interests)
			require.NotNil(t, i.Interests)
			others = append(others, i.ID)
		}
		if first {
			require.ElementsMatch(t, []string{hubs[0].ID(), hubs[1].ID()}, others)
		} else {
			require.Empty(t, others)
		}
		require.LessOrEqual(t, len(a.Payload.Nodes), 51)
		for _, i := range a.Payload.Nodes {
			got[i.ID] = i.Hub
		}
		after = a.Payload.Next
	}
	require.Equal(t, want, got)
}

// A list of nodes ends if the hub of the next page is gone or never existed.
func TestNodesOfAHubThatIsGone(t *testing.T) {
	hubs := []*mesh.Node{listen(t, mesh.Options{}), cluster(t, 1, mesh.Options{})[0], cluster(t, 3, mesh.Options{})[0]}
	for _, hub := range hubs {
		w := meshtest.Dial(t, hub.URL(), nil)
		w.Send(offer(testKey, ""))
		require.Contains(t, w.Next(), "$mesh.hello")
		for after := int64(3) << 32; after < 1<<52; after <<= 1 { // beyond all hubs
			w.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":1,"after":%d}}`, after))
			var a struct{ Payload map[string]any }
			require.NoError(t, json.Unmarshal([]byte(w.Next()), &a))
			require.Empty(t, a.Payload["nodes"])
			require.NotContains(t, a.Payload, "next")
		}
	}
}

func TestPresenceAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	watcher := connect(t, hubs[0], mesh.Options{})
	for _, n := range []*mesh.Node{watcher, hubs[0]} {
		seen := make(chan mesh.Presence, 100)
		off := n.OnPresence(func(p mesh.Presence) { seen <- p })
		_, err := n.Nodes(meshtest.Context(t)) // after this, the hub watches for this node, and the other hub knows it
		require.NoError(t, err)
		c := connect(t, hubs[1], mesh.Options{Name: "c"})
		p := <-seen
		if !p.Joined {
			p = <-seen // the hub may report last that the previous client has left
		}
		require.True(t, p.Joined)
		require.Equal(t, [3]string{c.ID(), "c", hubs[1].ID()}, [3]string{p.Node.ID, p.Node.Name, p.Node.Hub})
		require.NoError(t, c.Close())
		p = <-seen
		require.False(t, p.Joined)
		require.Equal(t, c.ID(), p.Node.ID)
		off()
	}
	// The watcher also gets presence reports about hubs.
	seen := make(chan mesh.Presence, 100)
	watcher.OnPresence(func(p mesh.Presence) { seen <- p })
	_, err := watcher.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.NoError(t, hubs[1].Close())
	p := <-seen
	require.False(t, p.Joined)
	require.Equal(t, [2]string{hubs[1].ID(), string(mesh.RoleHub)}, [2]string{p.Node.ID, string(p.Node.Role)})
	all, err := watcher.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, all, 2)
}

func TestExplainAcrossHubs(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		return p.Name != "silent" || a != mesh.ActionEmit || event != "secret"
	}})
	asker := connect(t, hubs[0], mesh.Options{})
	listener := connect(t, hubs[1], mesh.Options{})
	silent := connect(t, hubs[2], mesh.Options{Name: "silent"})
	listenTo(t, listener, "a::*", "secret")
	for _, n := range []*mesh.Node{asker, hubs[0]} {
		for _, tc := range []struct {
			from, to, event string
			rule            mesh.Rule
			match           string
		}{
			{"", listener.ID(), "a::b", protocol.RuleListens, "a::*"},
			{"", listener.ID(), "b", protocol.RuleNoListener, ""},
			{asker.ID(), listener.ID(), "secret", protocol.RuleListens, "secret"},
			{silent.ID(), listener.ID(), "secret", protocol.RuleMayNotEmit, ""},
			{silent.ID(), listener.ID(), "a::b", protocol.RuleListens, "a::*"},
			{listener.ID(), listener.ID(), "secret", protocol.RuleSender, ""},
			{silent.ID(), hubs[1].ID(), "x", protocol.RuleNoListener, ""},
			{silent.ID(), asker.ID(), "secret", protocol.RuleMayNotEmit, ""},
		} {
			e, err := n.Explain(meshtest.Context(t), mesh.ExplainQuery{From: tc.from, To: tc.to, Event: tc.event})
			require.NoError(t, err)
			require.Equal(t, mesh.Explanation{Delivered: tc.rule == protocol.RuleListens, Rule: tc.rule, Match: tc.match}, e, "%+v", tc)
		}
		_, err := n.Explain(meshtest.Context(t), mesh.ExplainQuery{To: "nobody", Event: "x"})
		require.ErrorIs(t, err, mesh.ErrUnknownNode)
		_, err = n.Explain(meshtest.Context(t), mesh.ExplainQuery{From: "nobody", To: listener.ID(), Event: "x"})
		require.ErrorIs(t, err, mesh.ErrUnknownNode)
	}
}

// The hubs do not wait for a silent hub after another hub has replied.
func TestOneAnswerExplains(t *testing.T) {
	b := new(mesh.LocalBackplane)
	hub, there := listen(t, mesh.Options{Backplane: b}), listen(t, mesh.Options{Backplane: b})
	f := joinFake(t, b, "fake")
	require.NoError(t, f.Publish("$hubs", []byte(`c{"kind":"hello","hub":{"name":"fake"}}`), nil))
	eventually(t, "met", func() bool { return hub.Stats().Hubs == 2 })
	for range 3 {
		why, err := hub.Explain(meshtest.Context(t), mesh.ExplainQuery{From: there.ID(), To: there.ID(), Event: "e"})
		require.NoError(t, err)
		require.Equal(t, protocol.RuleNoListener, why.Rule)
	}
	require.Equal(t, 2, hub.Stats().Hubs, "it was given up, and that was waited for")
}
