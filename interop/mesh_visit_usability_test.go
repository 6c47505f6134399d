package interop

import (
	"encoding/json"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/gateway"
)

// themed reports whether a test of the page runs with a theme and the i-th of two widths. In a normal run, the narrow page
// is light and the wide page is dark.
func themed(theme string, i int) bool { return interoptest.Full() || (theme == "light") == (i == 0) }

// testPageFitsEveryWidth checks the page at several widths, and saves a picture of each.
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
			for i, width := range []int{360, 1280} {
				if !themed(theme, i) {
					continue
				}
				page := v.visit(t, "http://"+hub.Addr(), map[string]any{
					"viewport": map[string]int{"width": width, "height": 800}, "colorScheme": theme, "reducedMotion": "reduce",
				})
				page.see(t, "#list-title", fmt.Sprintf("%d node", n+2))
				page.see(t, "#state", "Connected, websocket")
				for i := range min(n, len(hostile)) {
					hub.emit(t, hostile[i], `{"text":"`+strings.Repeat("unbroken", 30)+`"}`)
					page.see(t, "#stream-text", fmt.Sprintf("of %d received", i+1))
				}
				page.run(t, "await page.locator('#list-title').click()")
				page.keep(t, fmt.Sprintf("%d nodes, %s, %d", n, theme, width))
				page.requireFits(t, width)
				page.run(t, "await page.context().close()")
			}
		}
	}
}

// requireFits checks that no element is wider than the page, that the picture holds all its parts, and that no name or
// mark covers another.
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

// testPageByKeyboard checks that the tab key reaches all controls, in the order of the page, and that the focus is
// visible.
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
		"sign-in-open", "other-open", "find", "list-title", "filter", "pause", "clear", "stream", "emit-name", "emit-payload", "Emit",
		"explain-to", "explain-event", "explain-from", "Ask the hub", "Go", "node, err := mesh.Co", "Copy", "Node.js", "Browser",
	}, order)
	// All controls have a name.
	require.JSONEq(t, "[]", string(page.run(t, `
		const nameless = []
		for (const e of await page.locator('button, input, select, textarea, summary, [tabindex]').all()) {
			const named = await e.evaluate(e => Boolean(e.textContent.trim() || e.ariaLabel || (e.labels && e.labels.length)))
			if (!named) nameless.push(await e.evaluate(e => e.outerHTML))
		}
		return nameless`)))
	// An open form closes on Escape, and the focus returns to its button.
	page.click(t, "Other hub…")
	page.run(t, "await page.keyboard.press('Escape')")
	require.Equal(t, `"other-open"`, string(page.run(t, "return page.evaluate(() => document.activeElement.id)")))
}

// testPageTellsWhereJSONIsWrong checks the messages for invalid JSON. The page must agree with JSON.parse whether a
// text is valid.
func testPageTellsWhereJSONIsWrong(t *testing.T, v visitor) {
	files := httptest.NewServer(gateway.Handler("", true))
	t.Cleanup(files.Close)
	page := v.visit(t, files.URL+"/page/icon.svg", nil)
	for text, want := range map[string]string{
		`{"a":1}`: "", ` [1, 2.5e-3, -0, "x\u00e9\n\"", true, false, null, {}] `: "", `""`: "", `0`: "", `"😀"`: "", "\t1\r\n": "", `{"a":1,"a":2}`: "",
		`{'a':1}`:        "line 1, character 2: a key must be between double quotes",
		`{a:1}`:          "line 1, character 2: a key must be between double quotes",
		"{\"a\":1,\n}":   "line 1, character 7: there must be no comma before }",
		`[1,2,]`:         "line 1, character 5: there must be no comma before ]",
		`[1 2]`:          "line 1, character 4: a comma or ] is missing here",
		`["😀" "x"]`:      "line 1, character 6: a comma or ] is missing",
		`{"a" 1}`:        "line 1, character 6: a colon is missing",
		`{"a":}`:         "line 1, character 6: a value is missing",
		`{,}`:            "line 1, character 2: a key is missing",
		`[,1]`:           "line 1, character 2: a value is missing",
		"{\n \"a\": tru": "line 2, character 7: JSON has no tru",
		`True`:           "true is written in small letters",
		`undefined`:      "JSON has no undefined",
		`NaN`:            "JSON has no NaN",
		`hello`:          "JSON has no hello",
		`'x'`:            "text must be between double quotes",
		"“x”":            "text must be between double quotes",
		`01`:             "there must be no 0 before a number",
		`+1`:             "there must be no + before a number",
		`.5`:             "a digit on both sides of the point",
		`1.`:             "a digit on both sides of the point",
		`-`:              "this is not a number",
		`1e`:             "this is not a number",
		`1 2`:            "line 1, character 3: there is text after the end",
		`{}}`:            "line 1, character 3: there is text after the end",
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
	// Patterns come from other nodes. No pattern may keep the page busy.
	for pattern, hears := range map[string]bool{
		"a::b": true, "a::*": true, "**": true, "*": false, "a": false, "**::b": true, "a::**::b": true, "a::**": true, "b::**": false, "a::b::**": true,
		strings.Repeat("**::", 120) + "c": false,
	} {
		require.JSONEq(t, fmt.Sprint(hears), string(page.run(t, "return page.evaluate(async p => (await import('/page/names.js')).matches(p, 'a::b'), %s)", pattern)), pattern)
	}
	require.JSONEq(t, "false", string(page.run(t, `return page.evaluate(async () => (await import('/page/names.js')).matches('**::'.repeat(120) + 'x', 'a::'.repeat(150) + 'b'))`)))
}
