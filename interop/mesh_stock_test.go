package interop

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// stockClient is an engine.io-client that sends packets of the mesh as text, in the form of docs/packet-format.md. The
// test reads the packets that arrive, so stockClient is not a member.
type stockClient struct{ session *Endpoint }

func (c stockClient) send(t *testing.T, packet string) {
	t.Helper()
	require.NoError(t, c.session.Do(Command{Do: "send", Session: 1, Text: &packet}))
}

// requirePacket compares the next packet with JSON. The packet must have these members and no others.
func (c stockClient) requirePacket(t *testing.T, want string) {
	t.Helper()
	ev := c.session.MustAwait(t, "message")
	require.NotNil(t, ev.Text, "a packet is text")
	require.JSONEq(t, want, *ev.Text)
}

// TestStockEngineIOClientJoinsAGoHub uses revision 4, which no client of the mesh uses.
func TestStockEngineIOClientJoinsAGoHub(t *testing.T) {
	t.Parallel()
	for _, transports := range [][]string{{"polling"}, {"websocket"}, {"polling", "websocket"}} {
		t.Run(fmt.Sprint(transports), func(t *testing.T) {
			t.Parallel()
			const name, text = "é€😀::ping", `"é€😀"`
			s := startStar(t, goKind, []kind{goKind, nodeKind}, name)
			hub, ours, original := s.hub.(goMember), s.clients[0].(goMember), s.clients[1]

			stock := stockClient{startNode(t, EngineClient, "6.6.8").Endpoint()}
			stock.session.Must(t, Command{
				Do: "dial", URL: hub.URL(), Options: map[string]any{"transports": transports},
			}, "open")
			stock.send(t, `{"event":"handshake","payload":{},"eventTable":{"mesh::pong":{"remote":true},"a::*":{}}}`)
			stock.send(t, `{"event":"mark"}`)
			require.Equal(t, "mark", hub.events.MustAwait(t, "heard").Name)

			// The members receive its events,
			stock.send(t, fmt.Sprintf(`{"event":%q,"payload":{"text":%s}}`, name, text))
			stock.send(t, `{"event":"mark"}`)
			heard := s.collect(t)
			require.Len(t, heard[0], 1)
			id := heard[0][0].From
			require.NotEmpty(t, id)
			for i, payload := range []string{`{"text":"é€😀"}`, `{"text":"é€😀"}`, `{"text":"é€😀","id":"` + id + `"}`} {
				require.Len(t, heard[i], 1, "member %d", i)
				require.Equal(t, name, heard[i][0].Name)
				require.Equal(t, payload, string(heard[i][0].Payload))
			}
			require.Equal(t, id, heard[1][0].From)

			// and it receives the events of the hub, of our client and of the original's client.
			hub.emit(t, "pong", `{"n":1,"text":`+text+`}`)
			stock.requirePacket(t, `{"event":"pong","payload":{"n":1,"text":"é€😀"}}`)
			ours.emit(t, "pong", `{"n":2}`)
			stock.requirePacket(t, `{"event":"pong","payload":{"n":2,"id":"`+ours.ID()+`"}}`)
			ours.emit(t, "a::b", `[null]`)
			stock.requirePacket(t, `{"event":"a::b","payload":[null]}`)
			ours.emit(t, "pong", "")
			stock.requirePacket(t, `{"event":"pong"}`)
			original.emit(t, "pong", `"text"`)
			stock.requirePacket(t, `{"event":"pong","payload":"text"}`)

			// It does not receive its own events, nor events to which it does not subscribe.
			stock.send(t, `{"event":"pong","payload":1}`)
			stock.send(t, `{"event":"mark"}`)
			require.Equal(t, "mark", hub.events.MustAwait(t, "heard").Name)
			hub.emit(t, "other", "")
			hub.emit(t, "pong", `"last"`)
			stock.requirePacket(t, `{"event":"pong","payload":"last"}`)
			stock.session.Must(t, Command{Do: "close", Session: 1}, "closed")
			require.Eventually(t, func() bool { return hub.Stats().Peers == len(s.clients) }, AwaitTimeout, time.Millisecond)
		})
	}
}
