package interop

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/gateway"
)

// clients are the paths of the JavaScript clients that pages load.
var clients = []string{"/mesh.js", "/mesh.mjs"}

// browser is a page in Chromium that makes nodes of a mesh.
type browser struct {
	*Peer
	origin string // origin of the page
	files  string // URL of the server that has the clients
}

func startBrowser(t *testing.T) browser {
	t.Helper()
	files := httptest.NewServer(gateway.Handler("", true))
	t.Cleanup(files.Close)
	b := browser{Peer: startPage(t, meshPage), files: files.URL}
	b.origin = *b.Node().Must(t, Command{Do: "where"}, "origin").Text
	return b
}

// pageMember is a node in a page.
type pageMember struct {
	*Endpoint
}

// load makes a node in the page, with the client from a URL.
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

// with adds more to options. more holds pairs of name and value.
func with(options map[string]any, more ...any) map[string]any {
	for i := 0; i < len(more); i += 2 {
		options[more[i].(string)] = more[i+1]
	}
	return options
}

// eachPage runs a test with each client and each kind of hub, all in one browser. In a normal run, mesh.js meets only the
// Node.js hub and mesh.mjs only the Go hub: TestPagesInAMesh has the other two pairs in every run.
func eachPage(t *testing.T, run func(t *testing.T, b browser, client string, hub kind)) {
	t.Helper()
	eachPair(t, func(client string, hub kind) bool {
		return interoptest.Full() || (client == "/mesh.js") == (hub == nodeKind)
	}, run)
}

// eachPair is like eachPage, for all pairs of a client and a kind of hub for which is returns true.
func eachPair(t *testing.T, is func(client string, hub kind) bool, run func(t *testing.T, b browser, client string, hub kind)) {
	t.Helper()
	b := startBrowser(t)
	t.Run("with", func(t *testing.T) { // the parent test ends after the parallel tests in it, and so does the browser
		for _, client := range clients {
			for _, hub := range []kind{nodeKind, goKind} {
				if !is(client, hub) {
					continue
				}
				t.Run(fmt.Sprintf("%s %s hub", client[1:], hub), func(t *testing.T) {
					t.Parallel()
					run(t, b, client, hub)
				})
			}
		}
	})
}

// startStarFor is like startStar, with a hub that admits pages of an origin.
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

// TestPagesInAMesh connects a page, a Go node and a Node.js node to each kind of hub. All of them emit, and the hub
// too.
func TestPagesInAMesh(t *testing.T) {
	t.Parallel()
	all := func(string, kind) bool { return true }
	eachPair(t, all, func(t *testing.T, b browser, client string, hub kind) {
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

// TestEventsOfAPageArriveOnceAndInOrderAcrossItsUpgrade makes a page emit while its session upgrades. The hub's replies
// must also arrive once and in order.
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
			// The last event leaves before the session ends.
			page.run(t, "client.emit('mark', 1); client.close()")
			require.Equal(t, "mark", s.hub.heard().MustAwait(t, "heard").Name)
			page.MustAwait(t, "disconnected")
			if h, ok := s.hub.(goMember); ok {
				require.Eventually(t, func() bool { return h.Stats().Peers == 1 }, AwaitTimeout, time.Millisecond, "its session ends")
			}
		}
	})
}

// TestPagesPayloads checks how a page's payloads arrive: as the payloads of a Go client do at the same kind of hub.
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
				row.ours = row.node // JavaScript has no such number
			}
			heard := s.round(t, page, "event", strings.TrimSuffix(row.emitted, absent))
			require.Equal(t, row.node, arrival(heard[1], id), "at a Node.js node, of %s", row.emitted)
			require.Equal(t, row.ours, arrival(heard[2], id), "at a Go node, of %s", row.emitted)
			// The page receives its own event too. Only the number of events shows whether the event also comes back
			// from the hub.
			own := 1
			if row.back != nothing {
				own = 2
			}
			require.Len(t, heard[3], own, "at the page, of %s", row.emitted)
		}
		// A Go node's payloads at a page: over a Go hub they arrive unchanged, and the event names the sender.
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

// TestPageAsksItsHub sends queries to the hub, by names that start with $mesh. No other node receives them, and a
// pattern does not match the responses.
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

// TestPageApart tests a page's client without a hub.
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
			page.Must(t, Command{Do: "connect", Options: hubURL(interoptest.StablePort(t))}, "disconnected")
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
				require.Equal(t, "[10,10]", page.run(t, "return [client.sent, client.heard]"), "own listeners do not get an event that is not sent")
			})
		})
	}
}
