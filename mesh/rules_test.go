package mesh_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

const testKey = "00112233445566778899aabbccddeeff"

// offer returns the first packet of a client that offers the extensions.
func offer(key string, rest string) string {
	return `{"event":"handshake","payload":{},"headers":{"auth":{},"mesh":{"v":1,"key":"` + key + `","name":"wire"}}` + rest + `}`
}

func TestHubServesBothRevisions(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}, {engineio.Polling, engineio.WebSocket}} {
			w := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: rev, Transports: transports})
			w.Send(meshtest.Table("mesh::back"), `{"event":"e","payload":"é"}`)
			require.Equal(t, `"é"`, string(heard.Next().Payload))
			require.NoError(t, hub.Emit("back", "é"))
			require.Equal(t, `{"event":"back","payload":"\u00e9"}`, w.Next())
		}
	}
}

func TestClientDialsRevision3(t *testing.T) {
	var revisions []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		revisions = append(revisions, r.URL.Query().Get("EIO"))
		http.NotFound(w, r)
	}))
	defer srv.Close()
	_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: srv.URL})
	require.Error(t, err)
	require.Equal(t, []string{"3"}, revisions)
}

func TestHubIntroducesItselfToClientsThatOffer(t *testing.T) {
	hub := listen(t, mesh.Options{Name: "the hub"})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(offer(testKey, `,"eventTable":{"mesh::e":{}}`))
	var p struct {
		Event   string
		Payload map[string]any
	}
	require.NoError(t, json.Unmarshal([]byte(w.Next()), &p))
	require.Equal(t, "$mesh.hello", p.Event)
	require.Empty(t, cmp.Diff(map[string]any{"v": 1.0, "id": protocol.ID(testKey), "hub": hub.ID(), "name": "the hub"}, p.Payload))

	w.Barrier() // the hub sends hello before it delivers events
	require.NoError(t, hub.Emit("e", "é"))
	require.Equal(t, `{"event":"e","payload":"é","from":"`+hub.ID()+`","n":1}`, w.Next())
}

func TestReservedPacketsGoOnlyToClientsThatOffer(t *testing.T) {
	hub := listen(t, mesh.Options{})
	for _, first := range []string{
		meshtest.Table(), `{"event":"e"}`,
		`{"event":"handshake","headers":{"mesh":{"v":0,"key":"` + testKey + `"}}}`,
		`{"event":"handshake","headers":{"mesh":{"v":1,"key":"short"}}}`,
		`{"event":"handshake","headers":{"mesh":{"v":1}}}`,
		`{"event":"handshake","headers":{"mesh":null}}`,
	} {
		w := meshtest.Dial(t, hub.URL(), nil)
		w.Send(first, offer(testKey, "")) // the offer in the second packet comes too late
		require.Empty(t, w.Received(), first)
	}
}

func TestHelloIsTheFirstPacketALaterVersionToo(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 200 {
			_ = hub.Emit("e", nil)
		}
	}()
	w.Send(`{"event":"handshake","eventTable":{"e":{}},"headers":{"mesh":{"v":7,"key":"` + testKey + `"}}}`)
	require.Contains(t, w.Next(), `{"event":"$mesh.hello","payload":{"v":1,`)
	<-done
}

func TestClientDistinguishesHubsFromLegacyHubs(t *testing.T) {
	hub := listen(t, mesh.Options{Name: "n"})
	c := connect(t, hub, mesh.Options{})
	info, ok := c.Hub()
	require.True(t, ok)
	require.Empty(t, cmp.Diff(mesh.HubInfo{ID: hub.ID(), Name: "n"}, info))

	h := meshtest.StartLegacyHub(t)
	c = connectTo(t, mesh.Options{Addr: h.URL})
	info, ok = c.Hub()
	require.True(t, ok)
	require.Empty(t, cmp.Diff(mesh.HubInfo{Legacy: true}, info))
}

