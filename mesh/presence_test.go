package mesh_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// nodes returns the result of Nodes, by ID.
func nodes(t testing.TB, n *mesh.Node) map[string]mesh.NodeInfo {
	t.Helper()
	all, err := n.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Equal(t, mesh.RoleHub, all[0].Role)
	byID := map[string]mesh.NodeInfo{}
	for _, i := range all {
		require.NotContains(t, byID, i.ID)
		byID[i.ID] = i
	}
	return byID
}

func TestNodesListsTheNodes(t *testing.T) {
	before := time.Now().Add(-time.Second)
	hub := listen(t, mesh.Options{Name: "middle"})
	listenTo(t, hub, "at::hub")
	a := connect(t, hub, mesh.Options{Name: "a", Transports: overWebSocket})
	listenTo(t, a, "x::y", "z::**")
	polling := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision4, Transports: []engineio.Transport{engineio.Polling}})
	polling.Send(meshtest.Table("mesh::old", "mesh::silent"))
	eventually(t, "the other one is there", func() bool { return hub.Stats().Peers == 2 })

	atHub, atClient := nodes(t, hub), nodes(t, a)
	var foreign string
	for _, all := range []map[string]mesh.NodeInfo{atHub, atClient} {
		require.Len(t, all, 3)
		for id, i := range all {
			require.Len(t, id, 32)
			require.WithinRange(t, i.Since, before, time.Now())
			require.False(t, i.LastSeen.Before(i.Since), "%v", i)
			require.False(t, i.LastSeen.After(time.Now()))
			if !i.Negotiated {
				foreign = id
			}
		}
	}
	ignoreTimes := func(i mesh.NodeInfo) mesh.NodeInfo {
		i.Since, i.LastSeen = time.Time{}, time.Time{}
		if i.Role == mesh.RoleClient {
			require.Equal(t, hub.ID(), i.Hub)
			i.Hub = ""
			require.Regexp(t, `^(127\.0\.0\.1|\[::1\]):\d+$`, i.Addr)
			i.Addr = ""
		}
		return i
	}
	require.Empty(t, cmp.Diff(mesh.NodeInfo{
		ID: hub.ID(), Name: "middle", Role: mesh.RoleHub, Addr: hub.Addr(), Negotiated: true, Interests: []string{"at::hub"},
	}, ignoreTimes(atClient[hub.ID()])))
	require.Empty(t, cmp.Diff(mesh.NodeInfo{
		ID: a.ID(), Name: "a", Role: mesh.RoleClient, Transport: string(engineio.WebSocket), Revision: 3, Negotiated: true,
		Interests: []string{"x::y", "z::**"},
	}, ignoreTimes(atClient[a.ID()])))
	require.Empty(t, cmp.Diff(mesh.NodeInfo{
		ID: foreign, Role: mesh.RoleClient, Transport: string(engineio.Polling), Revision: 4, Interests: []string{"old", "silent"},
	}, ignoreTimes(atClient[foreign])))
	for id := range atHub {
		require.Empty(t, cmp.Diff(ignoreTimes(atHub[id]), ignoreTimes(atClient[id])))
	}
}

func TestLastSeenMovesWithPacketsAndHeartbeats(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(meshtest.Table("mesh::x"))
	w.Barrier()
	seen := func() time.Time {
		all, err := hub.Nodes(meshtest.Context(t))
		require.NoError(t, err)
		require.Len(t, all, 2)
		return all[1].LastSeen
	}
	for name, move := range map[string]func(){
		"an event": func() { w.Send(`{"event":"e"}`) },
		"a ping":   w.Barrier,
	} {
		before := seen()
		eventually(t, name, func() bool {
			move()
			return seen().After(before)
		})
	}
}

