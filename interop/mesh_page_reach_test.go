package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// TestPagesFindTheirHub checks that a page connects to the hub from which its script came, unless the script's query or
// the options name another hub.
func TestPagesFindTheirHub(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	listening := startGoHub(t, mesh.Options{AllowedOrigins: []string{b.origin}})
	mounted, err := mesh.NewHub(&mesh.Options{AllowedOrigins: []string{b.origin}})
	inside := newGoMember(t, mounted, err)
	mux := http.NewServeMux()
	mux.Handle("/deep/er/", inside)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, inside.Close()) })
	host := strings.TrimPrefix(server.URL, "http://")
	name, port, _ := strings.Cut(host, ":")
	unusual := startGoHub(t, mesh.Options{Addr: "http://127.0.0.1:0/its/own/", AllowedOrigins: []string{b.origin}})
	for _, hub := range []goMember{listening, inside, unusual} {
		hub.on(t, "here")
	}
	for _, client := range clients {
		for where, tc := range map[string]struct {
			hub     goMember
			script  string
			options map[string]any
		}{
			"the hub's own":        {listening, "http://" + listening.Addr(), nil},
			"a separate path":      {unusual, "http://" + unusual.Addr(), nil},
			"under a prefix":       {inside, server.URL + "/deep/er", nil},
			"the script's query":   {inside, "", nil},
			"url":                  {listening, b.files, map[string]any{"url": "http://" + listening.Addr()}},
			"url and path":         {inside, b.files, map[string]any{"url": server.URL, "path": "deep/er/engine.io"}},
			"url with a path":      {inside, b.files, map[string]any{"url": server.URL + "/deep/er/engine.io"}},
			"host and path":        {inside, b.files, map[string]any{"host": host, "path": "/deep/er/engine.io/"}},
			"host, port, and path": {inside, "https://example.com", map[string]any{"host": name, "port": port, "path": "/deep/er/engine.io", "secure": false}},
			"port":                 {listening, b.files, map[string]any{"port": listening.port(t)}},
		} {
			t.Run(client[1:]+" "+where, func(t *testing.T) {
				script := tc.script + client
				switch {
				case tc.script == "":
					script = b.files + client + "?hub=" + server.URL + "/deep/er/engine.io/"
					if client == "/mesh.mjs" {
						script += "#.mjs"
					}
				case strings.HasPrefix(tc.script, "https"):
					script = b.files + client // the options override the address of the script
				}
				page := b.load(t, script)
				page.connect(t, Command{Options: tc.options})
				page.emit(t, "here", "")
				require.Equal(t, "here", tc.hub.heard().MustAwait(t, "heard").Name)
				page.run(t, "client.close()")
			})
		}
	}
	page := b.load(t, b.files+"/mesh.js")
	failed := "try { client.connect({ url: 'http://:' }) } catch (error) { return error.name }"
	require.Equal(t, `"TypeError"`, page.run(t, failed))
}

// TestPagesReturnToAHubThatRestarts checks that pages reconnect with all their subscriptions, and send the events that
// they emitted meanwhile.
func TestPagesReturnToAHubThatRestarts(t *testing.T) {
	t.Parallel()
	eachPage(t, func(t *testing.T, b browser, client string, hub kind) {
		s := &star{port: interoptest.StablePort(t)}
		listens := []string{"mark", "ping", "offline"}
		start := func() (end func()) {
			if hub == nodeKind {
				s.hub, end = startHubAt(t, hub, s.port, listens...)
				return end
			}
			s.hub, end = startGoHubAt(t, mesh.Options{Addr: localAddr(s.port), AllowedOrigins: []string{b.origin}}, listens...)
			return end
		}
		end := start()
		page := b.load(t, b.files+client)
		for _, name := range []string{"ping", "ns::ping", "done"} {
			page.on(t, name)
		}
		page.connect(t, Command{Options: hubURL(s.port)})
		page.MustAwait(t, "upgrade")
		s.clients = []member{page}
		s.sync(t)
		for range 2 {
			end()
			var state struct {
				Attempt int
				Retry   float64
				Error   any
			}
			for state.Attempt == 0 {
				require.NoError(t, json.Unmarshal(page.MustAwait(t, "disconnected").Result, &state))
				require.LessOrEqual(t, state.Retry, 5000.)
				require.Positive(t, state.Retry)
			}
			page.emit(t, "offline", `{"n":1}`)
			page.emit(t, "offline", `{"n":2}`)
			end = start()
			page.MustAwait(t, "connected")
			for n := range 2 {
				ev := s.hub.heard().MustAwait(t, "heard")
				require.Equal(t, "offline", ev.Name, "the event that waited for the hub")
				require.Contains(t, string(ev.Payload), fmt.Sprintf(`"n":%d`, n+1))
			}
			page.MustAwait(t, "upgrade")
			s.sync(t)
			s.requireRound(t, s.hub, "ping", 1, 1)
			s.requireRound(t, s.hub, "ns::ping", 0, 1)
			s.requireRound(t, page, "ping", 1, 1)
		}
	})
}

