package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/loadgen"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/gateway"
)

// visitor visits pages in Chromium.
type visitor struct{ *Peer }

func startVisitor(t *testing.T) visitor {
	t.Helper()
	Need(t, "chromium", "node", "npm")
	p, err := RunNode(t.Context(), visitorPeer)
	p.during(t, err)
	t.Cleanup(func() { require.NoError(t, p.Quit()) })
	return visitor{p}
}

// visit is one page. When the test ends the page must have thrown nothing, and its policy have kept it from nothing.
type visit struct{ *Endpoint }

func (v visitor) visit(t *testing.T, url string, options map[string]any) visit {
	t.Helper()
	p := visit{v.Endpoint()}
	ev := p.Must(t, Command{Do: "visit", URL: url, Options: options}, "visited")
	require.Empty(t, ev.Error)
	t.Cleanup(func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, ev := range p.queue {
			require.NotEqual(t, "failed", ev.Kind, "%s", ev.Error)
		}
	})
	return p
}

// run runs code with Playwright's page. %s in it stand for values, which get there as JSON.
func (p visit) run(t *testing.T, code string, values ...any) json.RawMessage {
	t.Helper()
	for i, v := range values {
		text, err := json.Marshal(v)
		require.NoError(t, err)
		values[i] = text
	}
	code = fmt.Sprintf(code, values...)
	ev := p.Must(t, Command{Do: "run", Text: &code}, "ran")
	require.Empty(t, ev.Error, "%s", code)
	return ev.Result
}

// see waits until an element has a text.
func (p visit) see(t *testing.T, selector, text string) {
	t.Helper()
	p.run(t, "await page.locator(%s).filter({ hasText: %s }).first().waitFor()", selector, text)
}

// click presses a button that people know by this name.
func (p visit) click(t *testing.T, name string) {
	t.Helper()
	p.run(t, "await page.getByRole('button', { name: %s, exact: true }).click()", name)
}

// fill writes into a field of a form that people know by this label.
func (p visit) fill(t *testing.T, form, label, text string) {
	t.Helper()
	p.run(t, "await page.locator(%s).getByLabel(%s).and(page.locator('input, textarea')).fill(%s)", form, label, text)
}

// rows are the events that the page shows, the newest first.
func (p visit) rows(t *testing.T) []string {
	t.Helper()
	var rows []string
	require.NoError(t, json.Unmarshal(p.run(t, "return page.locator('#stream li:visible').allInnerTexts()"), &rows))
	return rows
}

// keep takes a picture of the whole page, for whoever runs the tests with -artifacts.
func (p visit) keep(t *testing.T, name string) {
	t.Helper()
	p.run(t, "await page.screenshot({ path: %s, fullPage: true })", filepath.Join(t.ArtifactDir(), name+".png"))
}

// explain asks the page's question.
func (p visit) explain(t *testing.T, id, event string) {
	t.Helper()
	p.run(t, "await page.locator('#explain-to').selectOption(%s)", id)
	p.fill(t, "#explain", "Event", event)
	p.click(t, "Ask the hub")
}

// hostile are names that would do harm if a page took them for anything but text.
var hostile = []string{
	`<img src=x onerror="alert(1)">`, `"><script>alert(1)</script>`, `</title><svg onload=alert(1)>`, `__proto__`, `x${alert(1)}`,
	"\u202etxt.exe", "line\nbreak\x00", strings.Repeat("long", 100),
}

// TestPage visits the page that hubs serve, in one browser for all.
func TestPage(t *testing.T) {
	t.Parallel()
	v := startVisitor(t)
	for name, test := range map[string]func(*testing.T, visitor){
		"of a Go hub": testPageOfAGoHub, "of a hub with auth": testPageAsksForUserAndPassword, "of a hub that restarts": testPageReturnsToItsHub,
		"of a hub with a token":       testPageTakesAToken,
		"under attack":                testPageUnderAttack,
		"of another name":             testPageOfAnotherName,
		"of a hub with many watchers": testPageAmongManyWatchers,
		"of several hubs":             testPageOfSeveralHubs, "of a hub that is replaced": testPageReturnsToAHubThatWasReplaced,
		"of large hubs": testPageOfLargeHubs, "of hubs that come and go": testPageFollowsNodesFromHubToHub,
		"of a hub with permissions": testPageSaysWhatItMayNot,
		"on a Node hub":             testPageOnANodeHub, "fits": testPageFitsEveryWidth, "by keyboard": testPageByKeyboard,
		"its JSON and patterns": testPageTellsWhereJSONIsWrong,
	} {
		t.Run(name, func(t *testing.T) { test(t, v) })
	}
}

