package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/gateway"
)

// What pages load.
var clients = []string{"/mesh.js", "/mesh.mjs"}

// browser is a page in Chromium, in which nodes of a mesh are made.
type browser struct {
	*Peer
	origin string // the page's
	files  string // where the clients come from
}

func startBrowser(t *testing.T) browser {
	t.Helper()
	files := httptest.NewServer(gateway.Handler())
	t.Cleanup(files.Close)
	b := browser{Peer: StartBrowser(t, meshPage), files: files.URL}
	b.origin = *b.Node().Must(t, Command{Do: "where"}, "origin").Text
	return b
}

// pageMember is a node in a page.
type pageMember struct {
	*Endpoint
}

// load makes a node with the client from a URL.
func (b browser) load(t testing.TB, url string) pageMember {
	t.Helper()
	m := pageMember{b.Endpoint()}
	m.Must(t, Command{Do: "load", URL: url}, "loaded")
	return m
}

func (m pageMember) on(t testing.TB, pattern string) {
	t.Helper()
	m.Must(t, Command{Do: "on", Name: pattern}, "listens")
}

func (m pageMember) emit(t testing.TB, name, payload string) {
	t.Helper()
	c := Command{Do: "emit", Name: name}
	if payload != "" {
		c.Payload = json.RawMessage(payload)
	}
	m.Must(t, c, "emitted")
}

func (m pageMember) heard() *Endpoint { return m.Endpoint }

func (m pageMember) connect(t testing.TB, c Command) Event {
	t.Helper()
	c.Do = "connect"
	return m.Must(t, c, "connected")
}

// run runs code in the page and returns its result, as JSON.
func (m pageMember) run(t testing.TB, code string) string {
	t.Helper()
	ev := m.Must(t, Command{Do: "run", Text: &code}, "ran")
	require.Empty(t, ev.Error, "%s", code)
	return string(ev.Result)
}

// fails runs code in the page and returns the code of the error that it throws.
func (m pageMember) fails(t testing.TB, code string) string {
	t.Helper()
	return m.Must(t, Command{Do: "run", Text: &code}, "ran").Reason
}

func hubURL(port int) map[string]any {
	return map[string]any{"url": "http://" + localAddr(port)}
}

// with adds options.
func with(options map[string]any, more ...any) map[string]any {
	for i := 0; i < len(more); i += 2 {
		options[more[i].(string)] = more[i+1]
	}
	return options
}

// eachPage runs a test for each client and kind of hub, all in one browser.
func eachPage(t *testing.T, run func(t *testing.T, b browser, client string, hub kind)) {
	t.Helper()
	b := startBrowser(t)
	t.Run("with", func(t *testing.T) { // so that the browser outlives what is parallel in it
		for _, client := range clients {
			for _, hub := range []kind{nodeKind, goKind} {
				t.Run(fmt.Sprintf("%s %s hub", client[1:], hub), func(t *testing.T) {
					t.Parallel()
					run(t, b, client, hub)
				})
			}
		}
	})
}

// startStarFor is startStar with a hub that admits pages of an origin.
func startStarFor(t testing.TB, origin string, hub kind, clients []kind, names ...string) *star {
	t.Helper()
	if hub == nodeKind {
		return startStar(t, hub, clients, names...)
	}
	h := startGoHub(t, mesh.Options{AllowedOrigins: []string{origin}})
	s := &star{hub: h, port: h.port(t)}
	for _, name := range append(names, "mark") {
		h.on(t, name)
	}
	for _, k := range clients {
		s.join(t, k, append(names, "done")...)
	}
	s.sync(t)
	return s
}

// TestPagesInAMesh has a page, a Go node and a Node node on each kind of hub, each of which emits.
func TestPagesInAMesh(t *testing.T) {
	t.Parallel()
	eachPage(t, func(t *testing.T, b browser, client string, hub kind) {
		names := []string{"ping", "é€😀"}
		s := startStarFor(t, b.origin, hub, []kind{goKind, nodeKind}, names...)
		page := b.load(t, b.files+client)
		page.connect(t, Command{Options: with(hubURL(s.port), "name", "páge")})
		page.MustAwait(t, "upgrade")
		for _, name := range append(names, "done") {
			page.on(t, name)
		}
		s.clients = append(s.clients, page)
		s.sync(t)
		id := strings.Trim(page.run(t, "return client.id"), `"`)
		require.NotEmpty(t, id)
		for _, name := range names {
			for _, from := range append([]member{s.hub}, s.clients...) {
				for i, events := range s.round(t, from, name, `{"text":"é€😀"}`) {
					require.Len(t, events, 1, "member %d", i)
					require.Equal(t, name, events[0].Name)
					var payload struct{ Text string }
					require.NoError(t, json.Unmarshal(events[0].Payload, &payload))
					require.Equal(t, "é€😀", payload.Text)
					if from == member(page) && i > 0 && s.clients[i-1] != s.clients[1] {
						require.Equal(t, id, events[0].From, "member %d", i)
					}
				}
			}
		}
		require.JSONEq(t, fmt.Sprint(hub == nodeKind), page.run(t, "return client.state.hub.node"))
	})
}

