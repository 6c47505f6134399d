package interop

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

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

// stockMember is the client of docs/browser.md, which uses the stock engine.io-client, in a page.
type stockMember struct {
	pageMember
}

func (b browser) stock(t testing.TB, code, url string) stockMember {
	t.Helper()
	m := stockMember{pageMember{b.Endpoint()}}
	// The page stores the client by its ID.
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

// TestStockBundleAsInTheDocumentation checks that the 20 lines on the page work as a node of a Go hub's mesh.
func TestStockBundleAsInTheDocumentation(t *testing.T) {
	t.Parallel()
	code := inDocs(t, "js")[2]
	require.Equal(t, 20, strings.Count(code, "\n"))
	b := startBrowser(t)
	port := interoptest.StablePort(t)
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
	require.Eventually(t, func() bool { // the client does not report when it is back, and its events before that are lost
		stock.emit(t, "back", "")
		return s.hub.heard().has("heard")
	}, AwaitTimeout, 50*time.Millisecond)
	s.clients = []member{stock}
	for _, ev := range s.settle(t, stock)[0] {
		require.Equal(t, "back", ev.Name)
	}
	require.Len(t, s.round(t, s.hub, "ping", "{}")[1], 1, "it has announced its subscriptions")
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
		// The page loads jQuery from another server. This is the part that the page needs here.
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
