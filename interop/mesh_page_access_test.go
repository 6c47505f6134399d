package interop

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

func TestPageIsToldThatItIsRefused(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	hub := startGoHub(t, mesh.Options{Authorize: mesh.BasicAuth(user, password), AllowedOrigins: []string{b.origin}})
	hub.on(t, "ping")
	for _, client := range clients {
		page := b.load(t, b.files+client)
		options := hubURL(hub.port(t))
		for _, wrong := range []string{"wrong", ""} {
			require.NoError(t, page.Do(Command{Do: "connect", Options: with(options, "user", user, "password", wrong)}))
			refused := page.MustAwait(t, "refused")
			require.Equal(t, "unauthorized", refused.Reason)
			ev := page.MustAwait(t, "disconnected")
			for ev.Reason == "" { // from the end of an earlier attempt
				ev = page.MustAwait(t, "disconnected")
			}
			require.Equal(t, "unauthorized", ev.Reason)
			require.JSONEq(t, "null", page.run(t, "return client.state.retry"), "it does not try again")
			if client == "/mesh.js" {
				page = b.load(t, b.files+client)
			}
		}
		// With the right password the client is admitted.
		code, err := json.Marshal(with(options, "password", password))
		require.NoError(t, err)
		require.NoError(t, page.Do(Command{Do: "connect", Options: with(options, "password", password)}))
		page.MustAwait(t, "answered")
		page.emit(t, "ping", string(code))
		require.Equal(t, "ping", hub.heard().MustAwait(t, "heard").Name)
	}
	require.Equal(t, uint64(4), hub.Stats().AuthFailures)
}

// TestPagesPresentAToken checks how a page presents a token. With polling, the token is in a header, which the hub must
// permit to pages of other origins. A WebSocket cannot have such a header, so the token is in the query.
func TestPagesPresentAToken(t *testing.T) {
	t.Parallel()
	const token = "t0ken+/=&?#%"
	b := startBrowser(t)
	hub, err := mesh.NewHub(&mesh.Options{Authorize: mesh.BearerAuth(token), AllowedOrigins: []string{b.origin}})
	m := newGoMember(t, hub, err)
	m.on(t, "ping")
	var mu sync.Mutex
	var queries []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		if r.URL.Query().Has("token") {
			queries = append(queries, r.URL.Query().Get("token"))
		}
		mu.Unlock()
		hub.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	t.Cleanup(func() { require.NoError(t, hub.Close()) })
	for _, client := range clients {
		page := b.load(t, server.URL+client)
		for _, transports := range [][]string{{"polling", "websocket"}, {"polling"}, {"websocket"}} {
			options := map[string]any{"transports": transports}
			require.NoError(t, page.Do(Command{Do: "connect", Options: with(options, "token", "gu3ss")}))
			require.Equal(t, "unauthorized", page.MustAwait(t, "refused").Reason)
			if client == "/mesh.js" {
				page = b.load(t, server.URL+client)
			}
			page.connect(t, Command{Options: with(options, "token", token)})
			page.emit(t, "ping", "1")
			require.Equal(t, "ping", m.heard().MustAwait(t, "heard").Name)
			if client == "/mesh.js" {
				page = b.load(t, server.URL+client)
			}
		}
		for _, wrong := range []string{"a b", "é", "x\\r\\nY: z"} {
			require.Equal(t, "token", page.fails(t, `(client || mesh.emitter).connect({ token: "`+wrong+`" })`))
		}
	}
	require.Equal(t, []string{"gu3ss", token, "gu3ss", token}, queries, "once each, where there is no polling")
}

func TestNodeHubAdmitsAPage(t *testing.T) {
	t.Parallel()
	b := startBrowser(t)
	hub := startNodeMember(t)
	port := hub.listen(t, Command{Accept: [][2]string{{user, password}}})
	hub.on(t, "ping")
	wrong, right := b.load(t, b.files+"/mesh.mjs"), b.load(t, b.files+"/mesh.mjs")
	wrong.connect(t, Command{Options: with(hubURL(port), "user", user, "password", "wrong")})
	right.connect(t, Command{Options: with(hubURL(port), "user", user, "password", password)})
	for _, page := range []pageMember{wrong, right} {
		page.MustAwait(t, "upgrade")
	}
	wrong.emit(t, "ping", `"wrong"`)
	// The hub drops the event of the wrong page. So the first event that it receives is the event of the right page.
	right.emit(t, "ping", `"right"`)
	require.Equal(t, `"right"`, string(hub.MustAwait(t, "heard").Payload))
}
