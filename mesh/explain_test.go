package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

func TestExplainSaysWhichRuleDecides(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")})
	member := mesh.Options{User: "u", Password: "p"}
	asker, native := connect(t, hub, member), connect(t, hub, member)
	listenTo(t, native, "exact", "a::*", "error")
	listenTo(t, hub, "hub::**")
	const admitted = `"headers":{"auth":{"user":"u","password":"p"}}`
	foreign := meshtest.Dial(t, hub.URL(), nil)
	foreign.Send(`{"event":"handshake","eventTable":{"mesh::**":{},"mesh::no":{"remote":false},"no::way":{"remote":false}},` + admitted + `}`)
	bare := meshtest.Dial(t, hub.URL(), nil)
	bare.Send(`{"event":"handshake","eventTable":{"mesh::no":{"remote":false}},` + admitted + `}`)
	muted := meshtest.Dial(t, hub.URL(), nil)
	muted.Send(meshtest.Table("mesh::exact"))
	muted.Barrier()
	foreign.Barrier()
	bare.Barrier()
	who := map[string]string{"native": native.ID(), "asker": asker.ID(), "hub": hub.ID()}
	for id, i := range nodes(t, hub) {
		switch {
		case i.Muted:
			who["muted"] = id
		case !i.Negotiated && len(i.Interests) == 0:
			who["bare"] = id
		case !i.Negotiated:
			who["foreign"] = id
		}
	}
	require.Len(t, who, 6)
	listens := func(match string) mesh.Explanation {
		return mesh.Explanation{Delivered: true, Rule: protocol.RuleListens, Match: match}
	}
	by := func(rule mesh.Rule) mesh.Explanation { return mesh.Explanation{Rule: rule} }
	for _, c := range []struct {
		from, to, event string
		want            mesh.Explanation
	}{
		{"", "native", "exact", listens("exact")},
		{"", "native", "a::b", listens("a::*")},
		{"", "native", "error", listens("error")},
		{"", "native", "b", by(protocol.RuleNoListener)},
		{"", "native", "$mesh.nodes", by(protocol.RuleReserved)},
		{"", "native", "a::*", by(protocol.RuleReserved)},
		{"", "native", "", by(protocol.RuleReserved)},
		{"foreign", "native", "exact", listens("exact")},
		{"native", "native", "exact", by(protocol.RuleSender)},
		{"hub", "native", "exact", listens("exact")},
		{"muted", "native", "exact", by(protocol.RuleMuted)},
		{"", "muted", "exact", by(protocol.RuleMuted)},
		{"", "foreign", "x", listens("**")},
		{"", "foreign", "no", by(protocol.RuleNotRemote)},
		{"", "foreign", "no::way", by(protocol.RuleNotRemote)},
		{"", "foreign", "error", mesh.Explanation{Rule: protocol.RuleErrorName, Match: "**"}},
		{"", "bare", "no", by(protocol.RuleNotRemote)},
		{"", "bare", "x", by(protocol.RuleNoListener)},
		{"", "hub", "hub::x", listens("hub::**")},
		{"native", "hub", "hub::x", listens("hub::**")},
		{"hub", "hub", "hub::x", listens("hub::**")},
		{"", "hub", "x", by(protocol.RuleNoListener)},
		{"muted", "hub", "hub::x", by(protocol.RuleMuted)},
	} {
		for _, n := range []*mesh.Node{asker, hub} {
			got, err := n.Explain(meshtest.Context(t), mesh.ExplainQuery{From: who[c.from], To: who[c.to], Event: c.event})
			require.NoError(t, err, "%+v", c)
			require.Empty(t, cmp.Diff(c.want, got), "%+v", c)
		}
	}
	for _, n := range []*mesh.Node{asker, hub} {
		_, err := n.Explain(meshtest.Context(t), mesh.ExplainQuery{To: "nobody", Event: "x"})
		require.ErrorIs(t, err, mesh.ErrUnknownNode)
		_, err = n.Explain(meshtest.Context(t), mesh.ExplainQuery{From: "nobody", To: native.ID(), Event: "x"})
		require.ErrorIs(t, err, mesh.ErrUnknownNode)
	}
}

