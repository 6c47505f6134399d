package interop

import (
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// watched is a program that records the states of a client and the events of the browser, with times.
const watched = `await page.evaluate(async ({ url, transports }) => {
	const { connect } = await import('/mesh.mjs')
	window.states = []
	const note = what => states.push({ what, at: performance.now() })
	// since returns for how many milliseconds a state came after an event, or null if it has not come.
	window.since = (event, state) => {
		const from = states.findLastIndex(s => s.what === event)
		const to = states.findIndex((s, i) => s.what === state && i >= Math.max(0, from - 1)) // a listener of the client's may be first
		return from < 0 || to < 0 ? null : states[to].at - states[from].at
	}
	for (const type of ['offline', 'online']) addEventListener(type, () => note(type))
	for (const type of ['freeze', 'resume', 'visibilitychange']) document.addEventListener(type, () => note(type + ' ' + document.visibilityState))
	window.node = connect({ url, name: 'watched', transports })
	note(node.state.status)
	node.onState(({ status, error }) => note(status + (status === 'disconnected' && error ? ' ' + error.message : '')))
}, { url: %s, transports: %s })`

func (p visit) watch(t *testing.T, url string, transports []string) {
	t.Helper()
	p.run(t, watched, url, transports)
	p.run(t, "await page.waitForFunction(() => node.state.status === 'connected')")
}

// since waits until a state follows an event, and requires, with the build tag soak, that this takes less than most.
func (p visit) since(t *testing.T, event, state string, most time.Duration) {
	t.Helper()
	var ms float64
	took := p.run(t, "return (await page.waitForFunction(([event, state]) => since(event, state) !== null && { took: since(event, state) }, [%s, %s])).evaluate(o => o.took)", event, state)
	require.NoError(t, json.Unmarshal(took, &ms))
	interoptest.RequireTakes(t, most, time.Duration(ms*float64(time.Millisecond)), state+" after "+event)
}

// testPageGoesOffline takes the browser offline and online again. The events that the page emits meanwhile arrive.
func testPageGoesOffline(t *testing.T, v visitor) {
	for _, transports := range [][]string{{"polling"}, {"websocket"}, {"polling", "websocket"}} {
		t.Run(fmt.Sprint(transports), func(t *testing.T) {
			hub := startGoHub(t, mesh.Options{})
			hub.on(t, "meanwhile")
			page := v.visit(t, "http://"+hub.Addr()+"/mesh.js", nil)
			page.watch(t, "http://"+hub.Addr(), transports)
			page.run(t, "await page.context().setOffline(true)")
			page.since(t, "offline", "disconnected mesh: the browser is offline", time.Second)
			page.run(t, "await page.evaluate(() => node.emit('meanwhile', 1))")
			page.run(t, "await page.waitForFunction(() => node.state.attempt > 3)") // retries have become rare
			page.run(t, "await page.evaluate(() => { states.length = 0 })")
			page.run(t, "await page.context().setOffline(false)")
			page.since(t, "online", "connected", 2*time.Second)
			require.Equal(t, "meanwhile", hub.heard().MustAwait(t, "heard").Name)
		})
	}
	hub := startGoHub(t, mesh.Options{})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Connected, websocket")
	page.run(t, "await page.context().setOffline(true)")
	page.see(t, "#state", "Not connected")
	page.see(t, "#detail", "the browser is offline")
	page.keep(t, "offline")
	page.run(t, "await page.context().setOffline(false)")
	page.see(t, "#state", "Connected, websocket")
}

// testPageIsFrozen freezes a page, as a browser does with a tab that has been hidden for a long time. The page leaves
// the mesh meanwhile. Headless Chromium freezes no page, so the test sends the events.
func testPageIsFrozen(t *testing.T, v visitor) {
	for _, transports := range [][]string{{"polling"}, {"websocket"}} {
		t.Run(transports[0], func(t *testing.T) {
			hub := startGoHub(t, mesh.Options{})
			page := v.visit(t, "http://"+hub.Addr()+"/mesh.js", nil)
			page.watch(t, "http://"+hub.Addr(), transports)
			page.run(t, "await page.evaluate(() => document.dispatchEvent(new Event('freeze')))")
			require.Eventually(t, func() bool { return hub.Stats().Peers == 0 }, AwaitTimeout, time.Millisecond)
			page.run(t, "await page.evaluate(() => document.dispatchEvent(new Event('resume')))")
			require.Eventually(t, func() bool { return hub.Stats().Peers == 1 }, AwaitTimeout, time.Millisecond)
			page.run(t, "await page.waitForFunction(() => node.state.status === 'connected')")
		})
	}
}

// testPageProvesItsConnection checks that a page tests its connection when it becomes visible again, or when the
// network is back, because the connection may be dead.
func testPageProvesItsConnection(t *testing.T, v visitor) {
	// Each of the tests waits for 5 s. They are not parallel tests: these would wait for a slot until all other tests have
	// started, and the rest of TestPage with them.
	var all sync.WaitGroup
	defer all.Wait()
	for event, target := range map[string]string{"visibilitychange": "document", "online": "window"} {
		for _, transport := range []string{"polling", "websocket"} {
			all.Go(func() {
				t.Run(event+" "+transport, func(t *testing.T) {
					page := v.visit(t, "about:blank", nil)
					hub := startGoHub(t, mesh.Options{AllowedOrigins: []string{"*"}})
					way := newSilencer(t, hub.Addr())
					page.run(t, "await page.goto(%s)", "http://"+hub.Addr()+"/mesh.js")
					page.watch(t, way.url(), []string{transport})
					dispatch := "await page.evaluate(() => { states.length = 0; " + target + ".dispatchEvent(new Event('" + event + "')) })"
					page.run(t, dispatch)
					// The event makes the page send a ping. When the response to $mesh.nodes is here, the pong is here too.
					page.run(t, "await page.evaluate(() => new Promise(resolve => node.once('$mesh.nodes', resolve).emit('$mesh.nodes', { rid: 1 })))")
					require.JSONEq(t, `[]`, string(page.run(t, "return page.evaluate(() => states.filter(s => /connect/.test(s.what)))")), "a live connection is kept")

					way.silence(true)
					page.run(t, "await page.evaluate(() => node.emit('lost', 1))") // makes the connection silent for good
					require.Eventually(t, way.hasSilenced, AwaitTimeout, time.Millisecond)
					way.silence(false)
					page.run(t, dispatch)
					page.run(t, "await page.waitForFunction(() => states.some(s => s.what === 'disconnected mesh: the hub is silent') && node.state.status === 'connected')")
				})
			})
		}
	}
}

// testPageDrawsAfterItWasHidden gives paced the frames that a browser gives: no frames while the page is hidden or the
// machine sleeps.
func testPageDrawsAfterItWasHidden(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{})
	page := v.visit(t, "http://"+hub.Addr()+"/page/icon.svg", nil)
	for _, tc := range []struct {
		name, away string // away runs between some work and the next frame
		wait       int    // milliseconds from then until the next work
	}{
		{"hidden for 10 s", "turn(); clock += 10000; turn()", 0},
		{"hidden for 0.3 s", "turn(); clock += 300; turn()", 0},
		{"hidden, and hidden again before a frame", "turn(); clock += 5000; turn(); turn(); clock += 5000; turn()", 0},
		{"no frames for 10 s, without an event", "clock += 10000", 0},
		{"no frames for 0.6 s, without an event", "clock += 600", 400},
		{"drawing for 50 ms", "clock += 50", 200},
		{"drawing for 2 ms", "clock += 2", 8},
	} {
		got := page.run(t, `return page.evaluate(async () => {
			let frames = [], clock = 1e6, done = []
			performance.now = () => clock
			window.requestAnimationFrame = fn => frames.push(fn)
			const frame = () => { const now = frames; frames = []; for (const fn of now) fn(clock) }
			const turn = () => document.dispatchEvent(new Event('visibilitychange'))
			const { paced } = await import('/page/dom.js')
			const ask = paced(() => done.push(clock))
			ask()
			frame()
			`+tc.away+`
			const back = clock
			ask()
			while (done.length < 2) {
				frame()
				if (done.length < 2) clock++
			}
			return done[1] - back
		})`)
		require.JSONEq(t, fmt.Sprint(tc.wait), string(got), tc.name)
	}
}
