package interop

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// fill connects n named clients to a hub, each with a listener, and another client, my-lamp.
func fill(t *testing.T, hub goMember, n int) (clients []*mesh.Node, lamp *mesh.Node) {
	t.Helper()
	clients = make([]*mesh.Node, n)
	room := make(chan struct{}, 32) // bounds the clients that connect at the same time
	var connecting sync.WaitGroup
	for i := range clients {
		room <- struct{}{}
		connecting.Go(func() {
			defer func() { <-room }()
			c, err := mesh.Connect(t.Context(), &mesh.Options{
				Addr: hub.Addr(), Name: fmt.Sprintf("worker %d", i), Transports: []engineio.Transport{engineio.WebSocket},
			})
			if err != nil {
				t.Error(err)
				return
			}
			c.On([]string{"job::*", fmt.Sprintf("device::%d::set", i)}[min(i%4, 1)], func(mesh.Event) {})
			clients[i] = c
		})
	}
	connecting.Wait()
	require.False(t, t.Failed())
	lamp, err := mesh.Connect(t.Context(), &mesh.Options{Addr: hub.Addr(), Name: "my-lamp"})
	require.NoError(t, err)
	lamp.On("lamp::switch", func(mesh.Event) {})
	require.NoError(t, lamp.Flush(t.Context()))
	t.Cleanup(func() {
		var closing sync.WaitGroup
		for _, c := range append(clients, lamp) {
			closing.Go(func() { _ = c.Close() })
		}
		closing.Wait()
	})
	return clients, lamp
}

// testPageOfACrowd visits a hub with more nodes than the picture has places for.
func testPageOfACrowd(t *testing.T, v visitor) {
	// On a busy machine a page of many nodes and events is late.
	counts, rate := []int{100}, 50
	if interoptest.Full() {
		counts, rate = []int{100, 2000, 9900}, 500
	}
	for _, n := range counts {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			hub := startGoHub(t, mesh.Options{Name: "middle"})
			clients, lamp := fill(t, hub, n)
			page := v.visit(t, "http://"+hub.Addr(), map[string]any{"viewport": map[string]int{"width": 1280, "height": 900}})
			page.see(t, "#state", "Connected, websocket")
			page.see(t, "#list-title", fmt.Sprintf("%d nodes", n+3))
			page.see(t, "#groups li", fmt.Sprintf("%d × worker …", n-n/4))
			page.see(t, "#groups li", "listens to device::#::set")
			page.see(t, "#groups li", "my-lamp node · listens to lamp::switch")
			page.see(t, "#emitting-text", "No node emits.")
			require.JSONEq(t, "0", string(page.run(t, "return page.locator('#crowd path, #star:visible').count()")), "no line where no event passes")

			t.Run("a node is found and explained", func(t *testing.T) {
				page.run(t, `await page.evaluate(() => {
					window.found = null
					const start = performance.now()
					new MutationObserver(() => { found = found || performance.now() - start }).observe(document.getElementById('found'), { childList: true })
				})`)
				page.fill(t, "#nodes", "Find a node", "my-LAMP")
				page.see(t, "#found li", "my-lamp node · websocket, revision 3")
				var took float64
				require.NoError(t, json.Unmarshal(page.run(t, "return page.evaluate(() => found)"), &took))
				interoptest.RequireTakes(t, time.Second, time.Duration(took*float64(time.Millisecond)), "from before the typing to the answer")
				page.see(t, "#find-text", "1 node.")
				page.click(t, "Explain why my-lamp does not get an event")
				page.run(t, "await page.keyboard.type('lamp::switch'); await page.keyboard.press('Enter')")
				page.see(t, "#explain-text", "Yes: my-lamp would get lamp::switch.")
				page.fill(t, "#nodes", "Find a node", lamp.ID()[:10])
				page.see(t, "#found li", "my-lamp node")
				page.fill(t, "#nodes", "Find a node", "worker 7")
				page.run(t, "await page.waitForFunction(() => document.querySelector('#found strong')?.textContent === 'worker 7')") // the node with exactly this name comes first
				page.fill(t, "#nodes", "Find a node", "nobody here")
				page.see(t, "#find-text", "No node has a name with “nobody here”")
				page.fill(t, "#nodes", "Find a node", "")
				page.run(t, "await page.locator('#found li').first().waitFor({ state: 'detached' })")
			})

			t.Run("rates", func(t *testing.T) {
				stop := make(chan struct{})
				var emitting sync.WaitGroup
				emitting.Go(func() {
					tick := time.NewTicker(time.Second / time.Duration(rate))
					defer tick.Stop()
					for i := 0; ; i++ {
						select {
						case <-tick.C:
						case <-stop:
							return
						}
						switch i % 10 {
						case 0, 1, 2, 3, 4:
							_ = lamp.Emit("job::light", i)
						case 5, 6:
							_ = lamp.Emit("heat", i)
						default:
							_ = clients[i%len(clients)].Emit("work", map[string]any{"n": i, "text": "some payload"})
						}
					}
				})
				defer emitting.Wait()
				defer close(stop)
				page.run(t, "await page.waitForFunction(() => /^my-lamp [1-9]/.test(document.querySelector('#emitters li')?.textContent || ''))")
				page.run(t, "await page.waitForFunction(() => /job::light [1-9].*heat [1-9]/.test(document.querySelector('#emitters li .hint')?.textContent || ''))")
				page.see(t, "#groups li", "worker … up to ")
				page.run(t, "await page.locator('#crowd path.flow.in').first().waitFor({ state: 'attached' }); await page.locator('#crowd path.flow.out').first().waitFor({ state: 'attached' })")
				page.keep(t, fmt.Sprintf("crowd of %d", n))
				if interoptest.Soak {
					page.requireFrames(t)
				}

				page.run(t, "await page.getByRole('button', { name: 'Show the events from my-lamp only' }).click()")
				page.see(t, "#stream-text", "Only events from my-lamp: ")
				page.run(t, "await page.waitForFunction(() => [...document.querySelectorAll('#stream li')].every(e => e.hidden || /from my-lamp/.test(e.textContent)))")
				page.run(t, "await page.getByRole('button', { name: 'Show the events job::light only' }).first().click()")
				page.see(t, "#stream-text", "Only events job::light: ")
				page.run(t, "await page.getByRole('button', { name: 'Show the events job::light only' }).first().click()")
				page.run(t, "await page.waitForFunction(() => document.getElementById('filter').value === '')") // a second click shows all events again
				page.run(t, "await page.getByRole('button', { name: 'Show the events device::#::set only' }).first().click()")
				page.see(t, "#stream-text", "Only events device::*::set: ")
			})
		})
	}
}