// TestPagesDoNotCallAHubThatGreetsAndClosesWithoutEnd checks that the pauses grow with each connection that does not
// last.
func TestPagesDoNotCallAHubThatGreetsAndClosesWithoutEnd(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	hub := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for range 2 { // the handshake, and the event that waited for the hub
			if _, err := s.Read(ctx); err != nil {
				return
			}
		}
	}), &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}, AllowedOrigins: []string{b.origin}})
	web := httptest.NewServer(hub)
	t.Cleanup(func() {
		_ = hub.Close()
		web.Close()
	})
	for _, client := range clients {
		page := b.load(t, b.files+client)
		page.connect(t, Command{Options: map[string]any{"url": web.URL, "transports": []string{"websocket"}}})
		for i := range 6 {
			page.emit(t, "said", "1")
			var state struct{ Attempt, Retry int }
			require.NoError(t, json.Unmarshal(page.MustAwait(t, "disconnected").Result, &state))
			require.Equal(t, i, state.Attempt)
			require.LessOrEqual(t, state.Retry, 50<<i)
			require.GreaterOrEqual(t, state.Retry, 25<<i)
			page.MustAwait(t, "connected")
		}
		page.run(t, "return client.close(), 1")
	}
}

// TestPagesOutliveAHubThatIsShutDown checks that pages stay at a hub during its Shutdown, because pages do not move.
// Then they connect to the hub that takes its place.
func TestPagesOutliveAHubThatIsShutDown(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	t.Run("with", func(t *testing.T) { // the parent test ends after the parallel tests in it, and so does the browser
		for _, client := range clients {
			for _, transports := range [][]string{{"polling", "websocket"}, {"websocket"}, {"polling"}} {
				t.Run(client[1:]+" "+strings.Join(transports, " "), func(t *testing.T) {
					t.Parallel()
					backplane := new(mesh.LocalBackplane)
					here := mesh.Options{Addr: localAddr(interoptest.StablePort(t)), AllowedOrigins: []string{b.origin}, Backplane: backplane}
					hub := startGoHub(t, here)
					there := startGoHub(t, mesh.Options{Backplane: backplane})
					there.on(t, "said")
					startGoClient(t, hub.port(t), mesh.Options{}) // knows no other hub, so it keeps this hub from closing
					page, late := b.load(t, b.files+client), b.load(t, b.files+client)
					page.on(t, "ping")
					options := with(hubURL(hub.port(t)), "transports", transports)
					page.connect(t, Command{Options: options})
					if len(transports) > 1 {
						page.MustAwait(t, "upgrade")
					}
					page.emit(t, "said", "1") // arrives after the page's subscriptions
					require.Equal(t, "said", there.heard().MustAwait(t, "heard").Name)

					ctx, end := context.WithCancel(t.Context())
					defer end()
					ended := make(chan error)
					go func() { ended <- hub.Shutdown(ctx) }()
					require.Eventually(t, func() bool { return hub.Ready() != nil }, AwaitTimeout, time.Millisecond)
					late.Must(t, Command{Do: "connect", Options: options}, "disconnected") // rejected
					there.emit(t, "ping", "1")
					require.Equal(t, "1", string(page.MustAwait(t, "heard").Payload))
					page.emit(t, "said", "2")
					require.Equal(t, "2", string(there.heard().MustAwait(t, "heard").Payload))

					end()
					require.ErrorIs(t, <-ended, context.Canceled)
					page.MustAwait(t, "disconnected")
					page.emit(t, "said", "3") // waits for a hub
					hub = startGoHub(t, here)
					require.Equal(t, "3", string(there.heard().MustAwait(t, "heard").Payload))
					page.MustAwait(t, "connected")
					late.MustAwait(t, "connected")
					require.Equal(t, `"`+hub.ID()+`"`, page.run(t, "return client.state.hub.id"))
					page.emit(t, "said", "4")
					require.Equal(t, "4", string(there.heard().MustAwait(t, "heard").Payload))
					there.emit(t, "ping", "2")
					require.Equal(t, "2", string(page.MustAwait(t, "heard").Payload), "it listens as before")
				})
			}
		}
	})
}