func TestManyNodesComeInPages(t *testing.T) {
	const count = 600 // more than two full pages
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	a := connect(t, hub, mesh.Options{Transports: overWebSocket})
	for i := range count {
		meshtest.DialRaw(t, hub.Addr(), meshtest.Table(fmt.Sprintf("mesh::%d", i)))
	}
	require.Len(t, nodes(t, a), count+2)
	require.Len(t, nodes(t, hub), count+2)

	// The packets are small, whatever limit the query has.
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"$mesh.nodes","payload":{"rid":"a","limit":1000000}}`)
	var answer struct {
		Payload struct {
			RID, You string
			Total    int
			Next     int
			Nodes    []mesh.NodeInfo
		}
	}
	got := w.Next()
	require.Less(t, len(got), 65<<10)
	require.NoError(t, json.Unmarshal([]byte(got), &answer))
	require.Equal(t, "a", answer.Payload.RID)
	require.Equal(t, count+3, answer.Payload.Total)
	require.LessOrEqual(t, len(answer.Payload.Nodes), 257)
	require.Contains(t, nodes(t, hub), answer.Payload.You)
	require.Positive(t, answer.Payload.Next)
	w.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"rid":7,"limit":2,"after":%d}}`, answer.Payload.Next))
	require.Contains(t, w.Next(), `{"event":"$mesh.nodes","payload":{"rid":7,"you":"`)
}

