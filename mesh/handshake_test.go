package mesh_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// A client with an event table of 100 KB reconnects after its hub was away, and receives its events.
func TestLargeTableAfterARestart(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p"), Addr: "127.0.0.1:0"})
	p := meshtest.StartProxy(t, hub.Addr())
	n := connectTo(t, mesh.Options{Addr: p.Addr(), User: "u", Password: "p", Transports: overWebSocket})
	const names = 1500
	name := func(i int) string { return fmt.Sprintf("%04d-%s", i, strings.Repeat("x", 60)) }
	var all []string
	for i := range names {
		all = append(all, name(i))
	}
	heard := listenTo(t, n, all...)

	next := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p"), Addr: "127.0.0.1:0"})
	p.SetTarget(next.Addr())
	p.Cut()
	eventually(t, "the client is back", func() bool { return next.Stats().Peers == 1 })
	flush(t, n)
	info, ok := n.Hub()
	require.True(t, ok)
	require.False(t, info.Legacy, "the client takes the hub for the original's")
	require.Equal(t, next.ID(), info.ID)
	require.NoError(t, next.Emit(name(names-1), "x"))
	require.Equal(t, name(names-1), heard.Next().Name)
	require.Zero(t, next.Stats().TooEarly)
}

// A client of the original posts its handshake and its first events in one body. The hub reads 64 KB of the body before
// it calls Authorize, and loses none of the events.
func TestFirstEventsInTheBodyOfTheHandshake(t *testing.T) {
	t.Parallel() // it waits for a timer
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")})
	heard := listenTo(t, hub, "e")
	credentials := `"eventTable":{},"headers":{"auth":{"user":"u","password":"p"}}}`
	packets := []string{`{"event":"handshake","payload":{},` + credentials}
	const events = 150
	for i := range events {
		packets = append(packets, fmt.Sprintf(`{"event":"e","payload":{"n":%d,"pad":"%s"},%s`, i, strings.Repeat("x", 3000), credentials))
	}
	var body strings.Builder
	for _, p := range packets {
		_, _ = fmt.Fprintf(&body, "%d:4%s", 1+len(p), p)
	}
	post := func(body string) int {
		status, opened, _ := through(t, hub, pollingHandshake+"&b64=1&t=1395794813200-0")
		require.Equal(t, 200, status)
		_, rest, _ := strings.Cut(opened, `"sid":"`)
		sid, _, _ := strings.Cut(rest, `"`)
		resp, err := http.Post("http://"+hub.Addr()+pollingHandshake+"&b64=1&sid="+sid, "text/plain;charset=UTF-8", strings.NewReader(body))
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		return resp.StatusCode
	}
	require.Equal(t, 200, post(body.String()))
	for i := range events {
		var e struct{ N int }
		require.NoError(t, heard.Next().Decode(&e))
		require.Equal(t, i, e.N)
	}
	http.DefaultClient.CloseIdleConnections()
}

// The hub reads at most 64 KB from a peer that is not admitted, and delivers none of its events. The connection lasts
// for MuteTimeout.
func TestUnadmittedPeerSendsTooMuch(t *testing.T) {
	logs := new(meshtest.Log)
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p"), Logger: logs.Logger()})
	heard := listenTo(t, hub, "**")
	large := `{"event":"e","payload":"` + strings.Repeat("x", 70_000) + `"`
	w := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: overWebSocket})
	w.Send(large+`,"headers":{"auth":{"user":"u","password":"p"}}}`, `{"event":"later"}`)
	eventually(t, "the hub reads no more", func() bool { return hub.Stats().TooEarly == 1 })
	require.Equal(t, 1, hub.Stats().Muted)
	require.Contains(t, logs.String(), "rule=too-early")
	require.NoError(t, hub.Emit("end", nil))
	heard.silentUntil("end")
	w.Socket.Abort(nil)
}