func TestHeadersAreHopByHop(t *testing.T) {
	hub := listen(t, mesh.Options{})
	ours, other := meshtest.Dial(t, hub.URL(), nil), meshtest.Dial(t, hub.URL(), nil)
	ours.Send(offer(testKey, `,"eventTable":{"mesh::e":{}}`))
	other.Send(meshtest.Table("mesh::e"))
	ours.Barrier()
	other.Barrier()
	require.Contains(t, ours.Next(), "hello")
	sender := meshtest.Dial(t, hub.URL(), nil)
	sender.Send(`{"event":"e","payload":1,"from":"forged","eventTable":{},"extra":"field","headers":{"auth":{"user":"u","password":"pw"},"mesh":{"v":1,"key":"0123456789abcdef"}}}`)
	sender.Barrier()
	require.Equal(t, `{"event":"e","payload":1,"from":"`+protocol.ID("0123456789abcdef")+`"}`, ours.Next())
	require.Equal(t, `{"event":"e","payload":1}`, other.Next())
}

func TestReservedNamesAreRefused(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	for _, n := range []*mesh.Node{hub, c} {
		for _, name := range []string{"$x", "$mesh.hello", "mesh", "mesh::x", "handshake", "newListener", "", "a::*", "**", "x*", strings.Repeat("x", 600), "\xff"} {
			require.Error(t, n.Emit(name, nil), name)
		}
		for _, name := range []string{"$x", "$mesh.hello", "mesh", "mesh::*", "handshake", "newListener", "", "a*", strings.Repeat("x", 600), "\xff"} {
			require.Panics(t, func() { n.On(name, func(mesh.Event) {}) }, name)
		}
		require.Panics(t, func() { n.On("x", nil) })
		require.Panics(t, func() { n.Many("x", 0, func(mesh.Event) {}) })
		for _, name := range []string{"$x::y", "meshes", "reply-12", "error", "a::"} {
			require.NoError(t, n.Emit(name, nil), name)
		}
	}
}

func TestAHubNeverRelaysReservedNames(t *testing.T) {
	hub := listen(t, mesh.Options{})
	atHub := listenTo(t, hub, "**")
	c := connect(t, hub, mesh.Options{})
	atClient := listenTo(t, c, "**")
	other := meshtest.Dial(t, hub.URL(), nil)
	other.Send(meshtest.Table("mesh::**", "mesh::handshake", "mesh::newListener", "$mesh.hello", "mesh::$mesh.hello", "mesh::mesh::x", "mesh", "mesh::x*"))
	other.Barrier()
	evil := meshtest.Dial(t, hub.URL(), nil)
	for _, name := range []string{"handshake", "newListener", "$mesh.hello", "$mesh.unauthorized", "$x", "mesh", "mesh::x", "x*", "**", "a::*"} {
		evil.Send(`{"event":"` + name + `","payload":{"v":1}}`)
	}
	evil.Send(`{"event":"$x::y","payload":{}}`)
	evil.Barrier()
	atHub.silentUntil("$x::y")
	atClient.silentUntil("$x::y")
	require.Len(t, other.Received(), 1)
	require.EqualValues(t, 8, hub.Stats().Reserved, "handshake and newListener are control packets")
}

func TestTheSenderComesFromTheConnection(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "e")
	forger := meshtest.Dial(t, hub.URL(), nil)
	forger.Send(`{"event":"e","payload":{"id":"` + c.ID() + `"},"from":"` + c.ID() + `"}`)
	e := heard.Next()
	require.NotEqual(t, c.ID(), e.From)
	require.Len(t, e.From, 32)
	require.NotEqual(t, forger.Socket.ID(), e.From, "a session ID is never shown")
	forger.Send(`{"event":"e"}`)
	require.Equal(t, e.From, heard.Next().From, "the same for the whole session")
}

func TestBehindANodeHubTheSenderIsThePayloadsID(t *testing.T) {
	h := meshtest.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: h.URL})
	heard := listenTo(t, c, "e")
	for payload, want := range map[string]string{`{"id":"abc"}`: "abc", `{"id":5}`: "", `[1]`: "", `{}`: "", `"x"`: ""} {
		h.Emit("e", payload)
		require.Empty(t, cmp.Diff(mesh.Event{Name: "e", Payload: json.RawMessage(payload), From: want}, heard.Next()))
	}
}

func TestClientIDIsTheSameAtEveryHub(t *testing.T) {
	one, two := listen(t, mesh.Options{}), listen(t, mesh.Options{})
	atOne, atTwo := listenTo(t, one, "e"), listenTo(t, two, "e")
	for hub, heard := range map[*mesh.Node]ears{one: atOne, two: atTwo} {
		w := meshtest.Dial(t, hub.URL(), nil)
		w.Send(offer(testKey, ""), `{"event":"e"}`)
		require.Equal(t, protocol.ID(testKey), heard.Next().From)
	}
	c := connect(t, one, mesh.Options{})
	require.NoError(t, c.Emit("e", nil))
	require.Equal(t, c.ID(), atOne.Next().From)
	require.NotEqual(t, one.ID(), two.ID())
}

