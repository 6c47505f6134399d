package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// cluster starts n hubs of one mesh.
func cluster(t *testing.T, n int, opts mesh.Options) []*mesh.Node {
	t.Helper()
	opts.Backplane = new(mesh.LocalBackplane)
	hubs := make([]*mesh.Node, n)
	for i := range hubs {
		hubs[i] = listen(t, opts)
	}
	return hubs
}

func TestEventsReachEveryHubOfAClusterOnce(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{})
	var clients []*mesh.Node
	var heard []ears
	for _, h := range hubs {
		for range 2 {
			c := connect(t, h, mesh.Options{})
			clients = append(clients, c)
			heard = append(heard, listenTo(t, c, "n::*", "n::**", "**")) // each event arrives three times, once for each listener
		}
	}
	nodes := append(slices.Clone(hubs), clients...)
	for _, h := range hubs {
		heard = append(heard, listenTo(t, h, "n::*", "n::**", "**"))
	}
	const events = 500
	var wg sync.WaitGroup
	for _, n := range nodes {
		wg.Go(func() {
			for i := range events {
				assert.NoError(t, n.Emit(fmt.Sprintf("n::%d", i%7), i))
			}
		})
	}
	wg.Wait()
	for _, e := range heard {
		next := make(map[string]int)
		for range 3 * events * len(nodes) {
			ev := e.Next()
			var i int
			require.NoError(t, ev.Decode(&i))
			require.Equal(t, next[ev.From]/3, i, "from %s", ev.From)
			next[ev.From]++
		}
		require.Len(t, next, len(nodes))
		require.Empty(t, e.C)
	}
	for _, h := range hubs {
		s := h.Stats()
		require.Equal(t, 2, s.Hubs)
		require.EqualValues(t, 3*events, s.HubsOut)
		require.EqualValues(t, 6*events, s.HubsIn)
		require.Zero(t, s.HubsDropped)
		require.Positive(t, s.HubsBytesIn)
		require.NoError(t, h.Ready())
	}
}

// An event crosses only to a hub that has a subscriber.
func TestEventsCrossOnlyToHubsThatWantThem(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	a, b := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	there := listenTo(t, b, "wanted", "p::*")
	listenTo(t, a, "local")
	off := b.On("later", func(mesh.Event) {})
	flush(t, b)
	off()
	flush(t, b)
	for _, name := range []string{"local", "unwanted", "later", "p", "p::q::r", "p::q", "wanted"} {
		require.NoError(t, a.Emit(name, nil))
	}
	require.Equal(t, "p::q", there.Next().Name)
	require.Equal(t, "wanted", there.Next().Name)
	// A hub counts the events of another hub after it has routed them.
	require.Eventually(t, func() bool { return hubs[1].Stats().HubsIn > 1 }, meshtest.Patience, time.Millisecond)
	require.EqualValues(t, 2, hubs[1].Stats().HubsIn)
}

// When a client's Flush has returned, all hubs know the client's listener. When a hub's Flush has returned, all hubs
// have routed the hub's events.
func TestFlushCoversTheOtherHubs(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{})
	listener, emitter := connect(t, hubs[1], mesh.Options{}), connect(t, hubs[2], mesh.Options{})
	for i := range 200 {
		name := fmt.Sprint("x", i)
		heard := make(chan mesh.Event, 1)
		off := listener.On(name, func(e mesh.Event) { heard <- e })
		flush(t, listener)
		require.NoError(t, emitter.Emit(name, i))
		select {
		case <-heard:
		case <-time.After(meshtest.Patience):
			require.FailNow(t, "lost", "%d", i)
		}
		off()
	}
	require.NoError(t, hubs[0].Emit("y", 1))
	flush(t, hubs[0])
}

// Peers that are not of this package get the same packets from several hubs as from one. The emitter's hub numbers
// their events.
func TestOtherPeersAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	here, there, native := meshtest.Dial(t, hubs[0].URL(), nil), meshtest.Dial(t, hubs[1].URL(), nil), meshtest.Dial(t, hubs[1].URL(), nil)
	there.Send(meshtest.Table("mesh::e"), `{"event":"barrier","payload":{}}`)
	native.Send(offer(testKey, `,"eventTable":{"mesh::e":{}}`))
	require.Contains(t, native.Next(), "$mesh.hello")
	require.NoError(t, there.Socket.Ping(meshtest.Context(t)))
	require.NoError(t, native.Socket.Ping(meshtest.Context(t)))

	here.Send(`{"event":"e","payload":{"a":"é","id":"forged"},"n":77,"from":"forged","headers":{"auth":{"user":"u"}}}`, `{"event":"e","payload":"s"}`)
	first := there.Next()
	nodes, err := hubs[0].Nodes(meshtest.Context(t))
	require.NoError(t, err)
	id := nodes[1].ID
	require.Equal(t, `{"event":"e","payload":{"a":"\u00e9","id":"`+id+`"}}`, first)
	require.Equal(t, `{"event":"e","payload":{"a":"é","id":"forged"},"from":"`+id+`","n":1}`, native.Next())
	require.Equal(t, `{"event":"e","payload":"s"}`, there.Next())
	require.Equal(t, `{"event":"e","payload":"s","from":"`+id+`","n":2}`, native.Next())

	// In a hub's own events the payload has no sender, at another hub as at the hub itself.
	require.NoError(t, hubs[0].Emit("e", map[string]int{"a": 1}))
	require.Equal(t, `{"event":"e","payload":{"a":1}}`, there.Next())
	require.Equal(t, `{"event":"e","payload":{"a":1},"from":"`+hubs[0].ID()+`","n":1}`, native.Next())
}

