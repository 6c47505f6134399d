package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/cmd/mesh/loadgen"
	"github.com/bigcompany/mesh/mesh"
)

func testPageAsksForUserAndPassword(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{Authorize: mesh.BasicAuth(user, password)})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Not admitted")
	page.see(t, "#sign-in-text", "The hub requires credentials. User and password, or token, go to this hub.")
	require.Equal(t, `"user"`, string(page.run(t, "return page.evaluate(() => document.activeElement.id)")), "the field has the focus")
	page.keep(t, "sign in")
	page.run(t, "await page.keyboard.type(%s); await page.keyboard.press('Tab'); await page.keyboard.type('wrong'); await page.keyboard.press('Enter')", user)
	page.see(t, "#sign-in-text", "The hub rejected this. User and password, or token, go to this hub.")
	page.see(t, "#detail", "The hub says: ")
	page.fill(t, "#sign-in", "Password", password)
	page.click(t, "Sign in")
	page.see(t, "#state", "Connected, websocket")
	page.run(t, "await page.locator('#sign-in').waitFor({ state: 'hidden' })")
	require.NotContains(t, string(page.run(t, "return page.content()")), password)
}

// testPageTakesAToken signs in with a token. The token must not be in the page, in its address, in its requests or in
// the hub's log.
func testPageTakesAToken(t *testing.T, v visitor) {
	const token = "s3cret-t0ken+/=&?#%"
	var log bytes.Buffer // read when the hub has ended
	hub := startGoHub(t, mesh.Options{Authorize: mesh.BearerAuth(token), Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
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
	page.see(t, "#sign-in-text", "The hub rejected this.")
	page.fill(t, "#sign-in", "Token", " "+token+" ") // with the blanks of a copied text
	page.keep(t, "sign in with a token")
	page.click(t, "Sign in")
	page.see(t, "#state", "Connected, websocket")
	require.EqualValues(t, 2, hub.Stats().AuthFailures)
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

// testPageOfAnotherName visits a site whose name leads to the visitor's machine. The hub must reject the page, because
// such a page could be the site's and not the hub's.
func testPageOfAnotherName(t *testing.T, v visitor) {
	var log bytes.Buffer // read when the hub has ended
	hub := startGoHub(t, mesh.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	at := strings.Replace(hub.Addr(), "127.0.0.1", "site.example", 1)
	page := v.visit(t, "http://"+at, nil)
	page.see(t, "body", "Forbidden: this machine does not know the name "+at)
	require.JSONEq(t, "1006", string(page.run(t, `return page.evaluate(() => new Promise(done => {
		new WebSocket('ws://' + location.host + '/engine.io/?EIO=3&transport=websocket').onclose = e => done(e.code)
	}))`)), "nor by a WebSocket")
	require.Zero(t, hub.Stats().Peers)
	require.NoError(t, hub.Close())
	require.Contains(t, log.String(), "host="+at)
}

func testPageSaysWhatItMayNot(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{Permit: func(_ mesh.PeerInfo, a mesh.Action, event string) bool {
		return a == mesh.ActionListen || event == "permitted"
	}})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Connected, websocket")
	page.see(t, "#nodes-text", "The hub does not list its nodes: ")
	page.fill(t, "#emit", "Event", "secret")
	page.click(t, "Emit")
	page.see(t, "#emit-text", "The hub rejects secret: may-not-emit.")
	hub.emit(t, "permitted", "1")
	page.see(t, "#stream li", "permitted from the hub")
}

// testPageAmongManyWatchers visits a hub with many watchers. The hub does not notify the page of new nodes, so the page
// asks from time to time.
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
	require.Eventually(t, func() bool { // all of them watch: the hub knows the tables that they sent after that
		all, err := hub.Nodes(t.Context())
		require.NoError(t, err)
		return !slices.ContainsFunc(all, func(n mesh.NodeInfo) bool { return n.Role == mesh.RoleClient && len(n.Interests) == 0 })
	}, AwaitTimeout, 10*time.Millisecond)
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#nodes-text", "Too many nodes watch this hub already: the page asks it from time to time.")
	page.see(t, "#list-title", "258 nodes")
	startGoClient(t, hub.port(t), mesh.Options{})
	page.see(t, "#list-title", "259 nodes")
	// The page does not learn of so many nodes one by one, but it learns of every hub.
	another := startGoHub(t, mesh.Options{Name: "another", Backplane: backplane})
	startGoClient(t, another.port(t), mesh.Options{})
	page.see(t, "#list-title", "261 nodes")
	page.see(t, "#hubs li", "another")
	page.see(t, "#groups li", "256 × node of the original mesh")
}

// testPageUnderAttack checks that the page works whatever other nodes send, and that it mistakes no node for another.
func testPageUnderAttack(t *testing.T, v visitor) {
	hub := startGoHub(t, mesh.Options{})
	page := v.visit(t, "http://"+hub.Addr(), nil)
	page.see(t, "#state", "Connected, websocket")
	page.run(t, "await page.locator('#list-title').click()")

	// The page draws nodes when it has time, however many come and go.
	page.run(t, `await page.evaluate(() => {
		window.drawn = 0
		new MutationObserver(() => window.drawn++).observe(document.querySelector('#explain-to'), { childList: true })
	})`)
	const joining = 250
	crowd, err := loadgen.Open(t.Context(), loadgen.Target{Host: hub.Addr(), Path: "/engine.io/", Revision: 3}, loadgen.Options{
		Connections: joining,
		First: func(i int) []string {
			table := fmt.Sprintf(`{"mesh::%s%d":{}}`, strings.Repeat("**::a::", 4), i) // the longest table that all of them may have
			return []string{fmt.Sprintf(`{"event":"handshake","eventTable":%s,"headers":{"mesh":{"v":1,"key":"%032d","name":"%d"}}}`, table, i, i)}
		},
	})
	require.NoError(t, err)
	defer crowd.Close()
	page.see(t, "#list-title", fmt.Sprintf("%d nodes", joining+2))
	var drawn int
	require.NoError(t, json.Unmarshal(page.run(t, "return page.evaluate(() => drawn)"), &drawn))
	require.Less(t, drawn, joining/3, "not for each of them")

	// Events come faster than the page can show them, and have names that take long to compare. The buttons must still
	// work.
	flood := startGoClient(t, hub.port(t), mesh.Options{Name: "this page"})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				_ = flood.Emit(strings.Repeat("a::", 31)+fmt.Sprint(i%100), i) // fails if the queue is full
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

	// A node may choose any name.
	require.NoError(t, flood.Emit("greeting", 1))
	require.NoError(t, hub.Emit("greeting", 2))
	page.see(t, "#stream li", "from this page "+flood.ID()[:8])
	page.fill(t, "#emit", "Event", "mine")
	page.click(t, "Emit")
	page.see(t, "#stream li", "mine")
	require.Regexp(t, `mine\s+from this page\s+no payload`, strings.Join(page.rows(t), "\n"))
}
