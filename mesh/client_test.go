package mesh_test

import (
	"context"
	"encoding/json"
	"math"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
)

// scriptedHub sends the messages of a script after it has read the first packet and before it reads the ping that
// follows. It then sends the messages from say.
func scriptedHub(t *testing.T, script ...engineio.Message) (url string, say chan<- engineio.Message) {
	further := make(chan engineio.Message)
	server := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		if _, err := s.Read(ctx); err != nil {
			return
		}
		for _, m := range script {
			_ = s.TryWrite(m)
		}
		s.Discard()
		for {
			select {
			case m := <-further:
				_ = s.TryWrite(m)
			case <-ctx.Done():
				return
			}
		}
	}), &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3}})
	web := httptest.NewServer(server)
	t.Cleanup(func() {
		_ = server.Close()
		web.Close()
	})
	return web.URL, further
}

func TestClientWithstandsAHubThatSendsGarbage(t *testing.T) {
	url, say := scriptedHub(t,
		engineio.Text(""), engineio.Text("garbage"), engineio.Text("null"), engineio.Text(`{"payload":1}`), engineio.Binary([]byte(`{"event":"e"}`)),
		engineio.Text(`{"event":"$mesh.hello"}`), engineio.Text(`{"event":"$mesh.hello","payload":5}`),
		engineio.Text(`{"event":"$mesh.hello","payload":{"v":0}}`),
		engineio.Text(`{"event":"$mesh.hello","payload":{"v":1,"id":"not this node's","hub":"h"}}`),
		engineio.Text(`{"event":"$other"}`), engineio.Text(`{"event":"handshake"}`), engineio.Text(`{"event":"mesh::x"}`),
	)
	c := connectTo(t, mesh.Options{Addr: url, Transports: overWebSocket})
	info, ok := c.Hub()
	require.True(t, ok)
	require.True(t, info.Legacy, "a hub that does not know this node's ID has not introduced itself")
	heard := listenTo(t, c, "e")
	// A hub may send these packets only before its first reply.
	say <- engineio.Text(`{"event":"$mesh.hello","payload":{"v":1,"id":"` + c.ID() + `","hub":"h"}}`)
	say <- engineio.Text(`{"event":"$mesh.unauthorized","payload":{"message":"x"}}`)
	say <- engineio.Text(`{"event":"e","from":"forged","payload":{"id":"a"}}`)
	require.Empty(t, cmp.Diff(mesh.Event{Name: "e", Payload: json.RawMessage(`{"id":"a"}`), From: "a"}, heard.next()))
	stats := c.Stats()
	require.EqualValues(t, 5, stats.Malformed)
	require.EqualValues(t, 5, stats.Reserved)
	require.EqualValues(t, 1, stats.Received)
}

func TestClientIsRefusedWhateverTheRefusalSays(t *testing.T) {
	for payload, want := range map[string]string{
		`{"message":"no"}`: "no",
		`{"message":"` + strings.Repeat("x", 1000) + `"}`: strings.Repeat("x", 200),
		`{"message":5}`:         "",
		`null`:                  "",
		`{"message":"a\u0007"}`: "a\a",
	} {
		url, _ := scriptedHub(t, engineio.Text(`{"event":"$mesh.unauthorized","payload":`+payload+`}`))
		_, err := mesh.Connect(testContext(t), &mesh.Options{Addr: url, Transports: overWebSocket})
		var refused *mesh.AuthError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, want, refused.Message)
		require.NotContains(t, err.Error(), "\a")
	}
}

func TestPatternsAreWarnedOfWhenANodeHubTakesOver(t *testing.T) {
	first, err := mesh.Listen(testContext(t), &mesh.Options{Addr: "localhost:0"})
	require.NoError(t, err)
	p := startProxy(t, first.Addr())
	var logs logBuffer
	c := connectTo(t, mesh.Options{Addr: p.addr(), Transports: overWebSocket, Logger: logs.logger()})
	changes := states(c)
	c.On("b::*", func(mesh.Event) {})
	c.On("exact", func(mesh.Event) {})
	flush(t, c)
	require.NotContains(t, logs.String(), "does not support patterns")
	h := startNodeHub(t)
	p.mu.Lock()
	p.target = strings.TrimPrefix(h.url, "http://")
	p.mu.Unlock()
	require.NoError(t, first.Close())
	require.True(t, awaitStatus(t, changes, mesh.Connected).Hub.Legacy)
	require.Contains(t, logs.String(), "pattern=b::*")
	require.NotContains(t, logs.String(), "pattern=exact")
	heard := listenTo(t, c, "exact")
	h.emit("exact", "{}")
	heard.next()
}

func TestPayloadsThatAreNoJSONAreRefused(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	for _, n := range []*mesh.Node{hub, c} {
		for _, payload := range []any{
			json.RawMessage(`{`), json.RawMessage(`1 2`), []byte("text"), math.NaN(), make(chan int), func() {},
			json.RawMessage(strings.Repeat("[", 600) + strings.Repeat("]", 600)), json.RawMessage("\"\xff\""),
		} {
			err := n.Emit("e", payload)
			require.ErrorContains(t, err, `mesh: payload of "e": `)
		}
	}
}

func TestPayloadsAreEncodedAsJSON(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	for _, c := range []struct {
		payload any
		want    string
	}{
		{nil, ""}, {json.RawMessage(nil), ""}, {[]byte{}, ""}, {json.RawMessage("  "), ""}, {[]byte(` {"a": 1} `), `{"a": 1}`},
		{"<é&>", `"<é&>"`}, {struct{ A int }{1}, `{"A":1}`}, {(*int)(nil), "null"}, {[]int{1}, "[1]"},
	} {
		require.NoError(t, hub.Emit("e", c.payload))
		require.Equal(t, c.want, string(heard.next().Payload))
	}
}

func TestEmitKeepsNothingOfItsArgument(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	payload := json.RawMessage(`"before"`)
	require.NoError(t, hub.Emit("e", payload))
	copy(payload, `"later!"`)
	require.Equal(t, `"before"`, string(heard.next().Payload))
}

func TestEventsDecode(t *testing.T) {
	var n int
	require.NoError(t, mesh.Event{Payload: json.RawMessage("5")}.Decode(&n))
	require.Equal(t, 5, n)
	p := &n
	require.NoError(t, mesh.Event{}.Decode(&p))
	require.Nil(t, p, "an absent payload is null")
	require.ErrorContains(t, mesh.Event{Name: "e", Payload: json.RawMessage(`"x"`)}.Decode(&n), `mesh: payload of "e": `)
}