func testPageOfAGoHub(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{Name: "middle"})
	url := "http://" + hub.Addr() + "/"
	ours := startGoClient(t, hub.port(t), mesh.Options{Name: "ours"})
	original := startNodeMember(t)
	original.connect(t, Command{Port: hub.port(t)})
	s := &star{hub: hub, port: hub.port(t), clients: []member{ours, original}}
	for _, m := range []member{hub, ours, original} {
		m.on(t, "greeting")
	}
	hub.on(t, "mark")
	ours.on(t, "done")
	original.on(t, "done")
	ours.on(t, "job::*")
	s.sync(t)
	page := v.visit(t, url, nil)

	page.see(t, "#state", "Connected, websocket")
	page.see(t, "#detail", "to the hub middle at "+hub.Addr())
	for _, label := range []string{"ours", "node, websocket 3", "original, websocket 3", "this page", "browser, websocket 3", "middle"} {
		page.see(t, "#star text", label)
	}
	page.run(t, "await page.locator('#list-title').click()")
	for _, text := range []string{
		"middle hub · at " + hub.Addr(), "ours node · websocket, revision 3 · from 127.0.0.1:", "node of the original mesh · websocket, revision 3",
		"listens to done, greeting, job::*", "page browser, this page · websocket, revision 3",
	} {
		page.see(t, "#list li", text)
	}

	t.Run("events stream", func(t *testing.T) {
		for i, m := range []member{hub, ours, original} {
			m.emit(t, "greeting", fmt.Sprintf(`{"n":%d}`, i))
			page.see(t, "#stream li", fmt.Sprintf(`{"n":%d`, i))
		}
		rows := page.rows(t)
		require.Len(t, rows, 3)
		require.Contains(t, rows[2], "from middle")
		require.Contains(t, rows[1], "from ours")
		page.see(t, "#stream-text", "3 shown of 3 heard")
		// The edge of the one that emits is lit, and those of the ones that listen.
		page.run(t, `await page.evaluate(() => {
			window.lit = ''
			const watch = new MutationObserver(all => { for (const { target } of all) window.lit += target.getAttribute('class') + '.' })
			watch.observe(document.getElementById('star'), { attributes: true, subtree: true, attributeFilter: ['class'] })
		})`)
		ours.emit(t, "greeting", `"light"`)
		page.run(t, "await page.waitForFunction(() => lit.includes('edge in') && lit.includes('edge out'))")
		page.see(t, "#stream li", "light")
		// A payload that is none, and one that is larger than what is kept.
		ours.emit(t, "none", "")
		page.see(t, "#stream li", "no payload")
		ours.emit(t, "large", `"`+strings.Repeat("x", 1400)+`"`)
		page.see(t, "#stream li", "xxx and 1002 characters more")
	})

	t.Run("filter", func(t *testing.T) {
		page.fill(t, "#events", "Filter", "OURS")
		page.see(t, "#stream-text", "4 shown of 6 heard")
		require.Len(t, page.rows(t), 4)
		hub.emit(t, "greeting", `"not shown"`)
		ours.emit(t, "greeting", `"shown"`)
		page.see(t, "#stream-text", "5 shown of 8 heard")
		require.NotContains(t, strings.Join(page.rows(t), "\n"), "not shown")
		page.fill(t, "#events", "Filter", "")
		page.see(t, "#stream-text", "7 shown of 8 heard")
	})

	t.Run("pause", func(t *testing.T) {
		page.click(t, "Clear")
		page.click(t, "Pause")
		for i := range 3 {
			ours.emit(t, "greeting", fmt.Sprint(i))
		}
		page.see(t, "#stream-text", "Paused; 3 since then")
		require.Empty(t, page.rows(t))
		page.click(t, "Resume")
		page.see(t, "#stream-text", "3 shown of 3 heard")
		rows := page.rows(t)
		require.Len(t, rows, 3)
		require.Contains(t, rows[0], "2")
		require.Contains(t, rows[2], "0")
	})

	t.Run("a flood is bounded", func(t *testing.T) {
		page.click(t, "Clear")
		for i := range 2000 {
			ours.emit(t, "flood", fmt.Sprint(i))
		}
		page.see(t, "#stream-text", "500 shown of 2000 heard. The last 500 are kept.")
		require.JSONEq(t, "500", string(page.run(t, "return page.locator('#stream li').count()")))
		require.Contains(t, page.rows(t)[0], "1999")
		page.click(t, "Clear")
	})

	t.Run("emit", func(t *testing.T) {
		page.fill(t, "#emit", "Event", "greeting")
		page.fill(t, "#emit", "Payload", `{"text": "hello", "list": [1 2]}`)
		page.see(t, "#emit-check", "Not JSON yet, line 1, character 30: a comma or ] is missing here.")
		require.Equal(t, `"true"`, string(page.run(t, "return page.getByLabel('Payload').getAttribute('aria-invalid')")))
		page.click(t, "Emit") // does nothing but lead to the fault
		page.fill(t, "#emit", "Payload", `{"text": "hello", "list": [1, 2]}`)
		page.see(t, "#emit-check", "This is JSON.")
		page.click(t, "Emit")
		page.see(t, "#emit-text", "Emitted greeting")
		heard := ours.heard().MustAwait(t, "heard")
		for string(heard.Payload) != `{"text":"hello","list":[1,2]}` { // those that came before
			heard = ours.heard().MustAwait(t, "heard")
		}
		for !strings.Contains(string(heard.Payload), "hello") || heard.From != "" {
			heard = original.heard().MustAwait(t, "heard")
		}
		page.see(t, "#stream li", "greeting from this page")
		page.fill(t, "#emit", "Payload", "")
		page.run(t, "await page.getByLabel('Payload').press('Control+Enter')")
		require.Nil(t, ours.heard().MustAwait(t, "heard").Payload)
		for _, name := range []string{"$mesh.x", "mesh::x", "a::*", "handshake"} {
			page.fill(t, "#emit", "Event", name)
			page.click(t, "Emit")
			page.see(t, "#emit-text", "Nobody may emit this name")
			page.fill(t, "#emit", "Event", "x")
			page.click(t, "Emit")
			page.see(t, "#emit-text", "Emitted x")
		}
	})

	t.Run("explain", func(t *testing.T) {
		page.explain(t, ours.ID(), "job::done")
		page.see(t, "#explain-text", "Yes: ours would get job::done.")
		page.see(t, "#explain-text", "Rule: listens; it listens to job::*")
		page.explain(t, ours.ID(), "other")
		page.see(t, "#explain-text", "No: ours would not get other. The node listens neither to this event nor to a pattern that matches it. Rule: no-listener")
		page.run(t, "await page.getByLabel('Emitted by').selectOption(%s)", ours.ID())
		page.explain(t, ours.ID(), "job::done")
		page.see(t, "#explain-text", "Rule: sender")
		page.run(t, "await page.getByLabel('Emitted by').selectOption('')")
		page.explain(t, hub.ID(), "handshake")
		page.see(t, "#explain-text", "Rule: reserved-name")
	})

	t.Run("code", func(t *testing.T) {
		page.see(t, "#snippets pre", `mesh.Options{Addr: "`+strings.TrimSuffix(url, "/")+`"}`)
		page.run(t, "await page.getByText('Browser', { exact: true }).click()")
		page.see(t, "#snippets pre", `import { connect } from "`+url+`mesh.mjs"`)
		page.run(t, "await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])")
		page.click(t, "Copy the code for Go")
		page.see(t, "#copied", "The code for Go is copied.")
		require.Contains(t, string(page.run(t, "return page.evaluate(() => navigator.clipboard.readText())")), "mesh.Connect(ctx")
	})
	page.keep(t, "go hub")

	t.Run("names are text", func(t *testing.T) {
		before := page.run(t, "return page.evaluate(() => document.querySelectorAll('script, img, iframe, svg').length)")
		for _, name := range hostile {
			c := startGoClient(t, hub.port(t), mesh.Options{Name: name})
			c.on(t, name)
			c.flush(t)
			require.NoError(t, c.Emit(name, name))
			page.see(t, "#stream li .name", shown(name, 120))
			page.see(t, "#list li strong", shown(name, 80))
			page.explain(t, c.ID(), name)
			if strings.Contains(name, "\n") { // fields have a space instead
				page.see(t, "#explain-text", "No: "+shown(name, 60)+" would not get "+shown(strings.ReplaceAll(name, "\n", " "), 120))
				continue
			}
			page.see(t, "#explain-text", "Yes: "+shown(name, 60)+" would get "+shown(name, 120))
			page.fill(t, "#emit", "Event", name)
			page.click(t, "Emit")
			page.see(t, "#emit-text", shown(name, 60))
		}
		require.Equal(t, before, page.run(t, "return page.evaluate(() => document.querySelectorAll('script, img, iframe, svg').length)"))
		page.keep(t, "hostile names")
		page.see(t, "#list-title", "12 nodes")
	})

	t.Run("nodes leave", func(t *testing.T) {
		page.see(t, "#list-title", "4 nodes") // those of the last test
		require.NoError(t, ours.Close())
		page.see(t, "#list-title", "3 nodes")
		page.run(t, "await page.locator('#star text', { hasText: 'ours' }).waitFor({ state: 'detached' })")
		page.run(t, "await page.locator('#explain-to option', { hasText: 'ours' }).waitFor({ state: 'detached' })")
	})
}

