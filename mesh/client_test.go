package mesh_test

import (
	"encoding/json"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestClientWithstandsAHubThatSendsGarbage(t *testing.T) {
	hub, url := meshtest.StartHub(t, "h")
	hub.Greet(func(string) []string {
		return []string{
			"", "garbage", "null", `{"payload":1}`, `{"event":"$mesh.hello"}`, `{"event":"$mesh.hello","payload":5}`,
			`{"event":"$mesh.hello","payload":{"v":0}}`, meshtest.HelloPacket("h", "not this node's"), `{"event":"$other"}`, `{"event":"handshake"}`,
			`{"event":"mesh::x"}`,
		}
	})
	c := connectTo(t, mesh.Options{Addr: url, Transports: overWebSocket})
	info, ok := c.Hub()
	require.True(t, ok)
	require.True(t, info.Legacy, "a hub that does not know this node's ID has not introduced itself")
	heard := listenTo(t, c, "e")
	// A hub may send these packets only before its first reply.
	p := hub.Peers.Next()
	p.Send(meshtest.HelloPacket("h", c.ID()), `{"event":"$mesh.unauthorized","payload":{"message":"x"}}`)
	require.NoError(t, p.Socket.TryWrite(engineio.Binary([]byte(`{"event":"e"}`))))
	p.Send(`{"event":"e","from":"forged","payload":{"id":"a"}}`)
	require.Empty(t, cmp.Diff(mesh.Event{Name: "e", Payload: json.RawMessage(`{"id":"a"}`), From: "a"}, heard.Next()))
	stats := c.Stats()
	require.EqualValues(t, 5, stats.Malformed)
	require.EqualValues(t, 5, stats.Reserved)
	require.EqualValues(t, 1, stats.Received)
}

func TestClientIsRejectedWithAnyMessage(t *testing.T) {
	for payload, want := range map[string]string{
		`{"message":"no"}`: "no",
		`{"message":"` + strings.Repeat("x", 1000) + `"}`: strings.Repeat("x", 200),
		`{"message":5}`:         "",
		`null`:                  "",
		`{"message":"a\u0007"}`: "a\a",
	} {
		hub, url := meshtest.StartHub(t, "h")
		hub.Greet(func(string) []string { return []string{`{"event":"$mesh.unauthorized","payload":` + payload + `}`} })
		_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: url, Transports: overWebSocket})
		var refused *mesh.AuthError
		require.ErrorAs(t, err, &refused)
		require.Equal(t, want, refused.Message)
		require.NotContains(t, err.Error(), "\a")
	}
}

func TestPatternsAreWarnedOfWhenALegacyHubTakesOver(t *testing.T) {
	first, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0"})
	require.NoError(t, err)
	p := meshtest.StartProxy(t, first.Addr())
	var logs meshtest.Log
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket, Logger: logs.Logger()})
	changes := states(c)
	c.On("b::*", func(mesh.Event) {})
	c.On("exact", func(mesh.Event) {})
	flush(t, c)
	require.NotContains(t, logs.String(), "does not support patterns")
	h := meshtest.StartLegacyHub(t)
	p.SetTarget(strings.TrimPrefix(h.URL, "http://"))
	require.NoError(t, first.Close())
	require.True(t, awaitStatus(t, changes, mesh.Connected).Hub.Legacy)
	require.Contains(t, logs.String(), "pattern=b::*")
	require.NotContains(t, logs.String(), "pattern=exact")
	heard := listenTo(t, c, "exact")
	h.Emit("exact", "{}")
	heard.Next()
}

func TestPayloadsThatAreNoJSONAreRefused(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	for _, n := range []*mesh.Node{hub, c} {
		for _, payload := range []any{
			json.RawMessage(`{`), json.RawMessage(`1 2`), json.RawMessage("text"), math.NaN(), make(chan int), func() {},
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
		{nil, ""}, {json.RawMessage(nil), ""}, {json.RawMessage{}, ""}, {json.RawMessage("  "), ""}, {json.RawMessage(` {"a": 1} `), `{"a": 1}`},
		{[]byte{}, `""`}, {[]byte(` {"a": 1} `), `"IHsiYSI6IDF9IA=="`},
		{"<é&>", `"<é&>"`}, {struct{ A int }{1}, `{"A":1}`}, {(*int)(nil), "null"}, {[]int{1}, "[1]"},
	} {
		require.NoError(t, hub.Emit("e", c.payload))
		require.Equal(t, c.want, string(heard.Next().Payload))
	}
}

func TestEmitKeepsNothingOfItsArgument(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	payload := json.RawMessage(`"before"`)
	require.NoError(t, hub.Emit("e", payload))
	copy(payload, `"later!"`)
	require.Equal(t, `"before"`, string(heard.Next().Payload))
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