// TestEventsOfAPageArriveOnceAndInOrderAcrossItsUpgrade, and so do the hub's answers to them.
func TestEventsOfAPageArriveOnceAndInOrderAcrossItsUpgrade(t *testing.T) {
	t.Parallel()
	eachPage(t, func(t *testing.T, b browser, client string, hub kind) {
		s := startStarFor(t, b.origin, hub, []kind{goKind, nodeKind})
		answering(t, s.hub)
		for _, c := range s.clients {
			c.on(t, burstName)
		}
		s.sync(t)
		page := b.load(t, b.files+client)
		for _, name := range []string{answerName, "done"} {
			page.on(t, name)
		}
		page.connect(t, Command{
			Options: hubURL(s.port), Name: burstName, Burst: &Burst{Prefix: burstPrefix, Count: burstSize},
		})
		sent := page.MustAwait(t, "upgrade").Sent
		require.GreaterOrEqual(t, sent, burstSize/3, "emitted before the upgrade was over")
		require.Less(t, sent, burstSize)

		for _, m := range append([]member{s.hub}, s.clients...) {
			requireBurst(t, m, burstName)
		}
		requireBurst(t, page, answerName)
		s.clients = append(s.clients, page)
		s.requireSilence(t, page)
	})
}

func TestPagesUseTheTransportsThatTheyAreTold(t *testing.T) {
	t.Parallel()
	eachPage(t, func(t *testing.T, b browser, client string, hub kind) {
		s := startStarFor(t, b.origin, hub, []kind{goKind}, "ping")
		for _, transport := range []string{"polling", "websocket"} {
			page := b.load(t, b.files+client)
			for _, name := range []string{"ping", "é€😀", "done"} {
				page.on(t, name)
			}
			state := page.connect(t, Command{Options: with(hubURL(s.port), "transports", []string{transport})})
			require.Equal(t, transport, state.Transport)
			s.clients = append(s.clients[:1], page)
			s.sync(t)
			s.requireRound(t, s.hub, "ping", 1, 1, 1)
			s.requireRound(t, page, "ping", 1, 1, 1)
			for _, from := range []member{s.hub, s.clients[0], page} {
				heard := s.round(t, from, "é€😀", `{"text":"ü€🎈"}`)[2]
				require.Len(t, heard, 1)
				require.Contains(t, string(heard[0].Payload), `{"text":"ü€🎈"`)
			}
			require.Equal(t, `"`+transport+`"`, page.run(t, "return client.state.transport"))
			// What is emitted last leaves before the session ends.
			page.run(t, "client.emit('mark', 1); client.close()")
			require.Equal(t, "mark", s.hub.heard().MustAwait(t, "heard").Name)
			page.MustAwait(t, "disconnected")
			if h, ok := s.hub.(goMember); ok {
				require.Eventually(t, func() bool { return h.Stats().Peers == 1 }, AwaitTimeout, time.Millisecond, "its session ends")
			}
		}
	})
}

// TestPagesReturnToAHubThatRestarts, with all that they listen to, and what they emitted meanwhile.
func TestPagesReturnToAHubThatRestarts(t *testing.T) {
	t.Parallel()
	eachPage(t, func(t *testing.T, b browser, client string, hub kind) {
		s := &star{port: stablePort(t)}
		listens := []string{"mark", "ping", "offline"}
		start := func() (end func()) {
			if hub == nodeKind {
				s.hub, end = startHubAt(t, hub, s.port, listens...)
				return end
			}
			s.hub, end = startGoHubAt(t, mesh.Options{Addr: localAddr(s.port), AllowedOrigins: []string{b.origin}}, listens...)
			return end
		}
		end := start()
		page := b.load(t, b.files+client)
		for _, name := range []string{"ping", "ns::ping", "done"} {
			page.on(t, name)
		}
		page.connect(t, Command{Options: hubURL(s.port)})
		page.MustAwait(t, "upgrade")
		s.clients = []member{page}
		s.sync(t)
		for range 2 {
			end()
			var state struct {
				Attempt int
				Retry   float64
				Error   any
			}
			for state.Attempt == 0 {
				require.NoError(t, json.Unmarshal(page.MustAwait(t, "disconnected").Result, &state))
				require.LessOrEqual(t, state.Retry, 5000.)
				require.Positive(t, state.Retry)
			}
			page.emit(t, "offline", `{"n":1}`)
			page.emit(t, "offline", `{"n":2}`)
			end = start()
			page.MustAwait(t, "connected")
			for n := range 2 {
				ev := s.hub.heard().MustAwait(t, "heard")
				require.Equal(t, "offline", ev.Name, "what waited for the hub")
				require.Contains(t, string(ev.Payload), fmt.Sprintf(`"n":%d`, n+1))
			}
			page.MustAwait(t, "upgrade")
			s.sync(t)
			s.requireRound(t, s.hub, "ping", 1, 1)
			s.requireRound(t, s.hub, "ns::ping", 0, 1)
			s.requireRound(t, page, "ping", 1, 1)
		}
	})
}