// shown is how the page shows a text that may be so long.
func shown(s string, most int) string {
	if len(s) > most {
		s = s[:most-1] + "…"
	}
	return strings.NewReplacer("\u202e", `\u202e`, "\n", `\u000a`, "\x00", `\u0000`).Replace(s)
}

func testPageAsksForUserAndPassword(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{Authorize: mesh.Pair(user, password)})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Not admitted")
	page.see(t, "#sign-in-text", "The hub wants to know who you are. User and password, or token, go to this hub.")
	require.Equal(t, `"user"`, string(page.run(t, "return page.evaluate(() => document.activeElement.id)")), "the field has the focus")
	page.keep(t, "sign in")
	page.run(t, "await page.keyboard.type(%s); await page.keyboard.press('Tab'); await page.keyboard.type('wrong'); await page.keyboard.press('Enter')", user)
	page.see(t, "#sign-in-text", "The hub refused this. User and password, or token, go to this hub.")
	page.see(t, "#detail", "The hub says: ")
	page.fill(t, "#sign-in", "Password", password)
	page.click(t, "Sign in")
	page.see(t, "#state", "Connected, websocket")
	page.run(t, "await page.locator('#sign-in').waitFor({ state: 'hidden' })")
	require.NotContains(t, string(page.run(t, "return page.content()")), password)
}

