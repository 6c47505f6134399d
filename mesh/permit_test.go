package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

func TestPermitLimitsEmittersAndListeners(t *testing.T) {
	hub := listen(t, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		switch {
		case a == mesh.ActionEmit:
			return !strings.HasPrefix(event, "orders::")
		case event == "secret" || event == "also::secret":
			return p.Name == "boss"
		}
		return true
	}})
	boss, other := connect(t, hub, mesh.Options{Name: "boss"}), connect(t, hub, mesh.Options{Name: "other"})
	atBoss, atOther := listenTo(t, boss, "**"), listenTo(t, other, "**", "secret", "also::*")
	foreign := meshtest.Dial(t, hub.URL(), nil)
	foreign.Send(meshtest.Table("mesh::secret", "mesh::*"))
	foreign.Barrier()
	atHub := listenTo(t, hub, "**")

	for _, event := range []string{"secret", "also::secret", "public"} {
		require.NoError(t, hub.Emit(event, nil))
		atBoss.silentUntil(event)
		atHub.silentUntil(event)
	}
	atOther.silentUntil("public")
	require.Equal(t, []string{`{"event":"public"}`}, foreign.Received())
	require.EqualValues(t, 3, hub.Stats().Withheld)

	foreign.Send(`{"event":"orders::1","payload":1}`, `{"event":"order","payload":2}`)
	atHub.silentUntil("order")
	atBoss.silentUntil("order")
	require.NoError(t, other.Emit("orders::2", nil))
	require.NoError(t, other.Emit("order", nil))
	atHub.silentUntil("order")
	require.EqualValues(t, 2, hub.Stats().NotPermitted)
	require.NoError(t, hub.Emit("orders::3", nil))
	atBoss.silentUntil("order")
	atBoss.silentUntil("orders::3")
	eventually(t, "the client knows", func() bool { return other.Stats().RejectedByHub == 1 })
}

func TestPermitSeesWhomAuthorizeHasAdmitted(t *testing.T) {
	var mu sync.Mutex
	seen := map[string]mesh.PeerInfo{}
	permit := func(p mesh.PeerInfo, _ mesh.Action, _ string) bool {
		mu.Lock()
		defer mu.Unlock()
		seen[p.User] = p
		return p.User == "ann"
	}
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("ann", "p"), Permit: permit})
	ann := connect(t, hub, mesh.Options{Name: "n", User: "ann", Password: "p"})
	heard := listenTo(t, hub, "e")
	require.NoError(t, ann.Emit("e", 1))
	heard.Next()
	mu.Lock()
	p := seen["ann"]
	mu.Unlock()
	require.Equal(t, ann.ID(), p.ID)
	require.Equal(t, "n", p.Name)
	require.NotEmpty(t, p.RemoteAddr)

	// Without Authorize, the hub has not checked a peer's credentials.
	open := listen(t, mesh.Options{Permit: permit})
	liar := connect(t, open, mesh.Options{User: "ann", Password: "x"})
	require.NoError(t, liar.Emit("e", 1))
	flush(t, liar)
	require.EqualValues(t, 1, open.Stats().NotPermitted)
}

func TestPermitIsAskedOnceForAName(t *testing.T) {
	var asked atomic.Int32
	var allowed atomic.Bool
	hub := listen(t, mesh.Options{Permit: func(mesh.PeerInfo, mesh.Action, string) bool {
		asked.Add(1)
		return allowed.Load()
	}})
	sender, listener := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
	heard := listenTo(t, listener, "**")
	emit := func() {
		for range 100 {
			require.NoError(t, sender.Emit("e", nil))
		}
		flush(t, sender)
	}
	emit()
	require.EqualValues(t, 1, asked.Load(), "whether the sender may emit")
	allowed.Store(true)
	emit()
	require.EqualValues(t, 1, asked.Load())
	hub.ForgetPermits()
	emit()
	require.EqualValues(t, 3, asked.Load(), "and whether the listener may hear")
	for range 100 {
		heard.Next()
	}
	require.EqualValues(t, 200, hub.Stats().NotPermitted)
	sender.ForgetPermits() // has no effect at a client
}

func TestPermitIsAskedAgainForOtherCredentials(t *testing.T) {
	hub := listen(t, mesh.Options{
		Authorize: func(_ context.Context, c mesh.Credentials) error { return nil },
		Permit:    func(p mesh.PeerInfo, _ mesh.Action, _ string) bool { return p.User == "b" },
	})
	heard := listenTo(t, hub, "e")
	w := meshtest.Dial(t, hub.URL(), nil)
	for _, user := range []string{"a", "b", "c", "b"} {
		w.Send(fmt.Sprintf(authPacket, user, "p"))
	}
	w.Barrier()
	require.EqualValues(t, 2, hub.Stats().NotPermitted)
	heard.Next()
	heard.Next()
	require.Empty(t, heard.C)
}