// TestPagesDoNotCallAHubThatGreetsAndClosesWithoutEnd: the pauses grow with each connection that does not last.
func TestPagesDoNotCallAHubThatGreetsAndClosesWithoutEnd(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	hub := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for range 2 { // the handshake, and what waited for the hub
			if _, err := s.Read(ctx); err != nil {
				return
			}
		}
	}), &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}, AllowedOrigins: []string{b.origin}})
	web := httptest.NewServer(hub)
	t.Cleanup(func() {
		_ = hub.Close()
		web.Close()
	})
	for _, client := range clients {
		page := b.load(t, b.files+client)
		page.connect(t, Command{Options: map[string]any{"url": web.URL, "transports": []string{"websocket"}}})
		for i := range 6 {
			page.emit(t, "said", "1")
			var state struct{ Attempt, Retry int }
			require.NoError(t, json.Unmarshal(page.MustAwait(t, "disconnected").Result, &state))
			require.Equal(t, i, state.Attempt)
			require.LessOrEqual(t, state.Retry, 50<<i)
			require.GreaterOrEqual(t, state.Retry, 25<<i)
			page.MustAwait(t, "connected")
		}
		page.run(t, "return client.close(), 1")
	}
}

// TestPagesOutliveAHubThatIsShutDown: pages do not move, so they stay while others do, and return to the hub that takes its
// place.
func TestPagesOutliveAHubThatIsShutDown(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	t.Run("with", func(t *testing.T) { // so that the browser outlives what is parallel in it
		for _, client := range clients {
			for _, transports := range [][]string{{"polling", "websocket"}, {"websocket"}, {"polling"}} {
				t.Run(client[1:]+" "+strings.Join(transports, " "), func(t *testing.T) {
					t.Parallel()
					backplane := new(mesh.LocalBackplane)
					here := mesh.Options{Addr: localAddr(stablePort(t)), AllowedOrigins: []string{b.origin}, Backplane: backplane}
					hub := startGoHub(t, here)
					there := startGoHub(t, mesh.Options{Backplane: backplane})
					there.on(t, "said")
					startGoClient(t, hub.port(t), mesh.Options{}) // knows no other hub, and so keeps this one from closing
					page, late := b.load(t, b.files+client), b.load(t, b.files+client)
					page.on(t, "ping")
					options := with(hubURL(hub.port(t)), "transports", transports)
					page.connect(t, Command{Options: options})
					if len(transports) > 1 {
						page.MustAwait(t, "upgrade")
					}
					page.emit(t, "said", "1") // behind what it listens to
					require.Equal(t, "said", there.heard().MustAwait(t, "heard").Name)

					ctx, end := context.WithCancel(t.Context())
					defer end()
					ended := make(chan error)
					go func() { ended <- hub.Shutdown(ctx) }()
					require.Eventually(t, func() bool { return hub.Ready() != nil }, AwaitTimeout, time.Millisecond)
					late.Must(t, Command{Do: "connect", Options: options}, "disconnected") // refused
					there.emit(t, "ping", "1")
					require.Equal(t, "1", string(page.MustAwait(t, "heard").Payload))
					page.emit(t, "said", "2")
					require.Equal(t, "2", string(there.heard().MustAwait(t, "heard").Payload))

					end()
					require.ErrorIs(t, <-ended, context.Canceled)
					page.MustAwait(t, "disconnected")
					page.emit(t, "said", "3") // waits for a hub
					hub = startGoHub(t, here)
					require.Equal(t, "3", string(there.heard().MustAwait(t, "heard").Payload))
					page.MustAwait(t, "connected")
					late.MustAwait(t, "connected")
					require.Equal(t, `"`+hub.ID()+`"`, page.run(t, "return client.state.hub.id"))
					page.emit(t, "said", "4")
					require.Equal(t, "4", string(there.heard().MustAwait(t, "heard").Payload))
					there.emit(t, "ping", "2")
					require.Equal(t, "2", string(page.MustAwait(t, "heard").Payload), "it listens as before")
				})
			}
		}
	})
}