// testPageTakesAToken, which then stands nowhere: not in the page, not in its address, not in the hub's log.
func testPageTakesAToken(t *testing.T, v visitor) {
	const token = "s3cret-t0ken+/=&?#%"
	var log bytes.Buffer // read when the hub has ended
	hub := startGoHub(t, mesh.Options{Authorize: mesh.Bearer(token), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.run(t, `
		page.asked = []
		page.on('request', r => page.asked.push(r.url()))
		page.on('websocket', w => page.asked.push(w.url()))
		return true`)
	page.see(t, "#state", "Not admitted")
	page.fill(t, "#sign-in", "Token", "gu3ss gu3ss")
	page.click(t, "Sign in")
	page.see(t, "#sign-in-text", "A token has no blanks")
	page.fill(t, "#sign-in", "Token", "gu3ss")
	page.click(t, "Sign in")
	page.see(t, "#sign-in-text", "The hub refused this.")
	page.fill(t, "#sign-in", "Token", " "+token+" ") // as it is when it was copied
	page.keep(t, "sign in with a token")
	page.click(t, "Sign in")
	page.see(t, "#state", "Connected, websocket")
	require.EqualValues(t, 2, hub.Stats().Refusals)
	asked := string(page.run(t, "return page.asked"))
	require.Contains(t, asked, "transport=websocket")
	shown := string(page.run(t, "return [await page.content(), page.url(), await page.evaluate(() => JSON.stringify([localStorage, sessionStorage, document.cookie, document.querySelector('#token').value]))].join()"))
	require.NoError(t, hub.Close())
	require.Contains(t, log.String(), "peer refused")
	for where, text := range map[string]string{"the log": log.String(), "requests": asked, "the page": shown} {
		for _, secret := range []string{token, url.QueryEscape(token), "s3cret", "gu3ss"} {
			require.NotContains(t, text, secret, where)
		}
	}
}

// testPageAmongManyWatchers: it is not told who comes, and asks.
func testPageAmongManyWatchers(t *testing.T, v visitor) {
	backplane := new(mesh.LocalBackplane)
	hub := startGoHub(t, mesh.Options{Backplane: backplane})
	crowd, err := loadgen.Open(t.Context(), loadgen.Target{Host: hub.Addr(), Path: "/engine.io/", Revision: 3}, loadgen.Options{
		Connections: 256,
		First: func(int) []string {
			return []string{`{"event":"$mesh.nodes","payload":{"watch":true,"limit":1}}`, `{"event":"handshake","eventTable":{"mesh::x":{}}}`}
		},
	})
	require.NoError(t, err)
	defer crowd.Close()
	require.Eventually(t, func() bool { // all watch, as the hub knows what they sent behind that
		all, err := hub.Nodes(t.Context())
		require.NoError(t, err)
		return !slices.ContainsFunc(all, func(n mesh.NodeInfo) bool { return n.Role == mesh.Client && len(n.Interests) == 0 })
	}, AwaitTimeout, 10*time.Millisecond)
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#nodes-text", "Too many nodes watch this hub already: the page asks it from time to time.")
	page.see(t, "#list-title", "258 nodes")
	startGoClient(t, hub.port(t), mesh.Options{})
	page.see(t, "#list-title", "259 nodes")
	// So many nodes it does not get to know, but every hub.
	another := startGoHub(t, mesh.Options{Name: "another", Backplane: backplane})
	startGoClient(t, another.port(t), mesh.Options{})
	page.see(t, "#list-title", "261 nodes")
	page.see(t, "#star text", "another")
	require.Equal(t, "The mesh: 2 hubs that are joined, the hub, another, which are listed below", page.label(t))
}

// testPageUnderAttack: what others send keeps the page from nothing, and nobody is taken for somebody else.
func testPageUnderAttack(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Connected, websocket")
	page.run(t, "await page.locator('#list-title').click()")

	// As many as come and go, it draws them when there is time.
	page.run(t, `await page.evaluate(() => {
		window.drawn = 0
		new MutationObserver(() => window.drawn++).observe(document.querySelector('#explain-to'), { childList: true })
	})`)
	const joining = 250
	crowd, err := loadgen.Open(t.Context(), loadgen.Target{Host: hub.Addr(), Path: "/engine.io/", Revision: 3}, loadgen.Options{
		Connections: joining,
		First: func(i int) []string {
			table := fmt.Sprintf(`{"mesh::%s%d":{}}`, strings.Repeat("**::a::", 4), i) // the longest that all of them may have
			return []string{fmt.Sprintf(`{"event":"handshake","eventTable":%s,"headers":{"mesh":{"v":1,"key":"%032d","name":"%d"}}}`, table, i, i)}
		},
	})
	require.NoError(t, err)
	defer crowd.Close()
	page.see(t, "#list-title", fmt.Sprintf("%d nodes", joining+2))
	var drawn int
	require.NoError(t, json.Unmarshal(page.run(t, "return page.evaluate(() => drawn)"), &drawn))
	require.Less(t, drawn, joining/3, "not for each of them")

	// Events come faster than they can be shown, and names that take long to compare: buttons work all the same.
	flood := startGoClient(t, hub.port(t), mesh.Options{Name: "this page"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = flood.Emit(strings.Repeat("a::", 31)+fmt.Sprint(i%100), i) // what has no room is not sent
				if i%100 == 0 {
					_ = flood.Flush(t.Context())
				}
			}
		}
	})
	for range 3 {
		page.click(t, "Pause")
		page.see(t, "#stream-text", "Paused; ")
		page.click(t, "Resume")
	}
	close(stop)
	wg.Wait()
	page.click(t, "Clear")

	// Names are the nodes' own choice.
	require.NoError(t, flood.Emit("greeting", 1))
	require.NoError(t, hub.Emit("greeting", 2))
	page.see(t, "#stream li", "from this page "+flood.ID()[:8])
	page.fill(t, "#emit", "Event", "mine")
	page.click(t, "Emit")
	page.see(t, "#stream li", "mine")
	require.Regexp(t, `mine\s+from this page\s+no payload`, strings.Join(page.rows(t), "\n"))
}