// The hub remembers a limited number of decisions for a peer, whatever names the peer uses.
func TestPermitDecisionsAreBounded(t *testing.T) {
	var asked atomic.Int32
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Permit: func(mesh.PeerInfo, mesh.Action, string) bool {
		asked.Add(1)
		return true
	}})
	w := meshtest.Dial(t, hub.URL(), nil)
	const names = 2000
	emit := func(name string) { w.Send(fmt.Sprintf(`{"event":%q}`, name)) }
	for range 2 {
		for i := range names {
			emit(fmt.Sprint("n", i))
		}
	}
	w.Barrier()
	require.Greater(t, int(asked.Load()), 2*names-2*512, "few were remembered")
	before := asked.Load()
	for range 2 {
		for i := range 20 {
			emit(fmt.Sprint(i, strings.Repeat("x", 400)))
		}
	}
	w.Barrier()
	require.LessOrEqual(t, int(asked.Load()-before), 40)
	require.Equal(t, uint64(2*names+40), hub.Stats().Received)
}

// Queries reveal nothing that the hub does not permit.
// Advisories: CVE-2026-33249
func TestPermitAppliesToQueries(t *testing.T) {
	hub := listen(t, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		switch p.Name {
		case "none":
			return !protocol.Reserved(event)
		case "some":
			return protocol.Reserved(event) && a == mesh.ActionEmit || event == "heard" && a == mesh.ActionListen || event == "said" && a == mesh.ActionEmit
		}
		return event != "kept"
	}})
	none, some, all := connect(t, hub, mesh.Options{Name: "none"}), connect(t, hub, mesh.Options{Name: "some"}), connect(t, hub, mesh.Options{Name: "all"})
	listenTo(t, all, "**")
	_, err := none.Nodes(meshtest.Context(t))
	require.ErrorIs(t, err, mesh.ErrNotPermitted)
	_, err = none.Explain(meshtest.Context(t), mesh.ExplainQuery{To: all.ID(), Event: "x"})
	require.ErrorIs(t, err, mesh.ErrNotPermitted)
	said := make(chan mesh.Presence, 10)
	defer none.OnPresence(func(p mesh.Presence) { said <- p })()
	_, err = none.Nodes(meshtest.Context(t))
	require.ErrorIs(t, err, mesh.ErrNotPermitted)
	connect(t, hub, mesh.Options{})
	flush(t, none)
	require.Empty(t, said)

	nodes(t, some)
	_, err = some.Explain(meshtest.Context(t), mesh.ExplainQuery{To: all.ID(), Event: "x"})
	require.ErrorIs(t, err, mesh.ErrNotPermitted)
	for _, event := range []string{"heard", "said"} {
		e, err := some.Explain(meshtest.Context(t), mesh.ExplainQuery{To: all.ID(), Event: event})
		require.NoError(t, err)
		require.True(t, e.Delivered)
	}
	for _, c := range []struct {
		from, to *mesh.Node
		event    string
		want     mesh.Explanation
	}{
		{some, all, "x", mesh.Explanation{Rule: protocol.RuleMayNotEmit}},
		{some, hub, "x", mesh.Explanation{Rule: protocol.RuleMayNotEmit}},
		{some, all, "said", mesh.Explanation{Delivered: true, Rule: protocol.RuleListens, Match: "**"}},
		{hub, all, "kept", mesh.Explanation{Rule: protocol.RuleMayNotListen, Match: "**"}},
	} {
		got, err := hub.Explain(meshtest.Context(t), mesh.ExplainQuery{From: c.from.ID(), To: c.to.ID(), Event: c.event})
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(c.want, got), c.event)
	}
}

func TestPeerInfoShowsNoCredentials(t *testing.T) {
	p := mesh.PeerInfo{ID: "id1", Credentials: mesh.Credentials{User: "tainted", Password: "tainted", Name: "n", RemoteAddr: "r"}}
	var logs meshtest.Log
	logs.Logger().Info("x", "peer", p)
	b, err := json.Marshal(map[string]any{"p": p})
	require.NoError(t, err)
	said := fmt.Sprintf("%v %+v %#v %s %q %d %x", p, p, p, p, p, p, p) + logs.String() + string(b)
	require.NotContains(t, said, "tainted")
	require.Contains(t, said, "id1")
	require.Equal(t, "emit listen Action(7)", fmt.Sprint(mesh.ActionEmit, " ", mesh.ActionListen, " ", mesh.Action(7)))
}

// TestWatchEndsWhenPermitRevokesIt checks that a peer receives no presence reports after it has lost the permission
// for the query.
func TestWatchEndsWhenPermitRevokesIt(t *testing.T) {
	var forbidden atomic.Bool
	hub := listen(t, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		return event != "$mesh.nodes" || p.Name != "watcher" || !forbidden.Load()
	}})
	watcher, other := connect(t, hub, mesh.Options{Name: "watcher"}), connect(t, hub, mesh.Options{})
	told, toldOther := watching(t, watcher), watching(t, other)
	first := connect(t, hub, mesh.Options{})
	require.Equal(t, first.ID(), nextPresence(t, told).Node.ID)
	require.Equal(t, first.ID(), nextPresence(t, toldOther).Node.ID)
	forbidden.Store(true)
	hub.ForgetPermits()
	second := connect(t, hub, mesh.Options{})
	require.Equal(t, second.ID(), nextPresence(t, toldOther).Node.ID)
	flush(t, watcher)
	require.Empty(t, told)
}
