package interop

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"
)

func browserCells(t *testing.T, modes []mode, client clientSide, server serverSide) {
	t.Helper()
	eachCell(t, modes, func(m mode, c cell) func(*testing.T) {
		return func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			require.NoError(t, c.run(ctx, client, server, m))
		}
	})
}

// TestBrowserJSONP runs each exchange with the last client that supports JSONP, in Chromium, on a page of another
// origin.
func TestBrowserJSONP(t *testing.T) {
	t.Parallel()
	page := startPage(t, "3.5.4")
	origin := *page.Node().Must(t, Command{Do: "where"}, "origin").Text
	client := peerClient{page, map[string]any{"forceJSONP": true}}
	browserCells(t, []mode{polling, upgrade}, client, &ourServer{origins: []string{origin}, jsonp: true})

	for name, server := range map[string]*ourServer{
		"no origin is allowed":      {jsonp: true},
		"another origin is allowed": {jsonp: true, origins: []string{"https://example.com"}},
		"JSONP is not allowed":      {origins: []string{origin}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			l, err := server.listen(ctx, setup{mode: polling})
			require.NoError(t, err)
			defer func() { require.NoError(t, l.close()) }()
			_, err = client.dial(ctx, l.url(), setup{mode: polling})
			require.ErrorContains(t, err, "jsonp poll error")
		})
	}
}

// TestBrowserCORS runs each exchange of the stock client on a page of another origin, by XMLHttpRequest and WebSocket.
func TestBrowserCORS(t *testing.T) {
	t.Parallel()
	page := startPage(t, "6.6.8")
	origin := *page.Node().Must(t, Command{Do: "where"}, "origin").Text
	browserCells(t, modes, peerClient{page, map[string]any{"withCredentials": true}}, &ourServer{origins: []string{origin}})
}