// testPageOfAnotherName is on a site whose name stands for the visitor's machine: what it loads there is the hub's, and could
// be the site's.
func testPageOfAnotherName(t *testing.T, v visitor) {
	var log bytes.Buffer // read when the hub has ended
	hub := startGoHub(t, mesh.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	at := strings.Replace(hub.Addr(), "127.0.0.1", "site.example", 1)
	page := v.visit(t, "http://"+at, nil)
	page.see(t, "#detail", "failed: the hub answered 403.")
	page.run(t, "await page.waitForFunction(() => /^Attempt [3-9]/.test(document.getElementById('detail').textContent))")
	require.JSONEq(t, "1006", string(page.run(t, `return page.evaluate(() => new Promise(done => {
		new WebSocket('ws://' + location.host + '/engine.io/?EIO=3&transport=websocket').onclose = e => done(e.code)
	}))`)), "nor by a WebSocket")
	require.Zero(t, hub.Stats().Peers)
	require.NoError(t, hub.Close())
	require.Contains(t, log.String(), "host="+at)
}

func testPageSaysWhatItMayNot(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{Permit: func(_ mesh.PeerInfo, a mesh.Action, event string) bool {
		return a == mesh.MayListen || event == "permitted"
	}})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Connected, websocket")
	page.see(t, "#nodes-text", "The hub does not tell who is there: ")
	page.fill(t, "#emit", "Event", "secret")
	page.click(t, "Emit")
	page.see(t, "#emit-text", "The hub refuses secret: may-not-emit.")
	hub.emit(t, "permitted", "1")
	page.see(t, "#stream li", "permitted from the hub")
}

