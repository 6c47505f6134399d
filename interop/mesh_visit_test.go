package interop

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/gateway"
)

// visitor visits pages in Chromium.
type visitor struct{ *Peer }

func startVisitor(t *testing.T) visitor {
	t.Helper()
	interoptest.Need(t, "chromium", "node", "npm")
	p, err := RunNode(t.Context(), visitorPeer)
	p.during(t, err)
	t.Cleanup(func() { require.NoError(t, p.Quit()) })
	return visitor{p}
}

// visit is one page. When the test ends, the page must not have thrown an error or violated its content security
// policy.
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

// run runs code with Playwright's page. It replaces each %s in the code with a value, as JSON.
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

// click presses the button with an accessible name.
func (p visit) click(t *testing.T, name string) {
	t.Helper()
	p.run(t, "await page.getByRole('button', { name: %s, exact: true }).click()", name)
}

// fill writes into the field of a form that has a label.
func (p visit) fill(t *testing.T, form, label, text string) {
	t.Helper()
	p.run(t, "await page.locator(%s).getByLabel(%s).and(page.locator('input, textarea')).fill(%s)", form, label, text)
}

// rows returns the events that the page shows, the newest first.
func (p visit) rows(t *testing.T) []string {
	t.Helper()
	var rows []string
	require.NoError(t, json.Unmarshal(p.run(t, "return page.locator('#stream li:visible').allInnerTexts()"), &rows))
	return rows
}

// keep saves a picture of the whole page as an artifact of the test. With -artifacts the artifacts are kept.
func (p visit) keep(t *testing.T, name string) {
	t.Helper()
	p.run(t, "await page.screenshot({ path: %s, fullPage: true })", filepath.Join(t.ArtifactDir(), name+".png"))
}

// explain fills in the page's form for explanations, and asks the hub.
func (p visit) explain(t *testing.T, id, event string) {
	t.Helper()
	p.run(t, "await page.locator('#explain-to').selectOption(%s)", id)
	p.fill(t, "#explain", "Event", event)
	p.click(t, "Ask the hub")
}

// hostile lists names that would do harm if a page did not treat them as text.
var hostile = []string{
	`<img src=x onerror="alert(1)">`, `"><script>alert(1)</script>`, `</title><svg onload=alert(1)>`, `__proto__`, `x${alert(1)}`,
	"\u202etxt.exe", "line\nbreak\x00", strings.Repeat("long", 100),
}