func TestRequestsAcrossHubs(t *testing.T) {
	hubs := cluster(t, 3, mesh.Options{})
	a, b := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	b.Reply("sum", func(e mesh.Event) (any, error) {
		var terms []int
		if err := e.Decode(&terms); err != nil {
			return nil, err
		}
		return terms[0] + terms[1], nil
	})
	flush(t, b)
	for _, asker := range []*mesh.Node{a, hubs[0], hubs[1], hubs[2]} {
		e, err := asker.Request(meshtest.Context(t), "sum", []int{1, 2})
		require.NoError(t, err)
		require.JSONEq(t, "3", string(e.Payload))
		require.Equal(t, b.ID(), e.From)
		_, err = asker.Request(meshtest.Context(t), "nobody", nil)
		require.ErrorIs(t, err, mesh.ErrNoListener)
	}
	_, err := a.Request(meshtest.Context(t), "sum", []string{"x"})
	require.ErrorAs(t, err, new(*mesh.RemoteError))
}

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

// The hub of a peer decides the peer's permissions.
func TestPermissionsAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		return event != "may::not::"+a.String()
	}})
	a, b := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	heard := listenTo(t, b, "**")
	for _, name := range []string{"may::not::emit", "may::not::listen", "may"} {
		require.NoError(t, a.Emit(name, nil))
	}
	heard.silentUntil("may")
	require.EqualValues(t, 1, hubs[0].Stats().NotPermitted)
	require.EqualValues(t, 1, hubs[1].Stats().Withheld)
}

// fakeHub is a member of a backplane that publishes messages that no real hub publishes.
type fakeHub struct {
	mesh.BackplaneMember
	id  string
	got chan string
}