func testPageReturnsToItsHub(t *testing.T, v visitor) {
	port := stablePort(t)
	_, end := startGoHubAt(t, mesh.Options{Addr: localAddr(port)}, "offline")
	page := v.visit(t, "http://"+localAddr(port), nil)
	page.see(t, "#state", "Connected, websocket")
	end()
	page.see(t, "#state", "Not connected")
	page.see(t, "#detail", "Next try in")
	page.run(t, `await page.waitForFunction(() => /^Attempt \d+ failed: nothing answers at 127.0.0.1:\d+. Next try in \d s./.test(document.getElementById('detail').textContent))`)
	page.keep(t, "no hub")
	page.fill(t, "#emit", "Event", "offline")
	page.click(t, "Emit")
	page.see(t, "#emit-text", "Not connected: this leaves when there is a hub again")
	page.fill(t, "#explain", "Event", "x")
	page.click(t, "Ask the hub")
	page.see(t, "#explain-text", "Not connected")
	hub, end := startGoHubAt(t, mesh.Options{Addr: localAddr(port)}, "offline")
	defer end()
	page.see(t, "#state", "Connected, websocket")
	require.Equal(t, "offline", hub.heard().MustAwait(t, "heard").Name)
	hub.emit(t, "again", "1")
	page.see(t, "#stream li", "again from the hub")
	page.see(t, "#list-title", "2 nodes")
}

// testPageOnANodeHub has the page from another server.
func testPageOnANodeHub(t *testing.T, v visitor) {
	files := httptest.NewServer(gateway.Handler())
	t.Cleanup(files.Close)
	s := startStar(t, nodeKind, []kind{goKind, nodeKind}, "ping")
	page := v.visit(t, files.URL+"/", nil)
	page.see(t, "#state", "Not connected")
	page.click(t, "Other hub…")
	page.fill(t, "#other", "Address of a hub", "http://:x")
	page.click(t, "Connect")
	page.see(t, "#other-text", "That is no address of a hub")
	page.fill(t, "#other", "Address of a hub", localAddr(s.port))
	page.click(t, "Connect")

	page.see(t, "#state", "Connected, websocket")
	page.see(t, "#detail", "to a hub of the original mesh at "+localAddr(s.port))
	page.see(t, "#nodes-text", "does not tell who is there")
	page.see(t, "#explain-text", "cannot tell")
	require.Equal(t, "true", string(page.run(t, "return page.getByRole('button', { name: 'Ask the hub' }).isDisabled()")))
	page.see(t, "#snippets pre", `Addr: "http://`+localAddr(s.port)+`"`)

	page.fill(t, "#listen", "Name", "a::*")
	page.click(t, "Listen")
	page.see(t, "#listen-text", "Nobody can listen to this name")
	page.fill(t, "#listen", "Name", "ping")
	page.click(t, "Listen")
	page.see(t, "#listening li", "ping")
	page.fill(t, "#emit", "Event", "mark") // behind the page's new table
	page.click(t, "Emit")
	require.Equal(t, "mark", s.hub.heard().MustAwait(t, "heard").Name)
	for i, m := range append([]member{s.hub}, s.clients...) {
		m.emit(t, "ping", fmt.Sprintf(`{"n":%d}`, i))
		page.see(t, "#stream li", fmt.Sprintf(`{"n":%d`, i))
	}
	page.see(t, "#stream li", "ping from the hub")
	require.Len(t, page.rows(t), 4, "each once, its own mark too")
	page.see(t, "#list-title", "4 nodes") // the hub, the page, and two that were heard
	page.keep(t, "node hub")
	page.click(t, "Stop listening to ping")
	page.run(t, "await page.locator('#listening li').waitFor({ state: 'detached' })")
}