// TestPagesPayloads says what arrives of a page's: over a Go hub all as it is, over a Node hub what a Go client's
// payloads become.
func TestPagesPayloads(t *testing.T) {
	t.Parallel()
	eachPage(t, func(t *testing.T, b browser, client string, hub kind) {
		s := startStarFor(t, b.origin, hub, []kind{nodeKind, goKind}, "event")
		page := b.load(t, b.files+client)
		page.on(t, "event")
		page.on(t, "done")
		page.connect(t, Command{Options: hubURL(s.port)})
		s.clients = append(s.clients, page)
		s.sync(t)
		id := strings.Trim(page.run(t, "return client.id"), `"`)
		table := payloadTables[0]
		for _, each := range payloadTables {
			if each.hub == hub && each.from == goKind && !each.asHub {
				table = each
			}
		}
		for _, row := range table.rows {
			if len(row.emitted) == 20 {
				row.ours = row.node // such a number is none of JavaScript's
			}
			heard := s.round(t, page, "event", strings.TrimSuffix(row.emitted, absent))
			require.Equal(t, row.node, arrival(heard[1], id), "at a Node node, of %s", row.emitted)
			require.Equal(t, row.ours, arrival(heard[2], id), "at a Go node, of %s", row.emitted)
			// Its own, which the test page cannot tell from what comes back but by the number.
			own := 1
			if row.back != nothing {
				own = 2
			}
			require.Len(t, heard[3], own, "at the page, of %s", row.emitted)
		}
		// What a Go node emits, at a page: over a Go hub untouched, and with the sender beside it.
		ours := s.clients[1].(goMember)
		for _, payload := range []string{`{"n":1}`, `{"id":"mine"}`, `[1,2]`, `"text"`, `0`, `false`, `null`, ``} {
			if hub == nodeKind && payload == `` {
				continue // it arrives as an object
			}
			heard := s.round(t, ours, "event", payload)[3]
			require.Len(t, heard, 1)
			if hub == goKind {
				require.Equal(t, payload, string(heard[0].Payload))
				require.Equal(t, ours.ID(), heard[0].From)
			}
		}
	})
}

func TestPageIsToldThatItIsRefused(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	hub := startGoHub(t, mesh.Options{Authorize: mesh.Pair(user, password), AllowedOrigins: []string{b.origin}})
	hub.on(t, "ping")
	for _, client := range clients {
		page := b.load(t, b.files+client)
		options := hubURL(hub.port(t))
		for _, wrong := range []string{"wrong", ""} {
			require.NoError(t, page.Do(Command{Do: "connect", Options: with(options, "user", user, "password", wrong)}))
			refused := page.MustAwait(t, "refused")
			require.Equal(t, "unauthorized", refused.Reason)
			ev := page.MustAwait(t, "disconnected")
			for ev.Reason == "" { // that of an earlier attempt's end
				ev = page.MustAwait(t, "disconnected")
			}
			require.Equal(t, "unauthorized", ev.Reason)
			require.JSONEq(t, "null", page.run(t, "return client.state.retry"), "it does not try again")
			if client == "/mesh.js" {
				page = b.load(t, b.files+client)
			}
		}
		// With the right one the client enters.
		code, err := json.Marshal(with(options, "password", password))
		require.NoError(t, err)
		require.NoError(t, page.Do(Command{Do: "connect", Options: with(options, "password", password)}))
		page.MustAwait(t, "answered")
		page.emit(t, "ping", string(code))
		require.Equal(t, "ping", hub.heard().MustAwait(t, "heard").Name)
	}
	require.Equal(t, uint64(4), hub.Stats().Refusals)
}