func TestEmitCallsTheNodesOwnListeners(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	for _, n := range []*mesh.Node{hub, c} {
		heard := listenTo(t, n, "a::**")
		require.NoError(t, n.Emit("a", map[string]int{"x": 1}))
		require.Empty(t, cmp.Diff(mesh.Event{Name: "a", Payload: json.RawMessage(`{"x":1}`), From: n.ID()}, heard.Next()))
	}
}

func TestEventTables(t *testing.T) {
	for name, c := range map[string]struct {
		table string
		hears string
		deaf  string
	}{
		"behind the prefix":               {`{"mesh::x":{"remote":true}}`, "x", "y mesh"},
		"alone":                           {`{"x":{"remote":true}}`, "x", "y"},
		"remote missing":                  {`{"mesh::x":{}}`, "x", ""},
		"remote false":                    {`{"mesh::x":{"remote":false}}`, "", "x"},
		"last duplicate wins":             {`{"mesh::x":{"remote":false},"mesh::x":{"remote":true},"y":{},"y":{"remote":false}}`, "x", "y"},
		"false in either form":            {`{"mesh::a::b":{"remote":true},"a::b":{"remote":false}}`, "", "a::b"},
		"null entries":                    {`{"mesh::x":null,"mesh::y":{}}`, "y", "x"},
		"false beats a pattern":           {`{"mesh::**":{},"mesh::listen":{"remote":false}}`, "x", "listen"},
		"false pattern takes itself only": {`{"mesh::a::b":{},"mesh::a::*":{"remote":false}}`, "a::b", "a::c"},
		"pattern and name":                {`{"mesh::**":{},"mesh::x":{},"*":{},"x":{},"**::**":{}}`, "x y", ""},
		"escaped key":                     {`{"\u006desh::x":{}}`, "x", ""},
		"invalid subscriptions":           {`{"":{},"mesh::":{},"mesh::$x":{},"mesh::x*":{},"mesh::y":{}}`, "y", "x"},
	} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, mesh.Options{})
			w := meshtest.Dial(t, hub.URL(), nil)
			w.Send(`{"event":"handshake","payload":{},"eventTable":` + c.table + `}`)
			w.Barrier()
			for _, name := range append(strings.Fields(c.hears), strings.Fields(c.deaf)...) {
				if name != "mesh" {
					require.NoError(t, hub.Emit(name, nil))
				}
			}
			var want []string
			for name := range strings.FieldsSeq(c.hears) {
				want = append(want, `{"event":"`+name+`"}`)
			}
			require.Empty(t, cmp.Diff(want, w.Received()))
		})
	}
}

func TestTablesAreReplacedWhole(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	emit := func() []string {
		w.Barrier()
		for _, name := range []string{"a", "b", "c"} {
			require.NoError(t, hub.Emit(name, nil))
		}
		return w.Received()
	}
	a, b, c := `{"event":"a"}`, `{"event":"b"}`, `{"event":"c"}`
	w.Send(meshtest.Table("mesh::a", "mesh::b"))
	require.Equal(t, []string{a, b}, emit())
	w.Send(`{"event":"x","payload":{}}`, `{"event":"x","payload":{},"eventTable":null}`) // a packet without a table does not change the table
	require.Equal(t, []string{a, b}, emit())
	w.Send(`{"event":"newListener","payload":"c","eventTable":{"b":{},"mesh::c":{}}}`)
	require.Equal(t, []string{b, c}, emit())
	w.Send(`{"event":"x","payload":{},"eventTable":{"a":`+strings.Repeat("[", 300)+`}}`, `{"event":"x","eventTable":5}`)
	require.Equal(t, []string{b, c}, emit(), "a table that makes no sense changes nothing")
	w.Send(`{"event":"x","payload":{},"eventTable":{}}`)
	require.Empty(t, emit())
	stats := hub.Stats()
	require.EqualValues(t, 1, stats.BadTables)
	require.EqualValues(t, 1, stats.Malformed)
}