func TestDescriptionOfANodeIsBounded(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	for range 30 {
		w := meshtest.Dial(t, hub.URL(), nil)
		var keys []string
		for i := range 4000 {
			keys = append(keys, fmt.Sprintf("mesh::%04d", i)+strings.Repeat("\u00e9", 20))
		}
		w.Send(meshtest.Table(keys...), meshtest.Table(append(keys[:30:30], "mesh::"+strings.Repeat("\x01", protocol.MaxName))...))
		w.Barrier()
	}
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"$mesh.nodes","payload":{}}`)
	got := w.Next()
	require.Less(t, len(got), 65<<10)
	var answer struct {
		Payload struct{ Nodes []mesh.NodeInfo }
	}
	require.NoError(t, json.Unmarshal([]byte(got), &answer))
	one := answer.Payload.Nodes[1]
	require.LessOrEqual(t, len(one.Interests), 32)
	require.Equal(t, 31, len(one.Interests)+one.More)
}

func TestQuestionsThatMakeNoSenseAreRefused(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	bad := 0
	for _, packet := range []string{
		`{"event":"$mesh.nodes"}`, `{"event":"$mesh.nodes","payload":null}`, `{"event":"$mesh.nodes","payload":[]}`,
		`{"event":"$mesh.nodes","payload":{"after":"x"}}`, `{"event":"$mesh.nodes","payload":{"rid":"` + strings.Repeat("x", 100) + `"}}`,
		`{"event":"$mesh.explain","payload":1}`, `{"event":"$mesh.explain","payload":{"to":"` + strings.Repeat("x", 200) + `","event":"x"}}`,
		`{"event":"$mesh.explain","payload":{"to":"x","event":"` + strings.Repeat("x", 600) + `"}}`,
	} {
		w.Send(packet)
		got := w.Next()
		if strings.Contains(packet, "null") {
			require.Contains(t, got, `"nodes":[`, "null is as good as {}")
			continue
		}
		bad++
		require.Contains(t, got, `"error":"bad-question"`, packet)
		require.Less(t, len(got), 200)
	}
	require.EqualValues(t, bad, hub.Stats().Malformed)
	for _, packet := range []string{
		`{"event":"$mesh.nodes","payload":{"after":-5,"limit":-1}}`, `{"event":"$mesh.nodes","payload":{"after":99999999}}`,
	} {
		w.Send(packet)
		require.Contains(t, w.Next(), `"nodes":[`)
	}
}

func TestFastQuestionsWaitTheirTurn(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	start := time.Now()
	const asked = 40
	for range asked {
		w.Send(`{"event":"$mesh.nodes","payload":{}}`)
	}
	w.Send(`{"event":"x"}`)
	for range asked {
		w.Next()
	}
	require.GreaterOrEqual(t, time.Since(start), (asked-20-1)*time.Second/50)
	other := connect(t, hub, mesh.Options{})
	nodes(t, other)
}

// TestQuestionsThatAreMuchWorkCountAsSeveral checks the rate limit of expensive queries. A response with 256 nodes
// takes the hub one or two milliseconds, in which no other peer can join or leave.
func TestQuestionsThatAreMuchWorkCountAsSeveral(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	for i := range 255 {
		meshtest.DialRaw(t, hub.Addr(), meshtest.Table(fmt.Sprintf("mesh::%d", i)))
	}
	large := meshtest.Dial(t, hub.URL(), nil)
	var keys []string
	for i := range 2000 {
		keys = append(keys, fmt.Sprintf("mesh::%04d", i)+strings.Repeat("x", 50))
	}
	large.Send(offer(testKey, ""), meshtest.Table(keys...))
	large.Barrier()
	for name, c := range map[string]struct {
		question string
		counts   int
	}{
		"many nodes":    {`{"event":"$mesh.nodes","payload":{}}`, 1 + 128/32}, // the maximum number of nodes in the size limit
		"few nodes":     {`{"event":"$mesh.nodes","payload":{"limit":3}}`, 1},
		"a large table": {`{"event":"$mesh.explain","payload":{"to":"` + protocol.ID(testKey) + `","event":"x"}}`, 1 + len(meshtest.Table(keys...))/(16<<10)},
		"no table":      {`{"event":"$mesh.explain","payload":{"to":"` + hub.ID() + `","event":"x"}}`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := meshtest.Dial(t, hub.URL(), nil)
			asked := 30/c.counts + 2
			start := time.Now()
			for range asked {
				w.Send(c.question)
				require.NotContains(t, w.Next(), `"error"`)
			}
			waited := time.Duration((asked-1)*c.counts-20) * time.Second / 50 // the next query would wait for the last one
			require.GreaterOrEqual(t, time.Since(start), waited-time.Second/50)
		})
	}
}

// watching collects the reports of OnPresence.
func watching(t *testing.T, n *mesh.Node) chan mesh.Presence {
	said := make(chan mesh.Presence, 1000)
	t.Cleanup(n.OnPresence(func(p mesh.Presence) { said <- p }))
	_, err := n.Nodes(meshtest.Context(t)) // no node is missed after this
	require.NoError(t, err)
	return said
}

func nextPresence(t *testing.T, said chan mesh.Presence) mesh.Presence {
	t.Helper()
	select {
	case p := <-said:
		return p
	case <-time.After(meshtest.Patience):
		require.FailNow(t, "no node joined or left")
		return mesh.Presence{}
	}
}

func TestPresenceReportsJoinsAndLeaves(t *testing.T) {
	hub := listen(t, mesh.Options{})
	watcher := connect(t, hub, mesh.Options{Name: "watcher"})
	idle := connect(t, hub, mesh.Options{Name: "idle"})
	page := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision4})
	page.Send(meshtest.Table("mesh::x"), `{"event":"$mesh.nodes","payload":{"rid":1,"watch":true,"limit":1}}`)
	require.Contains(t, page.Next(), `"total":4`)
	atHub, atClient := watching(t, hub), watching(t, watcher)

	heard := listenTo(t, hub, "news")
	guest := meshtest.Dial(t, hub.URL(), nil)
	guest.Send(strings.Replace(meshtest.Table("mesh::a"), "handshake", "news", 1))
	id := heard.Next().From
	for _, said := range []chan mesh.Presence{atHub, atClient} {
		p := nextPresence(t, said)
		require.True(t, p.Joined)
		require.Equal(t, id, p.Node.ID)
		require.Equal(t, []string{"a"}, p.Node.Interests, "with the table that it brought")
	}
	require.Contains(t, page.Next(), `{"event":"$mesh.join","payload":{"id":"`+id+`","role":"client"`)
	require.NoError(t, guest.Socket.Close())
	for _, said := range []chan mesh.Presence{atHub, atClient} {
		p := nextPresence(t, said)
		require.False(t, p.Joined)
		require.Equal(t, id, p.Node.ID)
		require.Equal(t, []string{"a"}, p.Node.Interests)
	}
	require.Contains(t, page.Next(), `{"event":"$mesh.leave","payload":{"id":"`+id+`"`)

	page.Send(`{"event":"$mesh.nodes","payload":{"watch":false,"limit":1}}`)
	page.Next()
	last := connect(t, hub, mesh.Options{Name: "last"})
	require.Equal(t, last.ID(), nextPresence(t, atClient).Node.ID)
	page.Send(`{"event":"$mesh.nodes","payload":{"limit":1}}`)
	require.Contains(t, page.Next(), `$mesh.nodes`, "it got no reports meanwhile")
	require.Zero(t, idle.Stats().Reserved+watcher.Stats().Reserved)
}

func TestPresenceGoesOnAfterAReconnect(t *testing.T) {
	hub := listen(t, mesh.Options{})
	p := meshtest.StartProxy(t, hub.Addr())
	watcher := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	said, changes := watching(t, watcher), states(watcher)
	p.Cut()
	awaitStatus(t, changes, mesh.Disconnected)
	awaitStatus(t, changes, mesh.Connected)
	nodes(t, watcher)
	for len(said) > 0 {
		<-said // the node's own new connection, if the hub noticed the old one late
	}
	other := connect(t, hub, mesh.Options{})
	require.Equal(t, other.ID(), nextPresence(t, said).Node.ID)
}

func TestANodeThatIsBackHasNotLeft(t *testing.T) {
	hub := listen(t, mesh.Options{})
	said := watching(t, hub)
	first := meshtest.Dial(t, hub.URL(), nil)
	first.Send(strings.Replace(offer(testKey, ""), `"wire"`, `"first"`, 1))
	require.Equal(t, "first", nextPresence(t, said).Node.Name)
	second := meshtest.Dial(t, hub.URL(), nil)
	second.Send(strings.Replace(offer(testKey, ""), `"wire"`, `"second"`, 1))
	require.Equal(t, "second", nextPresence(t, said).Node.Name)
	all := nodes(t, hub)
	require.Len(t, all, 2)
	require.Equal(t, "second", all[protocol.ID(testKey)].Name)
	require.NoError(t, first.Socket.Close())
	eventually(t, "the first has left", func() bool { return hub.Stats().Peers == 1 })
	require.NoError(t, second.Socket.Close())
	p := nextPresence(t, said)
	require.False(t, p.Joined)
	require.Equal(t, "second", p.Node.Name)
	require.Empty(t, said)
}

func TestTheMutedAreListedButHaveNotJoined(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")})
	said := watching(t, hub)
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(meshtest.Table("mesh::x"), `{"event":"$mesh.nodes","payload":{"watch":true}}`)
	require.Empty(t, w.Received(), "it gets no reports")
	all, err := hub.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, all, 2)
	require.True(t, all[1].Muted)
	require.Empty(t, all[1].Interests)
	require.Empty(t, said)

	w.Send(fmt.Sprintf(authPacket, "u", "p"))
	p := nextPresence(t, said)
	require.True(t, p.Joined)
	require.False(t, p.Node.Muted)
	require.Equal(t, []string{"news"}, p.Node.Interests)
	w.Send(fmt.Sprintf(authPacket, "u", "wrong"))
	require.False(t, nextPresence(t, said).Joined)
}

func TestDescriptionOfANodeHasNoSecret(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("user-u", "pass-p")})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(`{"event":"handshake","headers":{"auth":{"user":"user-u","password":"pass-p"},"mesh":{"v":1,"key":"` + testKey + `"}}}`)
	w.Send(`{"event":"$mesh.nodes","payload":{"watch":true}}`)
	w.Barrier()
	connect(t, hub, mesh.Options{User: "user-u", Password: "pass-p"})
	w.Next() // the hello packet
	said := w.Next() + w.Next()
	require.Contains(t, said, "$mesh.join")
	for _, secret := range []string{testKey, "user-u", "pass-p", w.Socket.ID()} {
		require.NotContains(t, said, secret)
	}
}

func TestWatchersAreBounded(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	const watch = `{"event":"$mesh.nodes","payload":{"watch":true,"limit":1}}`
	watchers := make([]net.Conn, 256)
	for i := range watchers {
		watchers[i] = meshtest.DialRaw(t, hub.Addr(), watch)
	}
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(watch)
	require.Contains(t, w.Next(), `"error":"too-many-watchers"`)
	c := connect(t, hub, mesh.Options{})
	defer c.OnPresence(func(mesh.Presence) {})()
	_, err := c.Nodes(meshtest.Context(t))
	require.ErrorIs(t, err, mesh.ErrTooManyWatchers)

	// A query without a watch gets a response. After one watcher has left, there is room for another one.
	require.Len(t, nodes(t, connect(t, hub, mesh.Options{})), 256+4)
	require.NoError(t, watchers[0].Close())
	eventually(t, "there is room", func() bool {
		w.Send(watch)
		return strings.Contains(w.Next(), `"nodes":[`)
	})
}

func TestQueriesWaitForAHubAndEndWithTheNode(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c, p, changes := offline(t, hub, mesh.Options{})
	short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Nodes(short)
	require.ErrorIs(t, err, context.DeadlineExceeded)
	require.ErrorContains(t, err, "mesh: the hub did not answer")
	done := make(chan error, 1)
	go func() {
		_, err := c.Nodes(context.Background())
		done <- err
	}()
	p.Open()
	require.NoError(t, <-done)
	p.Close()
	awaitStatus(t, changes, mesh.Disconnected)
	go func() {
		_, err := c.Nodes(context.Background())
		done <- err
	}()
	require.NoError(t, c.Close())
	require.ErrorIs(t, <-done, mesh.ErrClosed)
}

// A hub of the original does not respond to queries, so the client must not send any.
func TestANodeHubIsNotAsked(t *testing.T) {
	hub := meshtest.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: hub.URL})
	_, err := c.Nodes(meshtest.Context(t))
	require.ErrorIs(t, err, mesh.ErrLegacyHub)
	_, err = c.Explain(meshtest.Context(t), mesh.ExplainQuery{To: "someone", Event: "x"})
	require.ErrorIs(t, err, mesh.ErrLegacyHub)
	defer c.OnPresence(func(mesh.Presence) {})()
	c.On("exact", func(mesh.Event) {})
	c.On("a::*", func(mesh.Event) {})
	flush(t, c)
	for event, want := range map[string]mesh.Explanation{
		"exact": {Delivered: true, Rule: protocol.RuleListens, Match: "exact"},
		"a::b":  {Rule: protocol.RuleLegacyHub, Match: "a::*"},
		"other": {Rule: protocol.RuleNoListener},
		"$x":    {Rule: protocol.RuleReserved},
	} {
		got, err := c.Explain(meshtest.Context(t), mesh.ExplainQuery{To: c.ID(), Event: event})
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(want, got), event)
	}
	for _, p := range hub.Packets() {
		require.NotContains(t, p, "$mesh")
	}
}

// The clients of one user cannot use up the room for all watchers.
func TestWatchersOfOneUserAreBounded(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: func(context.Context, mesh.Credentials) error { return nil }})
	watch := func(user string) string {
		w := meshtest.Dial(t, hub.URL(), nil)
		w.Send(fmt.Sprintf(`{"event":"$mesh.nodes","payload":{"limit":1,"watch":true},"headers":{"auth":{"user":%q}}}`, user))
		return w.Next()
	}
	for range 64 {
		require.NotContains(t, watch("ann"), "error")
	}
	require.Contains(t, watch("ann"), `"too-many-watchers"`)
	require.NotContains(t, watch("bob"), "error")
	require.EqualValues(t, 1, hub.Stats().RejectedWatchers)
}