func joinFake(t *testing.T, b mesh.Backplane, id string) *fakeHub {
	f := &fakeHub{id: id, got: make(chan string, 1000)}
	var err error
	f.BackplaneMember, err = b.Join(id, func(from string, data []byte) { f.got <- from + " " + string(data) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	f.Subscribe("$hubs", "$hub-"+id)
	return f
}

// A hub drops invalid messages of another hub, and continues.
// Advisories: CVE-2025-61765
func TestHubMessagesAreData(t *testing.T) {
	t.Parallel() // it waits for a timer
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "**")
	f := joinFake(t, b, "fake")
	say := func(name, data string) { require.NoError(t, f.Publish(name, []byte(data), nil)) }
	field := func(s string) string {
		require.Less(t, len(s), 128)
		return string(rune(len(s))) + s
	}
	events := func(name, from string, numbersAndPayloads ...string) string {
		return "e" + field(name) + field(from) + strings.Join(numbersAndPayloads, "")
	}
	for _, invalid := range []string{"$mesh.hello", "mesh::x", "newListener", "a*", "**", "", "a\xff"} {
		say("e", events(invalid, "someone", "\x01", field("1")))
	}
	for _, garbage := range []string{
		"", "x", "e", "e\xff", "e\x05{}", "e\x01e", "e\x01e\x01", "e\x01e\x01x", "e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01{}",
		events("e", "someone", "\x01"), events("e", "someone", "\x01\x05{}"), events("e", "someone", "\x80"), events("e", "some\xff", "\x01", field("1")),
		events("e", "someone", "\x80\x80\x80\x80\x80\x80\x80\x10", field("1")), events("e", "someone", "\x01", field("1 1")), events("e", "someone", "\x01", field(`"\xff"`)), "c", "c{", "c[]", "c{}", "c null",
		`c{"kind":"later","more":[1,{"x":null}]}`, `c{"kind":"nodes","after":-5,"limit":-1}`, `c{"kind":"nodes","after":999999999,"limit":99999}`,
		`c{"kind":"answer","rid":1}`, `c{"kind":"answer","rid":18446744073709551615}`, `c{"kind":"explain"}`, `c{"kind":"emitter","from":"x"}`,
		`c{"kind":"join"}`, `c{"kind":"leave","node":{"id":5}}`, `c{"kind":"leave","node":{}}`, `c{"kind":5}`,
		`c{"kind":"hello","hub":{"id":"` + hub.ID() + `","role":"client"}}`,
	} {
		say("$hubs", garbage)
		say("e", garbage)
	}
	// A malformed event does not affect the other events of its frame.
	say("e", events("e", "someone", "\x01", field("{"), "\x02", field("1")))
	e := heard.Next()
	require.Equal(t, mesh.Event{Name: "e", Payload: json.RawMessage("1"), From: "someone"}, e)
	require.Greater(t, hub.Stats().Malformed, uint64(15))
	flush(t, c)
	require.Empty(t, heard.C)
	nodes, err := c.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Equal(t, hub.ID(), nodes[0].ID, "no hub replies for another hub")
}

// The other hubs give up a silent hub and continue.
func TestSilentHubIsGivenUp(t *testing.T) {
	t.Parallel() // it waits for a timer
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	f := joinFake(t, b, "fake")
	require.NoError(t, f.Publish("$hubs", []byte(`c{"kind":"hello","hub":{"name":"fake"}}`), nil))
	c := connect(t, hub, mesh.Options{})
	gone := make(chan mesh.Presence, 10)
	c.OnPresence(func(p mesh.Presence) {
		if p.Node.Role == mesh.RoleHub {
			gone <- p
		}
	})
	listenTo(t, c, "e") // this waits until the hub gives up the fake hub, and never again
	require.Zero(t, hub.Stats().Hubs)
	nodes, err := c.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	require.NoError(t, hub.Ready())
}

// The hubs do not wait for a hub that has died: no member subscribes to its name any more.
func TestDeadHubIsNotWaitedFor(t *testing.T) {
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	c := connect(t, hub, mesh.Options{})
	for i := range 3 {
		f := joinFake(t, b, fmt.Sprint("fake", i))
		require.NoError(t, f.Publish("$hubs", []byte(`c{"kind":"hello","hub":{"name":"fake"}}`), nil))
		require.Contains(t, <-f.got, "here")
		require.NoError(t, f.Close()) // the fake hub does not say goodbye
	}
	listenTo(t, c, "e")
	flush(t, hub)
	nodes, err := c.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	_, err = c.Explain(meshtest.Context(t), mesh.ExplainQuery{To: "nobody", Event: "e"})
	require.ErrorIs(t, err, mesh.ErrUnknownNode)
	require.Equal(t, 3, hub.Stats().Hubs, "they were given up, and that was waited for")
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

func TestHubWhoseBackplaneRefusesIt(t *testing.T) {
	refuse := errors.New("no")
	_, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0", Backplane: refusing{refuse}})
	require.ErrorIs(t, err, refuse)
	_, err = mesh.NewHub(&mesh.Options{Backplane: refusing{refuse}})
	require.ErrorIs(t, err, refuse)
}

type refusing struct{ err error }

func (r refusing) Join(string, func(string, []byte)) (mesh.BackplaneMember, error) { return nil, r.err }

// Hubs split batches of events, so that the backplane need not carry a message larger than the largest event.
func TestLargeEventsAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	a, b := connect(t, hubs[0], mesh.Options{Transports: []engineio.Transport{engineio.WebSocket}}), connect(t, hubs[1], mesh.Options{})
	heard := listenTo(t, b, "e")
	sizes := []int{1, 60_000, 10, 60_000, 900_000, 10, 999_000, 1}
	for _, n := range sizes {
		require.NoError(t, a.Emit("e", json.RawMessage(slices.Repeat([]byte("1"), n))))
		flush(t, a)
	}
	for _, n := range sizes {
		require.Len(t, heard.Next().Payload, n)
	}
}

// A node that takes over from a hub joins the other hubs.
func TestHealedHubJoinsTheOthers(t *testing.T) {
	b := new(mesh.LocalBackplane)
	other := listen(t, mesh.Options{Backplane: b})
	hub := listen(t, mesh.Options{Backplane: b})
	heir, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: hub.URL(), Backplane: b})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, heir.Close()) })
	heard := listenTo(t, heir, "e")
	became := make(chan struct{})
	heir.OnState(func(s mesh.State) {
		if s.Role == mesh.RoleHub {
			close(became)
		}
	})
	require.NoError(t, hub.Close())
	<-became
	flush(t, heir)
	require.NoError(t, other.Emit("e", 1))
	require.Equal(t, "e", heard.Next().Name)
	back := listenTo(t, other, "f")
	require.NoError(t, heir.Emit("f", 1))
	require.Equal(t, heir.ID(), back.Next().From)
}

func TestFlushAtAHubEndsWithItsContext(t *testing.T) {
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	f := joinFake(t, b, "fake")
	require.NoError(t, f.Publish("$hubs", []byte(`c{"kind":"here"}`), nil))
	require.Contains(t, <-f.got, "hello")
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	require.ErrorIs(t, hub.Flush(ctx), context.Canceled)
}