func TestClientAnnouncesItsTableAndEveryChange(t *testing.T) {
	h := meshtest.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: h.URL})
	last := func() string {
		flush(t, c)
		all := h.Received("handshake")
		var p struct {
			EventTable json.RawMessage `json:"eventTable"`
		}
		require.NoError(t, json.Unmarshal([]byte(all[len(all)-1]), &p))
		return string(p.EventTable)
	}
	require.Equal(t, `{}`, last())
	nothing := func(mesh.Event) {}
	offX := c.On("x", nothing)
	offX2 := c.On("x", nothing)
	require.Equal(t, `{"mesh::x":{"remote":true}}`, last())
	offPair := c.On("a::b", nothing)
	c.On("a::b::c", nothing)
	require.Equal(t, `{"a::b":{"remote":true},"mesh::a::b":{"remote":true},"mesh::a::b::c":{"remote":true},"mesh::x":{"remote":true}}`, last())
	offX()
	offX()
	offPair()
	require.Equal(t, `{"mesh::a::b::c":{"remote":true},"mesh::x":{"remote":true}}`, last())
	offX2()
	require.Equal(t, `{"mesh::a::b::c":{"remote":true}}`, last())

	sent := len(h.Received("handshake"))
	c.On("a::b::c", nothing) // it changes nothing
	require.NoError(t, c.Emit("e", nil))
	flush(t, c)
	require.Len(t, h.Received("handshake"), sent)
	require.NotContains(t, h.Received("e")[0], "eventTable", "only a handshake has the table")
}

func TestMoreListenersThanATableHoldsHearAllTheSame(t *testing.T) {
	listeners := protocol.MaxTableEntries + 1
	name := func(i int) string { return fmt.Sprint("event", i) }
	check := func(t *testing.T, c *mesh.Node, emit func(name string)) {
		heard := make(chan string, 10)
		for i := range listeners {
			c.On(name(i), func(e mesh.Event) { heard <- e.Name })
		}
		flush(t, c)
		for _, i := range []int{0, 77, listeners - 1} {
			emit(name(i))
			require.Equal(t, name(i), <-heard)
		}
	}
	t.Run("our hub", func(t *testing.T) {
		hub := listen(t, mesh.Options{})
		p := meshtest.StartProxy(t, hub.Addr())
		c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
		check(t, c, func(name string) { require.NoError(t, hub.Emit(name, nil)) })
		changes := states(c)
		p.Cut()
		awaitStatus(t, changes, mesh.Connected)
		check(t, c, func(name string) { require.NoError(t, hub.Emit(name, nil)) })
		require.Zero(t, hub.Stats().BadTables)
	})
	t.Run("patterns that take too many steps", func(t *testing.T) {
		hub := listen(t, mesh.Options{})
		c := connect(t, hub, mesh.Options{})
		heard := make(chan string, 10)
		for i := range 256 {
			c.On(fmt.Sprint("**::", i%16, "::**::", i/16), func(e mesh.Event) { heard <- e.Name })
		}
		flush(t, c)
		require.NoError(t, hub.Emit("not::wanted", nil))
		require.NoError(t, hub.Emit("a::7::b::15", nil))
		require.Equal(t, "a::7::b::15", <-heard)
		require.Zero(t, hub.Stats().BadTables)
	})
	t.Run("a Node.js hub", func(t *testing.T) {
		h := meshtest.StartLegacyHub(t)
		check(t, connectTo(t, mesh.Options{Addr: h.URL}), func(name string) { h.Emit(name, "{}") })
	})
}

func TestOnceAndManyAreAnnouncedOff(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	var got []string
	done := make(chan struct{})
	c.Once("a", func(e mesh.Event) { got = append(got, "once") })
	c.Many("a", 3, func(e mesh.Event) {
		if got = append(got, "many"); len(got) == 4 {
			close(done)
		}
	})
	flush(t, c)
	for range 10 {
		require.NoError(t, hub.Emit("a", nil))
	}
	<-done
	flush(t, c)
	require.Equal(t, []string{"once", "many", "many", "many"}, got)
	sent := hub.Stats().Sent
	require.NoError(t, hub.Emit("a", nil))
	require.Equal(t, sent, hub.Stats().Sent)
}