// TestPagesPresentAToken: by polling in a header, which pages of other origins have to be permitted, and by a WebSocket,
// which cannot have one, in the query.
func TestPagesPresentAToken(t *testing.T) {
	t.Parallel()
	const token = "t0ken+/=&?#%"
	b := startBrowser(t)
	hub, err := mesh.NewHub(&mesh.Options{Authorize: mesh.Bearer(token), AllowedOrigins: []string{b.origin}})
	m := newGoMember(t, hub, err)
	m.on(t, "ping")
	var mu sync.Mutex
	var queries []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if r.URL.Query().Has("token") {
			queries = append(queries, r.URL.Query().Get("token"))
		}
		mu.Unlock()
		hub.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, hub.Close()) })
	for _, client := range clients {
		page := b.load(t, server.URL+client)
		for _, transports := range [][]string{{"polling", "websocket"}, {"polling"}, {"websocket"}} {
			options := map[string]any{"transports": transports}
			require.NoError(t, page.Do(Command{Do: "connect", Options: with(options, "token", "gu3ss")}))
			require.Equal(t, "unauthorized", page.MustAwait(t, "refused").Reason)
			if client == "/mesh.js" {
				page = b.load(t, server.URL+client)
			}
			page.connect(t, Command{Options: with(options, "token", token)})
			page.emit(t, "ping", "1")
			require.Equal(t, "ping", m.heard().MustAwait(t, "heard").Name)
			if client == "/mesh.js" {
				page = b.load(t, server.URL+client)
			}
		}
		for _, wrong := range []string{"a b", "é", "x\\r\\nY: z"} {
			require.Equal(t, "token", page.fails(t, `(client || mesh.emitter).connect({ token: "`+wrong+`" })`))
		}
	}
	require.Equal(t, []string{"gu3ss", token, "gu3ss", token}, queries, "once each, where there is no polling")
}

func TestNodeHubAdmitsAPage(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	hub := startNodeMember(t)
	port := hub.listen(t, Command{Accept: [][2]string{{user, password}}})
	hub.on(t, "ping")
	wrong, right := b.load(t, b.files+"/mesh.mjs"), b.load(t, b.files+"/mesh.mjs")
	wrong.connect(t, Command{Options: with(hubURL(port), "user", user, "password", "wrong")})
	right.connect(t, Command{Options: with(hubURL(port), "user", user, "password", password)})
	for _, page := range []pageMember{wrong, right} {
		page.MustAwait(t, "upgrade")
	}
	wrong.emit(t, "ping", `"wrong"`)
	// Its table comes with a packet, and so with the others' names; the hub answers what came before.
	right.emit(t, "ping", `"right"`)
	require.Equal(t, `"right"`, string(hub.MustAwait(t, "heard").Payload))
}