// testPageFitsEveryWidth keeps a picture of each.
func testPageFitsEveryWidth(t *testing.T, v visitor) {
	for _, n := range []int{0, 8, 60} {
		hub := startGoHub(t, mesh.Options{Name: "hub"})
		for i := range n {
			name := fmt.Sprintf("worker %d", i)
			if i < len(hostile) {
				name = hostile[i]
			}
			c := startGoClient(t, hub.port(t), mesh.Options{Name: name})
			c.on(t, "job::*")
			c.on(t, name)
		}
		for _, theme := range []string{"light", "dark"} {
			for _, width := range []int{360, 1280} {
				page := v.visit(t, "http://"+hub.Addr(), map[string]any{
					"viewport": map[string]int{"width": width, "height": 800}, "colorScheme": theme, "reducedMotion": "reduce",
				})
				page.see(t, "#list-title", fmt.Sprintf("%d node", n+2))
				page.see(t, "#state", "Connected, websocket")
				for i := range min(n, len(hostile)) {
					hub.emit(t, hostile[i], `{"text":"`+strings.Repeat("unbroken", 30)+`"}`)
					page.see(t, "#stream-text", fmt.Sprintf("of %d heard", i+1))
				}
				page.run(t, "await page.locator('#list-title').click()")
				page.keep(t, fmt.Sprintf("%d nodes, %s, %d", n, theme, width))
				page.requireFits(t, width)
				page.run(t, "await page.context().close()")
			}
		}
	}
}

// requireFits checks that nothing is wider than the page, that the picture holds all that is in it, and that no name or
// mark lies on another.
func (p visit) requireFits(t *testing.T, width int) {
	t.Helper()
	require.JSONEq(t, fmt.Sprint(width), string(p.run(t, "return page.evaluate(() => document.documentElement.scrollWidth)")), "no horizontal scrolling")
	require.JSONEq(t, "[]", string(p.run(t, `return page.evaluate(() => {
		const box = document.querySelector('#star').getBoundingClientRect()
		const all = [...document.querySelectorAll('#star text, #star .dot')].map(e => ({ text: e.textContent, ...e.getBoundingClientRect().toJSON() }))
		return all.filter((a, i) => a.left < box.left - 12 || a.right > box.right + 12 || a.top < box.top - 2 || a.bottom > box.bottom + 2 ||
			all.slice(i + 1).some(b => Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1 && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 6))
			.map(a => a.text)
	})`)))
}

// testPageByKeyboard reaches everything with the tab key, in the order in which it stands, and sees where it is.
func testPageByKeyboard(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Connected, websocket")
	var order []string
	require.NoError(t, json.Unmarshal(page.run(t, `
		const order = []
		for (let i = 0; i < 40; i++) {
			await page.keyboard.press('Tab')
			const name = await page.evaluate(() => {
				const e = document.activeElement
				if (e === document.body) return ''
				const outline = getComputedStyle(e).outlineStyle === 'solid' && parseFloat(getComputedStyle(e).outlineWidth) >= 2
				return (e.id || e.textContent.slice(0, 20)) + (outline ? '' : ' (not to be seen)')
			})
			if (!name) break
			order.push(name)
		}
		return order`), &order))
	require.Equal(t, []string{
		"sign-in-open", "other-open", "list-title", "filter", "pause", "clear", "stream", "emit-name", "emit-payload", "Emit",
		"explain-to", "explain-event", "explain-from", "Ask the hub", "Go", "node, err := mesh.Co", "Copy", "Node", "Browser",
	}, order)
	// Everything that can be used has a name.
	require.JSONEq(t, "[]", string(page.run(t, `
		const nameless = []
		for (const e of await page.locator('button, input, select, textarea, summary, [tabindex]').all()) {
			const named = await e.evaluate(e => Boolean(e.textContent.trim() || e.ariaLabel || (e.labels && e.labels.length)))
			if (!named) nameless.push(await e.evaluate(e => e.outerHTML))
		}
		return nameless`)))
	// A form that was opened closes again, and the focus returns.
	page.click(t, "Other hub…")
	page.run(t, "await page.keyboard.press('Escape')")
	require.Equal(t, `"other-open"`, string(page.run(t, "return page.evaluate(() => document.activeElement.id)")))
}