// Explain predicts the delivery of events.
func TestExplainPredictsTheDelivery(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"handshake","eventTable":{"mesh::a::**":{},"mesh::b":{},"c":{},"mesh::a::x":{"remote":false},"mesh::d":{"remote":false},"mesh::error":{},"mesh::e":null,"mesh::x::f":{}}}`)
	w.Barrier()
	all, err := hub.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	id := all[1].ID
	for _, event := range []string{"a", "a::b", "a::b::c", "a::x", "b", "b::c", "c", "d", "e", "f", "x::f", "error", "nobody"} {
		e, err := hub.Explain(meshtest.Context(t), mesh.ExplainQuery{To: id, Event: event})
		require.NoError(t, err)
		require.NoError(t, hub.Emit(event, nil))
		require.Equal(t, e.Delivered, len(w.Received()) == 1, "%s: %s", event, e.Rule)
	}
}

// TestExplainSaysThatANodeIsTooSlow delays a peer in Authorize. A hub closes a peer as soon as its queue is full, but
// the session of this peer cannot end yet.
func TestExplainSaysThatANodeIsTooSlow(t *testing.T) {
	held, release := make(chan struct{}), make(chan struct{})
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Authorize: func(_ context.Context, c mesh.Credentials) error {
		if c.User == "second" {
			close(held)
			<-release
		}
		return nil
	}})
	letGo := sync.OnceFunc(func() { close(release) })
	t.Cleanup(letGo)
	conn := meshtest.DialRaw(t, hub.Addr(), offer(testKey, `,"eventTable":{"mesh::e":{}}`))
	id := protocol.ID(testKey)
	asker := connect(t, hub, mesh.Options{})
	ask := func() mesh.Explanation {
		e, err := asker.Explain(meshtest.Context(t), mesh.ExplainQuery{To: id, Event: "e"})
		require.NoError(t, err)
		return e
	}
	require.Equal(t, mesh.Explanation{Delivered: true, Rule: protocol.RuleListens, Match: "e"}, ask())
	require.NoError(t, meshtest.WriteFrame(conn, `4`+fmt.Sprintf(authPacket, "second", "p")))
	<-held
	payload := json.RawMessage(`"` + strings.Repeat("x", 100_000) + `"`)
	for n := 0; hub.Stats().SlowPeers == 0; n++ {
		require.NoError(t, hub.Emit("e", payload))
		require.Less(t, n, 1000)
	}
	require.Equal(t, mesh.Explanation{Rule: protocol.RuleSlow, Match: "e"}, ask())
	letGo()
	eventually(t, "it is gone", func() bool { return hub.Stats().Peers == 1 })
	_, err := asker.Explain(meshtest.Context(t), mesh.ExplainQuery{To: id, Event: "e"})
	require.ErrorIs(t, err, mesh.ErrUnknownNode)
}

func TestExplainOnTheWire(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	listenTo(t, c, "a::*")
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(strings.ReplaceAll(`{"event":"$mesh.explain","payload":{"rid":[1],"to":"ID","event":"a::b"}}`, "ID", c.ID()))
	require.Equal(t, `{"event":"$mesh.explain","payload":{"rid":[1],"to":"`+c.ID()+`","event":"a::b","delivered":true,"rule":"listens","match":"a::*",`+
		`"text":"The node subscribes to this event, and no rule prevents its delivery."}}`, w.Next())
	w.Send(`{"event":"$mesh.explain","payload":{"rid":2,"to":"x","event":"a::b"}}`)
	require.Equal(t, `{"event":"$mesh.explain","payload":{"rid":2,"error":"unknown-node","message":"no node with this ID is connected to the hub"}}`, w.Next())
}

func TestEveryRuleHasASentence(t *testing.T) {
	for _, r := range []mesh.Rule{
		protocol.RuleReserved, protocol.RuleMuted, protocol.RuleSender, protocol.RuleMayNotEmit, protocol.RuleNotRemote, protocol.RuleBadTable, protocol.RuleNoListener, protocol.RuleLegacyHub,
		protocol.RuleErrorName, protocol.RuleMayNotListen, protocol.RuleSlow, protocol.RuleListens,
	} {
		require.Regexp(t, `^[A-Z].*\.$`, r.String(), string(r))
	}
	require.Equal(t, "new", mesh.Rule("new").String())
}