func TestPatternsOnANodeHubAreWarnedOf(t *testing.T) {
	h := meshtest.StartLegacyHub(t)
	var logs meshtest.Log
	c := connectTo(t, mesh.Options{Addr: h.URL, Logger: logs.Logger()})
	c.On("exact", func(mesh.Event) {})
	require.NotContains(t, logs.String(), "pattern")
	c.On("a::*", func(mesh.Event) {})
	require.Contains(t, logs.String(), "does not support patterns")
	require.Contains(t, logs.String(), "pattern=a::*")
}

func TestANodeHubGetsOnlyPacketsThatItReads(t *testing.T) {
	h := meshtest.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: h.URL, User: "ü", Password: "p"})
	for _, payload := range []any{nil, json.RawMessage("null"), json.RawMessage(" null "), (*int)(nil), 0, false, "", "é", []int(nil), []int{}, map[string]int{}} {
		require.NoError(t, c.Emit("e", payload))
	}
	c.On("x::**", func(mesh.Event) {})
	flush(t, c)
	var payloads []string
	for _, packet := range h.Received("e") {
		var p struct{ Payload json.RawMessage }
		require.NoError(t, json.Unmarshal([]byte(packet), &p))
		payloads = append(payloads, string(p.Payload))
		require.Contains(t, packet, `"headers":{"auth":{"user":"\u00fc","password":"p"}}`)
	}
	require.Equal(t, []string{"{}", "{}", "{}", "{}", "0", "false", `""`, `"\u00e9"`, "{}", "[]", "{}"}, payloads)

	without := meshtest.StartLegacyHub(t)
	c = connectTo(t, mesh.Options{Addr: without.URL})
	require.NoError(t, c.Emit("e", nil))
	flush(t, c)
	require.Equal(t, []string{`{"event":"e","payload":{},"headers":{"auth":{}}}`}, without.Received("e"))
}

func TestErrorIsAnOrdinaryNameButKeptFromTheOriginalsClients(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "error")
	other := meshtest.Dial(t, hub.URL(), nil)
	other.Send(meshtest.Table("mesh::error", "mesh::**"))
	other.Barrier()
	require.NoError(t, hub.Emit("error", "boom"))
	require.Equal(t, `"boom"`, string(heard.Next().Payload))
	require.Empty(t, other.Received())
}

func TestHubUnderAPrefixOfAnotherServer(t *testing.T) {
	hub, err := mesh.NewHub(&mesh.Options{Page: true})
	require.NoError(t, err)
	require.Empty(t, hub.Addr())
	mux := http.NewServeMux()
	mux.Handle("/plain/", hub)
	mux.Handle("/stripped/", http.StripPrefix("/stripped", hub))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	srv.Config.RegisterOnShutdown(func() { _ = hub.Close() })
	for _, prefix := range []string{"/plain", "/stripped", "/plain/deep/er"} {
		c := connectTo(t, mesh.Options{Addr: srv.URL + prefix + "/engine.io/"})
		require.NoError(t, c.Emit("e", nil))
		flush(t, c)
		require.NoError(t, c.Close())
	}
	for path, want := range map[string]int{
		"/plain/": 200, "/stripped/": 200, "/plain/page/page.js": 200, "/stripped/page/star.js": 200, "/page/page.js": 404, "/plain/page/": 200,
		"/plain/page/none.js": 404, "/plain/page.js": 404, "/plain/engine.iox": 404, "/plain/engine.io": 400, "/other": 404,
		"/plain/mesh.js": 200, "/plain/deep/er/mesh.mjs": 200, "/stripped/mesh.d.ts": 200, "/plain/mesh.js/": 200,
	} {
		resp, err := http.Get(srv.URL + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, path)
	}
	require.NoError(t, srv.Config.Shutdown(meshtest.Context(t)))
	<-hub.Done()
	require.ErrorIs(t, hub.Err(), mesh.ErrClosed)
}

func TestHubAtAPathOfItsOwn(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "http://localhost:0/a/b/"})
	require.True(t, strings.HasSuffix(hub.URL(), "/a/b/"))
	connect(t, hub, mesh.Options{})
	_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: hub.Addr()})
	var he *engineio.HandshakeError
	require.ErrorAs(t, err, &he)
	require.Equal(t, 404, he.Status)
}

func TestClientServesNothing(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	rec := httptest.NewRecorder()
	c.ServeHTTP(rec, httptest.NewRequest("GET", "/engine.io/", nil))
	require.Equal(t, 404, rec.Code)
}
