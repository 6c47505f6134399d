package interop

import (
	"context"
	"encoding/json"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/gateway"
)

// startHubs starts hubs that are joined. The function start starts another hub of the same mesh at a port.
func startHubs(t *testing.T, names ...string) (hubs []goMember, start func(name string, port int) goMember) {
	t.Helper()
	backplane := new(mesh.LocalBackplane)
	start = func(name string, port int) goMember {
		return startGoHub(t, mesh.Options{Name: name, Addr: localAddr(port), Backplane: backplane})
	}
	for _, name := range names {
		hubs = append(hubs, start(name, interoptest.StablePort(t)))
	}
	return hubs, start
}

// label returns the text of the picture for users who cannot see it.
func (p visit) label(t *testing.T) (text string) {
	t.Helper()
	require.NoError(t, json.Unmarshal(p.run(t, "return page.locator('#star svg').getAttribute('aria-label')"), &text))
	return text
}

// gone waits until no element has a text.
func (p visit) gone(t *testing.T, selector, text string) {
	t.Helper()
	p.run(t, "await page.waitForFunction(([s, text]) => ![...document.querySelectorAll(s)].some(e => e.textContent.includes(text)), [%s, %s])", selector, text)
}

// testPageOfSeveralHubs visits one of three hubs. Each hub has a client, and one hub also has a client of the original
// mesh. Another hub starts. Then one of the three moves its clients there, closes, and starts again.
func testPageOfSeveralHubs(t *testing.T, v visitor) {
	hubs, start := startHubs(t, "alpha", "beta", "")
	alpha, beta, nameless := hubs[0], hubs[1], hubs[2]
	later := interoptest.StablePort(t)
	here := startGoClient(t, alpha.port(t), mesh.Options{Name: "here"})
	there := startGoClient(t, nameless.port(t), mesh.Options{Name: "there"})
	n, err := mesh.Connect(t.Context(), &mesh.Options{Name: "mover", Addr: beta.Addr() + "," + localAddr(later)})
	mover := newGoMember(t, n, err)
	original := startNodeMember(t)
	original.connect(t, Command{Port: beta.port(t)})
	there.on(t, "job::*")
	mover.on(t, "job::*")
	original.on(t, "job")
	there.flush(t)
	mover.flush(t)

	page := v.visit(t, "http://"+alpha.Addr(), nil)
	page.see(t, "#list-title", "8 nodes")
	page.see(t, "#state", "Connected, websocket")
	page.run(t, "await page.locator('#list-title').click()")
	third := "hub " + nameless.ID()[:8]
	for _, text := range []string{
		"alpha hub · at " + alpha.Addr(), "here node at alpha · websocket, revision 3 · from 127.0.0.1:", "page browser at alpha, this page · websocket",
		"beta hub · at " + beta.Addr(), "mover node at beta · websocket", "node of the original mesh at beta", third + " hub · at", "there node at " + third,
	} {
		page.see(t, "#list li", text)
	}
	for _, text := range []string{"alpha", "beta", third, "this page", "here", "mover", "there"} {
		page.see(t, "#star text", text)
	}
	require.Equal(t, "The mesh: 3 hubs that are joined, alpha with 2 nodes, beta with 2 nodes, "+third+" with 1 node, which are listed below", page.label(t))
	page.see(t, "#legend", "or from hub to hub.")

	t.Run("lines between hubs light up", func(t *testing.T) {
		// links are the lines from alpha to beta, and from there to the third hub.
		links := `[...document.querySelectorAll('#star .link')]`
		page.run(t, `await page.evaluate(() => {
			window.lit = new Set()
			const watch = new MutationObserver(all => {
				for (const { target } of all) if (/ (in|out)$/.test(target.getAttribute('class'))) lit.add(`+links+`.indexOf(target) + target.getAttribute('class'))
			})
			watch.observe(document.getElementById('star'), { attributes: true, subtree: true, attributeFilter: ['class'] })
		})`)
		for _, step := range []struct {
			from  goMember
			event string
			want  []string
		}{
			{here, "quiet", []string{"-1edge in", "-1edge out"}}, // the page receives it, at the same hub
			{here, "job::1", []string{"-1edge in", "-1edge out", "0link out", "1link out"}},
			{mover, "quiet", []string{"-1edge in", "-1edge out", "0link out"}},
			{there, "quiet", []string{"-1edge in", "-1edge out", "0link out", "1link out"}},
			{beta, "quiet", []string{"-1edge out", "0link out"}},
		} {
			page.run(t, "await page.waitForFunction(() => !document.querySelector('#star .in, #star .out')); await page.evaluate(() => lit.clear())")
			step.from.emit(t, step.event, "1")
			page.run(t, "await page.waitForFunction(() => lit.size)")
			var lit []string
			require.NoError(t, json.Unmarshal(page.run(t, "return page.evaluate(() => [...lit])"), &lit))
			require.ElementsMatch(t, step.want, lit, "%s of %s", step.event, step.from.ID())
		}
		page.see(t, "#stream li", "quiet from beta")
		page.see(t, "#stream li", "quiet from there")
	})

	t.Run("explain", func(t *testing.T) {
		page.run(t, "await page.locator('#explain-to option', { hasText: %s }).waitFor({ state: 'attached' })", "there, node, at "+third+", "+there.ID()[:8])
		page.explain(t, there.ID(), "job::1")
		page.see(t, "#explain-text", "Yes: there would get job::1.")
		page.explain(t, there.ID(), "other")
		page.see(t, "#explain-text", "No: there would not get other. The node subscribes neither to this event nor to a pattern that matches it. Rule: no-listener")
		page.run(t, "await page.getByLabel('Emitted by').selectOption(%s)", mover.ID())
		page.explain(t, there.ID(), "job::1")
		page.see(t, "#explain-text", "Yes: there would get job::1.")
		page.explain(t, mover.ID(), "job::1")
		page.see(t, "#explain-text", "Rule: sender")
		page.run(t, "await page.getByLabel('Emitted by').selectOption('')")
		page.explain(t, beta.ID(), "job")
		page.see(t, "#explain-text", "No: beta would not get job.")
	})
	page.keep(t, "three hubs")

	t.Run("a client moves", func(t *testing.T) {
		start("delta", later)
		page.see(t, "#star text", "delta")
		page.see(t, "#list-title", "9 nodes")
		page.run(t, `await page.evaluate(() => {
			window.missed = false
			const watch = () => { missed = missed || ![...document.querySelectorAll('#list strong')].some(e => e.textContent === 'mover') }
			new MutationObserver(watch).observe(document.getElementById('list'), { childList: true, subtree: true })
		})`)
		require.NoError(t, beta.Shutdown(t.Context()))
		page.see(t, "#list li", "mover node at delta")
		page.gone(t, "#star text", "beta")
		page.gone(t, "#list li", "of the original mesh")
		page.see(t, "#list-title", "7 nodes")
		require.JSONEq(t, "false", string(page.run(t, "return page.evaluate(() => missed)")), "it was there all the time")
		mover.emit(t, "moved", "1")
		page.see(t, "#stream li", "moved from mover")
		page.explain(t, mover.ID(), "job::2")
		page.see(t, "#explain-text", "Yes: mover would get job::2.")
	})

	t.Run("a hub is back", func(t *testing.T) {
		start("beta", beta.port(t))
		page.see(t, "#star text", "beta")
		original.connect(t, Command{Port: beta.port(t)})
		page.see(t, "#list li", "node of the original mesh at beta")
		page.see(t, "#list-title", "9 nodes")
		page.keep(t, "four hubs")
	})
}