// requireFrames requires that no task of the page delays a frame by 100 ms. It measures processor time, because other
// programs keep the machine busy.
func (p visit) requireFrames(t *testing.T) {
	t.Helper()
	var longest float64
	require.NoError(t, json.Unmarshal(p.run(t, `
		const browser = page.context().browser()
		await browser.startTracing(page, { categories: ['toplevel', 'devtools.timeline'] })
		await page.waitForTimeout(10000) // the time to measure in
		const { traceEvents } = JSON.parse((await browser.stopTracing()).toString())
		const main = traceEvents.filter(e => e.name === 'thread_name' && e.args.name === 'CrRendererMain')
			.find(m => traceEvents.some(e => e.pid === m.pid && e.tid === m.tid && e.name === 'FireAnimationFrame'))
		return Math.max(...traceEvents.filter(e => e.ph === 'X' && e.pid === main.pid && e.tid === main.tid && /RunTask/.test(e.name)).map(e => (e.tdur || 0) / 1000))`), &longest))
	require.Less(t, longest, 100.0, "ms of processor time in one task")
	t.Logf("the longest task took %.0f ms of processor time", longest)
}

// testPageOfLargeHubs saves pictures of three hubs with 50 clients each.
func testPageOfLargeHubs(t *testing.T, v visitor) {
	hubs, _ := startHubs(t, "alpha.example.com", "a hub with a name that is as long as that of a hub should not be at all", "")
	for i := range 150 {
		c := startGoClient(t, hubs[i%3].port(t), mesh.Options{Name: fmt.Sprintf("worker %d", i/3)})
		c.on(t, fmt.Sprintf("job::%d", i%5))
	}
	for _, theme := range []string{"light", "dark"} {
		for i, width := range []int{360, 1280} {
			if !themed(theme, i) {
				continue
			}
			page := v.visit(t, "http://"+hubs[0].Addr(), map[string]any{
				"viewport": map[string]int{"width": width, "height": 800}, "colorScheme": theme, "reducedMotion": "reduce",
			})
			page.see(t, "#list-title", "154 nodes")
			page.see(t, "#state", "Connected, websocket")
			for _, where := range []string{"at alpha.example.com", "at a hub with a name", "at hub " + hubs[2].ID()[:8]} {
				page.see(t, "#groups li", "50 × worker … node "+where)
			}
			hubs[1].emit(t, "job::1", "1")
			page.see(t, "#stream-text", "of 1 received")
			page.see(t, "#emitters li", "a hub with a name")
			page.keep(t, fmt.Sprintf("150 nodes at 3 hubs, %s, %d", theme, width))
			require.JSONEq(t, fmt.Sprint(width), string(page.run(t, "return page.evaluate(() => document.documentElement.scrollWidth)")), "no horizontal scrolling")
			page.run(t, "await page.context().close()")
		}
	}
}