// TestPageApart tells what a page's client does by itself, without a hub.
func TestPageApart(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	types, err := os.ReadFile("../mesh/gateway/client/mesh.d.ts")
	require.NoError(t, err)
	body := regexp.MustCompile(`(?s)export interface Client \{\n(.*?)\n\}`).FindSubmatch(types)[1]
	for _, client := range clients {
		page := b.load(t, b.files+client)
		if client == "/mesh.mjs" {
			page.run(t, "") // not connected yet
			page.Must(t, Command{Do: "connect", Options: hubURL(stablePort(t))}, "disconnected")
		}
		t.Run(client[1:], func(t *testing.T) {
			t.Run("types", func(t *testing.T) {
				var documented []string
				for _, m := range regexp.MustCompile(`(?m)^  (?:readonly )?(\w+)[(<:]`).FindAllSubmatch(body, -1) {
					documented = append(documented, string(m[1]))
				}
				var has []string
				require.NoError(t, json.Unmarshal([]byte(page.run(t, "client.emit('x'); client.on('x', () => {}); client.emit('x'); return Object.keys(client)")), &has))
				require.ElementsMatch(t, has, documented)
			})
			t.Run("patterns", func(t *testing.T) {
				for _, tc := range []struct {
					pattern, name string
					want          bool
				}{
					{"x", "x", true}, {"x", "X", false}, {"*", "x", true}, {"*", "a::b", false}, {"a::*", "a::b", true}, {"a::*", "a", false},
					{"**", "a::b::c", true}, {"a::**", "a", true}, {"a::**", "ab", false}, {"**::b", "a::b::b", true}, {"**::b", "a::b::c", false},
					{"a::**::b", "a::b", true}, {"a::**::b", "a::x::y::b", true}, {"a::**::b", "a", false}, {"a::**::*", "a", false}, {"**::**", "x", true},
					{"a::**::x::**::y", "a::x::y::x::y", true}, {"a::**::x::**::y", "a::y::x", false}, {"*::*", "::", true}, {"*::*", "a:::b", true},
					{"*::b", "a:::b", false}, {"a::*", "a::", true}, {"é::*", "é::ü", true}, {"constructor", "constructor", true}, {"__proto__", "__proto__", true},
				} {
					code := fmt.Sprintf(`
						let n = 0
						const fn = function (payload, event) { n += this.event === %[2]q && event.event === %[2]q && payload === 7 }
						client.on(%[1]q, fn).emit(%[2]q, 7)
						client.off(%[1]q, fn).emit(%[2]q, 7)
						client.once(%[1]q, fn).emit(%[2]q, 7)
						client.emit(%[2]q, 7)
						client.on(%[1]q, fn).off(%[1]q).emit(%[2]q, 7)
						return n`, tc.pattern, tc.name)
					want := "0"
					if tc.want {
						want = "2"
					}
					require.Equal(t, want, page.run(t, code), "%q %q", tc.pattern, tc.name)
				}
			})
			t.Run("names", func(t *testing.T) {
				long, parts := strings.Repeat("é", 257), strings.Repeat("a::", 32)
				for _, name := range []string{"", "handshake", "newListener", "mesh", "mesh::x", "$x", "a*", "a::b*", "***", long, parts, `\ud800`} {
					require.Equal(t, "name", page.fails(t, `client.on("`+name+`", () => {})`), "%q", name)
				}
				for _, name := range []string{"", "handshake", "newListener", "mesh", "mesh::x", "$x", "*", "a::**", long, parts} {
					require.Equal(t, "name", page.fails(t, `client.emit("`+name+`")`), "%q", name)
				}
				for _, value := range []string{"undefined", "7", "null", "{}"} {
					require.Equal(t, "name", page.fails(t, "client.emit("+value+")"))
				}
				require.Equal(t, "no-hub", page.fails(t, "client.emit('$mesh.nodes')"))
				for _, name := range []string{"$a::b", "meshes", "a::mesh", "😀", "error", parts[2:] + "a"} {
					require.Equal(t, "true", page.run(t, `return client.emit("`+name+`")`), "%q", name)
				}
			})
			t.Run("onAny", func(t *testing.T) {
				require.JSONEq(t, `["a",{"n":1}]`, page.run(t, `
					let got = []
					const fn = function (payload) { got = [this.event, payload] }
					client.onAny(fn).emit('a', { n: 1 })
					client.offAny(fn).emit('b')
					return got`))
			})
			t.Run("a listener that throws", func(t *testing.T) {
				require.Equal(t, "1", page.run(t, `
					let n = 0
					client.on('bad', () => { throw new Error('mine') }).on('bad', () => n++).emit('bad')
					return n`))
				require.Contains(t, b.Node().MustAwait(t, "failed").Error, "mine")
			})
			t.Run("a full queue", func(t *testing.T) {
				require.Equal(t, "too-large", page.fails(t, "client.emit('x', 'x'.repeat(1e6))"))
				require.Equal(t, "queue-full", page.fails(t, `
					client.on('full', () => client.heard = (client.heard || 0) + 1)
					for (client.sent = 0; client.sent < 20; client.sent++) client.emit('full', 'x'.repeat(99000))`))
				require.Equal(t, "[10,10]", page.run(t, "return [client.sent, client.heard]"), "what is not sent is not heard either")
			})
		})
	}
}

// TestPagesFindTheirHub where the script came from, if they are not told another place.
func TestPagesFindTheirHub(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	listening := startGoHub(t, mesh.Options{AllowedOrigins: []string{b.origin}})
	mounted, err := mesh.NewHub(&mesh.Options{AllowedOrigins: []string{b.origin}})
	inside := newGoMember(t, mounted, err)
	mux := http.NewServeMux()
	mux.Handle("/deep/er/", inside)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, inside.Close()) })
	host := strings.TrimPrefix(server.URL, "http://")
	name, port, _ := strings.Cut(host, ":")
	unusual := startGoHub(t, mesh.Options{Addr: "http://127.0.0.1:0/its/own/", AllowedOrigins: []string{b.origin}})
	for _, hub := range []goMember{listening, inside, unusual} {
		hub.on(t, "here")
	}
	for _, client := range clients {
		for where, tc := range map[string]struct {
			hub     goMember
			script  string
			options map[string]any
		}{
			"the hub's own":        {listening, "http://" + listening.Addr(), nil},
			"a path of its own":    {unusual, "http://" + unusual.Addr(), nil},
			"under a prefix":       {inside, server.URL + "/deep/er", nil},
			"the script's query":   {inside, "", nil},
			"url":                  {listening, b.files, map[string]any{"url": "http://" + listening.Addr()}},
			"url and path":         {inside, b.files, map[string]any{"url": server.URL, "path": "deep/er/engine.io"}},
			"url with a path":      {inside, b.files, map[string]any{"url": server.URL + "/deep/er/engine.io"}},
			"host and path":        {inside, b.files, map[string]any{"host": host, "path": "/deep/er/engine.io/"}},
			"host, port, and path": {inside, "https://example.com", map[string]any{"host": name, "port": port, "path": "/deep/er/engine.io", "secure": false}},
			"port":                 {listening, b.files, map[string]any{"port": listening.port(t)}},
		} {
			t.Run(client[1:]+" "+where, func(t *testing.T) {
				script := tc.script + client
				switch {
				case tc.script == "":
					script = b.files + client + "?hub=" + server.URL + "/deep/er/engine.io/"
					if client == "/mesh.mjs" {
						script += "#.mjs"
					}
				case strings.HasPrefix(tc.script, "https"):
					script = b.files + client // what it says of itself is overridden
				}
				page := b.load(t, script)
				page.connect(t, Command{Options: tc.options})
				page.emit(t, "here", "")
				require.Equal(t, "here", tc.hub.heard().MustAwait(t, "heard").Name)
				page.run(t, "client.close()")
			})
		}
	}
	page := b.load(t, b.files+"/mesh.js")
	failed := "try { client.connect({ url: 'http://:' }) } catch (error) { return error.name }"
	require.Equal(t, `"TypeError"`, page.run(t, failed))
}