// testPageReturnsToAHubThatWasReplaced shuts the page's own hub down. The hub does not notify pages of that. When it
// has closed, another hub takes its place.
func testPageReturnsToAHubThatWasReplaced(t *testing.T, v visitor) {
	hubs, start := startHubs(t, "alpha", "beta")
	alpha, beta := hubs[0], hubs[1]
	startGoClient(t, alpha.port(t), mesh.Options{Name: "stays"}) // it knows no other address, so it stays
	page := v.visit(t, "http://"+alpha.Addr(), nil)
	page.see(t, "#state", "Connected, websocket")
	page.see(t, "#detail", "to the hub alpha at "+alpha.Addr())
	page.see(t, "#list-title", "4 nodes")

	ctx, end := context.WithCancel(t.Context())
	defer end()
	ended := make(chan error)
	go func() { ended <- alpha.Shutdown(ctx) }()
	late := v.visit(t, "http://"+alpha.Addr(), nil)
	late.see(t, "#detail", "the hub answered 503: it accepts no new clients now. Next try in")
	beta.emit(t, "meanwhile", "1")
	page.see(t, "#stream li", "meanwhile from beta")
	end()
	require.ErrorIs(t, <-ended, context.Canceled)
	page.see(t, "#state", "Not connected")
	page.see(t, "#nodes-text", "Not connected: these nodes were there before.")
	page.see(t, "#star text", "beta")

	start("gamma", alpha.port(t))
	for _, p := range []visit{page, late} {
		p.see(t, "#state", "Connected, websocket")
		p.see(t, "#detail", "to the hub gamma at "+alpha.Addr())
		p.see(t, "#list-title", "5 nodes") // two hubs, both pages, and the client that stayed
		p.gone(t, "#star text", "alpha")
	}
	beta.emit(t, "again", "1")
	page.see(t, "#stream li", "again from beta")
}