// TestPageTellsWhereJSONIsWrong, and agrees with JSON.parse on what is wrong at all.
func testPageTellsWhereJSONIsWrong(t *testing.T, v visitor) {
	files := httptest.NewServer(gateway.Handler())
	t.Cleanup(files.Close)
	page := v.visit(t, files.URL+"/page/icon.svg", nil)
	for text, want := range map[string]string{
		`{"a":1}`: "", ` [1, 2.5e-3, -0, "x\u00e9\n\"", true, false, null, {}] `: "", `""`: "", `0`: "", `"😀"`: "", "\t1\r\n": "", `{"a":1,"a":2}`: "",
		`{'a':1}`:        "line 1, character 2: a key stands between double quotes",
		`{a:1}`:          "line 1, character 2: a key stands between double quotes",
		"{\"a\":1,\n}":   "line 1, character 7: no comma may stand before }",
		`[1,2,]`:         "line 1, character 5: no comma may stand before ]",
		`[1 2]`:          "line 1, character 4: a comma or ] is missing here",
		`["😀" "x"]`:      "line 1, character 6: a comma or ] is missing",
		`{"a" 1}`:        "line 1, character 6: a colon is missing",
		`{"a":}`:         "line 1, character 6: a value is missing",
		`{,}`:            "line 1, character 2: a key is missing",
		`[,1]`:           "line 1, character 2: a value is missing",
		"{\n \"a\": tru": "line 2, character 7: JSON knows no tru",
		`True`:           "true is written in small letters",
		`undefined`:      "JSON has no undefined",
		`NaN`:            "JSON has no NaN",
		`hello`:          "JSON knows no hello",
		`'x'`:            "text stands between double quotes",
		"“x”":            "text stands between double quotes",
		`01`:             "no 0 may stand before a number",
		`+1`:             "no + may stand before a number",
		`.5`:             "a digit on either side of the point",
		`1.`:             "a digit on either side of the point",
		`-`:              "this is no number",
		`1e`:             "this is no number",
		`1 2`:            "line 1, character 3: there is something behind the end",
		`{}}`:            "line 1, character 3: there is something behind the end",
		`{"a":[1,2`:      "the array that starts in line 1, character 6 has no ]",
		`{"a":1`:         "the object that starts in line 1, character 1 has no }",
		`{`:              "a key is missing",
		`[`:              "a value is missing",
		`"abc`:           "line 1, character 1: the text that starts here has no \"",
		"\"a\nb\"":       `a new line in it is written \n`,
		"\"a\tb\"":       `a tab in text is written \t`,
		"\"a\x01b\"":     "a control character",
		`"\x"`:           "a backslash in text is written twice",
		`"\u12g4"`:       `\u is followed by four digits`,
		`"\`:             "has no \" at its end",
		`// x`:           "JSON has no comments",
		`@`:              "no value starts with this character",
		"\u00a01":        "no value starts with this character",

		strings.Repeat("[", 511) + strings.Repeat("]", 511): "there are more than 510 levels",
		strings.Repeat("[", 510) + strings.Repeat("]", 510): "",
	} {
		got := string(page.run(t, `return page.evaluate(async text => {
			const { fault } = await import('/page/json.js')
			let parses = true
			try { JSON.parse(text) } catch (error) { parses = false }
			const found = fault(text)
			if (parses !== !found && !/levels/.test(found)) throw new Error('JSON.parse says otherwise: ' + found)
			return found || ''
		}, %s)`, text))
		var found string
		require.NoError(t, json.Unmarshal([]byte(got), &found))
		if want == "" {
			require.Empty(t, found, text)
		}
		require.Contains(t, found, want, text)
	}
	// Patterns are other nodes': none may keep the page busy.
	for pattern, hears := range map[string]bool{
		"a::b": true, "a::*": true, "**": true, "*": false, "a": false, "**::b": true, "a::**::b": true, "a::**": true, "b::**": false, "a::b::**": true,
		strings.Repeat("**::", 120) + "c": false,
	} {
		require.JSONEq(t, fmt.Sprint(hears), string(page.run(t, "return page.evaluate(async p => (await import('/page/names.js')).matches(p, 'a::b'), %s)", pattern)), pattern)
	}
	require.JSONEq(t, "false", string(page.run(t, `return page.evaluate(async () => (await import('/page/names.js')).matches('**::'.repeat(120) + 'x', 'a::'.repeat(150) + 'b'))`)))
}