// TestPageOfTheOriginal runs the page that the original's hub serves, against a Go hub, with this client as its mesh.js.
func TestPageOfTheOriginal(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	html, err := os.ReadFile("node/node_modules/resource-mesh/lib/server/public/index.html")
	require.NoError(t, err)
	server := httptest.NewUnstartedServer(nil)
	hub, err := mesh.NewHub(nil)
	m := newGoMember(t, hub, err)
	_, port, _ := strings.Cut(server.Listener.Addr().String(), ":")
	page := string(html)
	for old, now := range map[string]string{
		// Its jQuery comes from elsewhere: this is as much as it needs here.
		`src="http://ajax.googleapis.com/ajax/libs/jquery/1.10.2/jquery.min.js">`: `>
			const $ = () => ({ length: 0, ready () {}, prepend (text) { mesh.emitter.emit('shown', text) } })`,
		`host: "localhost", port: "8888"`: `host: "127.0.0.1", port: "` + port + `"`,
		"5000":                            "50",
	} {
		require.Contains(t, page, old)
		page = strings.ReplaceAll(page, old, now)
	}
	server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/index.html" {
			_, _ = fmt.Fprint(w, page)
			return
		}
		hub.ServeHTTP(w, r)
	})
	m.on(t, "hello")
	server.Start()
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, hub.Close()) })
	require.NoError(t, b.Node().Do(Command{Do: "frame", URL: server.URL + "/index.html"}))
	require.Equal(t, `"browser is here"`, string(m.heard().MustAwait(t, "heard").Payload))
	m.on(t, "shown")
	shown := ""
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !strings.Contains(shown, "hello page") { // its own "hello" is shown too
		require.NoError(t, hub.Emit("hello", "hello page"))
		ev := m.heard().MustAwait(t, "heard")
		if ev.Name == "shown" {
			shown = string(ev.Payload)
		}
		<-tick.C
	}
}

// inDocs returns the blocks of a language in docs/browser.md, in order.
func inDocs(t testing.TB, language string) []string {
	t.Helper()
	text, err := os.ReadFile("../docs/browser.md")
	require.NoError(t, err)
	var blocks []string
	for _, found := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllSubmatch(text, -1) {
		blocks = append(blocks, string(found[1]))
	}
	require.NotEmpty(t, blocks)
	return blocks
}

// TestPagesInTheDocumentation shows the two pages to Chromium, as pages of the hub's own server.
func TestPagesInTheDocumentation(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	for _, html := range inDocs(t, "html")[:2] {
		node, err := mesh.NewHub(nil)
		hub := newGoMember(t, node, err)
		hub.on(t, "myEvent")
		server := httptest.NewUnstartedServer(nil)
		require.Contains(t, html, "http://localhost:8888/")
		html = strings.ReplaceAll(html, "http://localhost:8888", "http://"+server.Listener.Addr().String())
		server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/" {
				_, _ = fmt.Fprint(w, html)
				return
			}
			hub.ServeHTTP(w, r)
		})
		server.Start()
		t.Cleanup(server.Close)
		t.Cleanup(func() { require.NoError(t, node.Close()) })
		require.NoError(t, b.Node().Do(Command{Do: "frame", URL: server.URL + "/"}))
		require.Equal(t, `{"n":1}`, string(hub.heard().MustAwait(t, "heard").Payload))
	}
}

// stockMember is the client of docs/browser.md, on the stock engine.io-client, in a page.
type stockMember struct {
	pageMember
}