// TestPage tests the page that hubs serve. All its tests use the same browser.
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
		"of a crowd":    testPageOfACrowd,
		"of large hubs": testPageOfLargeHubs, "of hubs that come and go": testPageFollowsNodesFromHubToHub,
		"of a hub with permissions": testPageSaysWhatItMayNot,
		"that is left":              testPageIsLeft,
		"that goes offline":         testPageGoesOffline,
		"that is frozen":            testPageIsFrozen,
		"that proves its hub":       testPageProvesItsConnection,
		"that was hidden":           testPageDrawsAfterItWasHidden,
		"on a Node.js hub":          testPageOnANodeHub, "fits": testPageFitsEveryWidth, "by keyboard": testPageByKeyboard,
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
		page.see(t, "#stream-text", "3 shown of 3 received")
		// The edges of the emitter and of the subscribers light up.
		page.run(t, `await page.evaluate(() => {
			window.lit = ''
			const watch = new MutationObserver(all => { for (const { target } of all) window.lit += target.getAttribute('class') + '.' })
			watch.observe(document.getElementById('star'), { attributes: true, subtree: true, attributeFilter: ['class'] })
		})`)
		ours.emit(t, "greeting", `"light"`)
		page.run(t, "await page.waitForFunction(() => lit.includes('edge in') && lit.includes('edge out'))")
		page.see(t, "#stream li", "light")
		// An event without a payload, and a payload that is longer than the page keeps.
		ours.emit(t, "none", "")
		page.see(t, "#stream li", "no payload")
		ours.emit(t, "large", `"`+strings.Repeat("x", 1400)+`"`)
		page.see(t, "#stream li", "xxx and 1002 characters more")
	})

	t.Run("filter", func(t *testing.T) {
		page.fill(t, "#events", "Filter", "OURS")
		page.see(t, "#stream-text", "4 shown of 6 received")
		require.Len(t, page.rows(t), 4)
		hub.emit(t, "greeting", `"not shown"`)
		ours.emit(t, "greeting", `"shown"`)
		page.see(t, "#stream-text", "5 shown of 8 received")
		require.NotContains(t, strings.Join(page.rows(t), "\n"), "not shown")
		page.fill(t, "#events", "Filter", "")
		page.see(t, "#stream-text", "7 shown of 8 received")
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
		page.see(t, "#stream-text", "3 shown of 3 received")
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
		page.see(t, "#stream-text", "500 shown of 2000 received. The page keeps the last 500.")
		require.JSONEq(t, "500", string(page.run(t, "return page.locator('#stream li').count()")))
		require.Contains(t, page.rows(t)[0], "1999")
		page.click(t, "Clear")
	})

	t.Run("emit", func(t *testing.T) {
		page.fill(t, "#emit", "Event", "greeting")
		page.fill(t, "#emit", "Payload", `{"text": "hello", "list": [1 2]}`)
		page.see(t, "#emit-check", "Not JSON yet, line 1, character 30: a comma or ] is missing here.")
		require.Equal(t, `"true"`, string(page.run(t, "return page.getByLabel('Payload').getAttribute('aria-invalid')")))
		page.click(t, "Emit") // emits nothing, but moves to the fault
		page.fill(t, "#emit", "Payload", `{"text": "hello", "list": [1, 2]}`)
		page.see(t, "#emit-check", "This is JSON.")
		page.click(t, "Emit")
		page.see(t, "#emit-text", "Emitted greeting")
		heard := ours.heard().MustAwait(t, "heard")
		for string(heard.Payload) != `{"text":"hello","list":[1,2]}` { // earlier events
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
			page.see(t, "#emit-text", "No node may emit this name")
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
		page.see(t, "#explain-text", "No: ours would not get other. The node subscribes neither to this event nor to a pattern that matches it. Rule: no-listener")
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
			if strings.Contains(name, "\n") { // a field has a space in place of a line break
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
		page.see(t, "#list-title", "4 nodes") // the nodes of the last test have left
		require.NoError(t, ours.Close())
		page.see(t, "#list-title", "3 nodes")
		page.run(t, "await page.locator('#star text', { hasText: 'ours' }).waitFor({ state: 'detached' })")
		page.run(t, "await page.locator('#explain-to option', { hasText: 'ours' }).waitFor({ state: 'detached' })")
	})
}

// shown returns a text as the page shows it, cut to most bytes.
func shown(s string, most int) string {
	if len(s) > most {
		s = s[:most-1] + "…"
	}
	return strings.NewReplacer("\u202e", `\u202e`, "\n", `\u000a`, "\x00", `\u0000`).Replace(s)
}

func testPageReturnsToItsHub(t *testing.T, v visitor) {
	port := interoptest.StablePort(t)
	_, end := startGoHubAt(t, mesh.Options{Addr: localAddr(port)}, "offline")
	page := v.visit(t, "http://"+localAddr(port), nil)
	page.see(t, "#state", "Connected, websocket")
	page.see(t, "#list-title", "2 nodes") // without another node the form for explanations cannot be sent
	end()
	page.see(t, "#state", "Not connected")
	page.see(t, "#detail", "Next try in")
	page.run(t, `await page.waitForFunction(() => /^Attempt \d+ failed: nothing answers at 127.0.0.1:\d+. Next try in \d s./.test(document.getElementById('detail').textContent))`)
	page.keep(t, "no hub")
	page.fill(t, "#emit", "Event", "offline")
	page.click(t, "Emit")
	page.see(t, "#emit-text", "Not connected: the page sends this when there is a hub again")
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

// testPageOnANodeHub loads the page from a server that is not the hub.
func testPageOnANodeHub(t *testing.T, v visitor) {
	files := httptest.NewServer(gateway.Handler("", true))
	t.Cleanup(files.Close)
	s := startStar(t, nodeKind, []kind{goKind, nodeKind}, "ping")
	page := v.visit(t, files.URL+"/", nil)
	page.see(t, "#state", "Not connected")
	page.click(t, "Other hub…")
	page.fill(t, "#other", "Address of a hub", "http://:x")
	page.click(t, "Connect")
	page.see(t, "#other-text", "This is not an address of a hub")
	page.fill(t, "#other", "Address of a hub", localAddr(s.port))
	page.click(t, "Connect")

	page.see(t, "#state", "Connected, websocket")
	page.see(t, "#detail", "to a hub of the original mesh at "+localAddr(s.port))
	page.see(t, "#nodes-text", "does not list its nodes")
	page.see(t, "#explain-text", "cannot answer this")
	require.Equal(t, "true", string(page.run(t, "return page.getByRole('button', { name: 'Ask the hub' }).isDisabled()")))
	page.see(t, "#snippets pre", `Addr: "http://`+localAddr(s.port)+`"`)

	page.fill(t, "#listen", "Name", "a::*")
	page.click(t, "Listen")
	page.see(t, "#listen-text", "No page can listen to this name")
	page.fill(t, "#listen", "Name", "ping")
	page.click(t, "Listen")
	page.see(t, "#listening li", "ping")
	page.fill(t, "#emit", "Event", "mark") // arrives after the page's new table
	page.click(t, "Emit")
	require.Equal(t, "mark", s.hub.heard().MustAwait(t, "heard").Name)
	for i, m := range append([]member{s.hub}, s.clients...) {
		m.emit(t, "ping", fmt.Sprintf(`{"n":%d}`, i))
		page.see(t, "#stream li", fmt.Sprintf(`{"n":%d`, i))
	}
	page.see(t, "#stream li", "ping from the hub")
	require.Len(t, page.rows(t), 4, "each once, its own mark too")
	page.see(t, "#list-title", "4 nodes") // the hub, the page, and two nodes that have emitted
	page.keep(t, "node hub")
	page.click(t, "Stop listening to ping")
	page.run(t, "await page.locator('#listening li').waitFor({ state: 'detached' })")
}
