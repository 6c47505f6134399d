package interop

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
)

// line is an HTTP transport that can be cut. Requests under way then fail, connections close, and no request succeeds
// until the line is mended.
type line struct {
	http.Transport

	mu    sync.Mutex
	parts []func()
	down  bool
}

func newLine(t *testing.T) *line {
	l := &line{}
	l.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		var d net.Dialer
		c, err := d.DialContext(ctx, network, addr)
		if err == nil {
			l.add(func() { _ = c.Close() })
		}
		return c, err
	}
	t.Cleanup(l.cut)
	return l
}

// RoundTrip makes a request.
func (l *line) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancel(r.Context())
	l.add(cancel) // otherwise the transport would repeat some requests on another connection
	return l.Transport.RoundTrip(r.WithContext(ctx))
}

func (l *line) add(part func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.down {
		part()
		return
	}
	l.parts = append(l.parts, part)
}

func (l *line) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, part := range l.parts {
		part()
	}
	l.parts, l.down = nil, true
}

func (l *line) mend() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.down = false
}

// TestNodeHubReadsAllThatAGoClientSends checks that the original's hub works as before after a Go client has used all
// of its features, and that the hub's own table and the tables of other clients are unchanged.
func TestNodeHubReadsAllThatAGoClientSends(t *testing.T) {
	t.Parallel()
	for _, transports := range [][]engineio.Transport{
		{engineio.Polling}, {engineio.WebSocket}, {engineio.Polling, engineio.WebSocket},
	} {
		t.Run(fmt.Sprint(transports), func(t *testing.T) {
			t.Parallel()
			hub := startNodeMember(t)
			s := &star{hub: hub, port: hub.listen(t, Command{Accept: [][2]string{{user, password}}})}
			for _, name := range []string{"mark", "ping"} {
				hub.on(t, name)
			}
			witness := startNodeMember(t)
			for _, name := range []string{"ping", "done"} {
				witness.on(t, name)
			}
			witness.connect(t, Command{Port: s.port, User: user, Password: password})
			s.clients = []member{witness}
			s.sync(t)
			before := tablesOf(t, hub)
			require.Contains(t, before.Own, "mesh::ping")

			for _, credentials := range []mesh.Options{{User: user, Password: password}, {User: user, Password: "wrong"}, {}} {
				credentials.Transports = transports
				repertoire(t, s.port, credentials)
				after := tablesOf(t, hub)
				require.Empty(t, cmp.Diff(before.Own, after.Own), "the hub's own table")
				for id, table := range before.Clients {
					require.Empty(t, cmp.Diff(table, after.Clients[id]), "the tables of other clients")
				}
			}

			s.settle(t, hub) // removes the events that the members received from the repertoire
			s.requireRound(t, hub, "ping", 1, 1)
			s.requireRound(t, witness, "ping", 1, 1)
		})
	}
}

// repertoire uses everything that a Go client can do.
func repertoire(t *testing.T, port int, o mesh.Options) {
	t.Helper()
	l := newLine(t)
	o.HTTPClient = &http.Client{Transport: l}
	c := startGoClient(t, port, o)
	emitAll(t, c)
	c.flush(t)

	var offs []func()
	for _, pattern := range []string{"ping", "a::b", "a::b::c", "wild::*", "**", "é::😀", "__proto__", "x::constructor", "a::"} {
		offs = append(offs, c.listen(pattern))
	}
	c.Once("once", c.hear)
	c.OnAny(func(mesh.Event) {})
	c.flush(t)
	emitAll(t, c)
	for _, off := range offs[:len(offs)/2] {
		off()
	}
	c.flush(t)
	for range 2 {
		l.cut()
		c.events.MustAwait(t, "disconnected")
		emitAll(t, c) // waits in the queue
		l.mend()
		c.events.MustAwait(t, "connected")
		emitAll(t, c)
		_ = c.Flush(t.Context()) // reports events that were lost when the line was cut
		c.flush(t)
	}
	for _, off := range offs {
		off()
	}
	require.Error(t, c.Emit("newListener", "x"))
	require.Error(t, c.Emit("handshake", nil))
	c.emit(t, "ping", `"`+strings.Repeat("x", 200_000)+`"`)
	require.NoError(t, c.Close())
}

// emitAll emits names and payloads of all kinds.
func emitAll(t *testing.T, c goMember) {
	t.Helper()
	names := []string{
		"ping", "é€😀", "a::b", "a::b::c", "a::", "::", ":::", " ", "\x00", "toString", "__proto__", "__proto__::x",
		"x::__proto__", "constructor", "x::hasOwnProperty", "_listeners", "removeListener", "error", "null",
	}
	for _, name := range names {
		require.NoError(t, c.Emit(name, nil))
		require.NoError(t, c.Emit(name, map[string]int{"n": 1}))
	}
	payloads := []string{
		"", "null", "{}", `{"id":null}`, `{"id":{"id":1}}`, `{"__proto__":{"id":1}}`, `{"toJSON":1}`, "[]", "[null]", "0", "1e999", "-0",
		"false", `""`, `"\u0000\ud800"`, `"é€😀"`, strings.Repeat("[", 400) + strings.Repeat("]", 400),
		`"` + strings.Repeat("é", 20_000) + `"`,
	}
	for _, payload := range payloads {
		c.emit(t, "ping", payload)
	}
	require.Error(t, c.Emit("ping", func() {}))
}