func (b browser) stock(t testing.TB, code, url string) stockMember {
	t.Helper()
	m := stockMember{pageMember{b.Endpoint()}}
	// The page keeps it by its ID.
	m.run(t, fmt.Sprintf("%s\n;(window.stock = window.stock || {})[%q] = meshClient(%q)", code, m.id, url))
	return m
}

func (m stockMember) on(t testing.TB, name string) {
	t.Helper()
	m.run(t, fmt.Sprintf("window.stock[%[1]q].on(%[2]q, payload => report({ id: %[1]q, event: 'heard', name: %[2]q, payload }))", m.id, name))
}

func (m stockMember) emit(t testing.TB, name, payload string) {
	t.Helper()
	if payload == "" {
		payload = "undefined"
	}
	m.run(t, fmt.Sprintf("window.stock[%q].emit(%q, %s)", m.id, name, payload))
}

// TestStockBundleAsInTheDocumentation: the 20 lines are a node of a Go hub's mesh.
func TestStockBundleAsInTheDocumentation(t *testing.T) {
	t.Parallel()
	code := inDocs(t, "js")[2]
	require.Equal(t, 20, strings.Count(code, "\n"))
	b := startBrowser(t)
	port := stablePort(t)
	options := mesh.Options{Addr: localAddr(port), AllowedOrigins: []string{b.origin}}
	hub, end := startGoHubAt(t, options, "mark", "ping", "é€😀")
	s := &star{hub: hub, port: port}
	for _, k := range []kind{goKind, nodeKind} {
		s.join(t, k, "ping", "é€😀", "done")
	}
	stock := b.stock(t, code, "http://"+localAddr(port))
	for _, name := range []string{"ping", "é€😀", "done"} {
		stock.on(t, name)
	}
	s.clients = append(s.clients, stock)
	s.sync(t)
	const count = 100
	for _, from := range s.clients {
		for i := range count {
			from.emit(t, "ping", fmt.Sprintf(`{"n":%d}`, i))
		}
		from.emit(t, "é€😀", `{"text":"é€😀"}`)
		for at, events := range s.settle(t, from) {
			if from == member(stock) && at == 3 {
				require.Empty(t, events, "its own do not come back")
				continue
			}
			require.Len(t, events, count+1, "member %d", at)
			for i, ev := range events[:count] {
				var payload struct{ N int }
				require.NoError(t, json.Unmarshal(ev.Payload, &payload))
				require.Equal(t, i, payload.N)
			}
			require.Equal(t, "é€😀", events[count].Name)
			require.Contains(t, string(events[count].Payload), `"é€😀"`)
		}
	}

	end()
	s.hub, _ = startGoHubAt(t, options, "back", "mark")
	require.Eventually(t, func() bool { // it does not say when it is back, and what it emits before is lost
		stock.emit(t, "back", "")
		return s.hub.heard().has("heard")
	}, AwaitTimeout, 50*time.Millisecond)
	s.clients = []member{stock}
	for _, ev := range s.settle(t, stock)[0] {
		require.Equal(t, "back", ev.Name)
	}
	require.Len(t, s.round(t, s.hub, "ping", "{}")[1], 1, "it has announced what it listens to")
}

// TestPageAsksItsHub by names that start with $mesh. Nobody else hears them, and a pattern does not match the answers.
func TestPageAsksItsHub(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	s := startStarFor(t, b.origin, goKind, []kind{goKind}, "**")
	page := b.load(t, b.files+"/mesh.mjs")
	page.on(t, "**")
	page.on(t, "$mesh.join")
	page.connect(t, Command{Options: with(hubURL(s.port), "name", "páge")})
	require.JSONEq(t, `{"rid":7,"total":3,"me":"páge"}`, page.run(t, `
		const answer = await new Promise(resolve => {
			client.once('$mesh.nodes', resolve)
			client.emit('$mesh.nodes', { rid: 7, watch: true })
		})
		const me = answer.nodes.find(node => node.id === client.id).name
		return { rid: answer.rid, total: answer.total, me }`))
	other := startGoClient(t, s.port, mesh.Options{})
	joined := page.MustAwait(t, "heard")
	require.Equal(t, "$mesh.join", joined.Name)
	require.Contains(t, string(joined.Payload), other.ID())
	page.emit(t, "last", "")
	require.Equal(t, "last", page.MustAwait(t, "heard").Name, "the first that its pattern hears")
	require.Equal(t, "mark", s.clients[0].heard().MustAwait(t, "heard").Name, "its own, of sync")
	require.Equal(t, "last", s.clients[0].heard().MustAwait(t, "heard").Name)
}
