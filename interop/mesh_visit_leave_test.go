package interop

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// testPageIsLeft goes to another page and back. The browser keeps the first page, which does not run meanwhile.
func testPageIsLeft(t *testing.T, v visitor) {
	for _, test := range []struct {
		name       string
		transports []string
		states     []string // from the start, or from the moment when the page is left, until it is connected
	}{
		{"polling", []string{"polling"}, []string{"disconnected", "connecting", "connected polling"}},
		{"websocket", []string{"websocket"}, []string{"disconnected", "connecting", "connected websocket"}},
		{"upgrade", []string{"polling", "websocket"}, []string{"disconnected", "connecting", "connected websocket"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			hub := startGoHub(t, mesh.Options{})
			hub.on(t, "answer")
			coming := make(chan mesh.Presence, 16)
			hub.OnPresence(func(p mesh.Presence) { coming <- p })
			come := func(joined bool) {
				t.Helper()
				select {
				case p := <-coming:
					require.Equal(t, "left", p.Node.Name)
					require.Equal(t, joined, p.Joined)
				case <-time.After(AwaitTimeout):
					require.FailNow(t, "no node joins or leaves")
				}
			}
			url := "http://" + hub.Addr()
			page := v.visit(t, url+"/mesh.js", nil)
			page.run(t, `await page.evaluate(async transports => {
				const { connect } = await import('/mesh.mjs')
				window.states = ['disconnected', 'connecting']
				window.node = connect({ name: 'left', transports })
				node.on('ask', payload => node.emit('answer', payload))
				node.onState(({ status, transport }) => states.push((status + ' ' + transport).trim()))
				addEventListener('pageshow', ({ persisted }) => { window.kept = persisted })
			}, %s)`, test.transports)
			come(true)
			for range 2 { // it leaves and comes back
				// An upgrade may be over before the hub has responded by polling.
				page.run(t, `await page.waitForFunction(wanted => JSON.stringify(wanted) ===
					JSON.stringify(states.filter((state, i) => state !== 'connected polling' || i === states.length - 1)), %s)`, test.states)
				hub.emit(t, "ask", "1")
				require.Equal(t, "answer", hub.heard().MustAwait(t, "heard").Name)
				page.run(t, "await page.evaluate(() => { states = [] })")
				page.run(t, "await page.goto(%s)", url+"/mesh.mjs")
				come(false)
				page.run(t, "await page.goBack({ waitUntil: 'commit' })")
				come(true)
				require.Equal(t, "true", string(page.run(t, "return page.evaluate(() => kept)")), "the browser kept the page")
			}
			page.run(t, "await page.evaluate(() => { node.close(); kept = false })")
			come(false)
			page.run(t, "await page.goto(%s)", url+"/mesh.mjs")
			page.run(t, "await page.goBack({ waitUntil: 'commit' })")
			page.run(t, "await page.waitForFunction(() => kept)")
			require.Equal(t, `"disconnected"`, string(page.run(t, "return page.evaluate(() => node.state.status)")), "it had left before")
		})
	}
	t.Run("between two polls", func(t *testing.T) {
		hub := startGoHub(t, mesh.Options{})
		page := v.visit(t, "http://"+hub.Addr()+"/mesh.js", nil)
		page.run(t, `await page.evaluate(async () => {
			const { connect } = await import('/mesh.mjs')
			await new Promise(resolve => connect({ transports: ['polling'] }, resolve).on('ask', () => {}))
		})`)
		page.run(t, `
			let stop
			page.stopped = new Promise(resolve => { stop = resolve })
			await page.route(/transport=polling/, route => {
				if (route.request().method() === 'GET') stop() // and it does not go on
				else return route.continue()
			})`)
		hub.emit(t, "ask", "1") // ends the waiting poll
		page.run(t, "await page.stopped")
		page.run(t, "await page.goto(%s)", "http://"+hub.Addr()+"/mesh.mjs")
		require.Eventually(t, func() bool { return hub.Stats().Peers == 0 }, AwaitTimeout, time.Millisecond)
	})
	t.Run("hub's page", func(t *testing.T) {
		hub := startGoHub(t, mesh.Options{})
		ours := startGoClient(t, hub.port(t), mesh.Options{Name: "ours"})
		page := v.visit(t, "http://"+hub.Addr(), nil)
		page.see(t, "#list-title", "3 nodes")
		page.run(t, "await page.goto(%s)", "http://"+hub.Addr()+"/mesh.js")
		require.Eventually(t, func() bool { return hub.Stats().Peers == 1 }, AwaitTimeout, time.Millisecond)
		require.NoError(t, ours.Close())
		page.run(t, "await page.goBack({ waitUntil: 'commit' })")
		page.see(t, "#list-title", "2 nodes")
		page.see(t, "#state", "Connected, websocket")
		hub.emit(t, "greeting", `"again"`)
		page.see(t, "#stream li", "again")
	})
}