// testPageFollowsNodesFromHubToHub gives the page the messages of a hub, in the orders in which they may come.
func testPageFollowsNodesFromHubToHub(t *testing.T, v visitor) {
	files := httptest.NewServer(gateway.Handler("", true))
	t.Cleanup(files.Close)
	page := v.visit(t, files.URL, nil)
	for name, tc := range map[string]struct{ code, want string }{
		"all pages":                     {`page('A x', 1); page('B y')`, "A: x, B: y; 4"},
		"a page that is not the last":   {`page('A x', 1)`, "; 0"},
		"joins and leaves":              {`page('A x'); join('B', 'y B'); leave('x A')`, "A: , B: y; 3"},
		"joins again before it left":    {`page('A x'); join('x A'); leave('x A')`, "A: ; 1"},
		"moves":                         {`page('A x', 1); page('B'); join('x B'); leave('x A')`, "A: , B: x; 3"},
		"moves, and leaves the new hub": {`page('A x', 1); page('B'); join('x B'); leave('x A'); leave('x B')`, "A: , B: ; 2"},
		"moves there and back":          {`page('A x', 1); page('B'); join('x B'); leave('x A'); join('x A'); leave('x B')`, "A: x, B: ; 3"},
		"moves between two pages":       {`page('A x', 1); join('x B'); leave('x A'); page('B x')`, "A: , B: x; 3"},
		"moves before the old hub's":    {`page('A', 1); join('x A'); page('B x'); leave('x B')`, "A: x, B: ; 3"},
		"its hub is lost":               {`page('A x', 1); page('B y z'); leave('B')`, "A: x; 2"},
		"its hub is lost, and it moved": {`page('A x', 1); page('B y z'); join('y A'); leave('B')`, "A: x y; 3"},
		"its hub is lost between pages": {`page('A x', 1); page('B y', 2); leave('B'); page('C z')`, "A: x, C: z; 4"},
		"joins before its hub":          {`page('A x'); join('y B')`, "A: x, B: y; 3"},
		"joins, and then its hub":       {`page('A x'); join('y B'); join('B')`, "A: x, B: y; 4"},
		"comes back after its hub":      {`page('A', 1); page('B x'); leave('B'); join('B'); join('x B')`, "A: , B: x; 3"},
		"more than the page knows":      {`page('A x', 1, many); join('one A'); leave('two A')`, "A: 256 and more; 1000"},
		"hubs before their pages":       {`page('A x', 1, [], 'B C'); page('B y')`, "A: x, B: y, C: ; 5"},
		"hubs that it does not know":    {`page('A x', 1, many, 'B C')`, "A: 256 and more, B: , C: ; 1000"},
		"says nothing of where it is":   {`page('A x'); join('y')`, "A: x y; 3"},
		"a second request replaces all": {`page('A x', 1); page('B y', 2); await again(); page('A z')`, "A: z; 2"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			require.NoError(t, json.Unmarshal(page.run(t, `return page.evaluate(async () => {
				const { followNodes } = await import('/page/nodes.js')
				const heard = {}
				let state, question
				const nodes = followNodes({
					id: 'page', on: (name, fn) => { heard[name] = fn }, onState: fn => { state = fn }, emit: (name, q) => { question = q }
				})
				const one = text => {
					const [id, hub] = text.split(' ')
					return id < 'a' ? { id, role: 'hub' } : { id, hub, role: 'client' }
				}
				const join = (...all) => all.forEach(text => heard['$mesh.join'](one(text)))
				const leave = (...all) => all.forEach(text => heard['$mesh.leave'](one(text)))
				// page is one of the reply: a hub and its clients.
				const page = (text, next, more = [], hubs) => {
					const [hub, ...clients] = text.split(' ').concat(more)
					const all = [one(hub), ...clients.map(id => one(id + ' ' + hub))]
					heard['$mesh.nodes']({ rid: question.rid, total: 1000, next, nodes: all, hubs: hubs && hubs.split(' ').map(one) })
				}
				// again returns when the page has asked again.
				const again = async () => {
					const old = question
					document.dispatchEvent(new Event('visibilitychange'))
					while (question === old) await new Promise(resolve => setTimeout(resolve))
				}
				const many = Array.from({ length: 300 }, (_, i) => 'n' + i)
				state({ hub: { id: 'A', name: '' } })
				`+tc.code+`
				const stars = nodes.stars.map(({ hub, clients }) => hub.id + ': ' + (clients.length > 9 ? '256 and more' : clients.map(n => n.id).join(' ')))
				return stars.join(', ') + '; ' + nodes.total
			})`), &got))
			require.Equal(t, tc.want, got)
		})
	}
}
