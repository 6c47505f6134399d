package interop

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// packetMember is an engine.io-client that sends packets of the mesh as text, in the form of docs/packet-format.md.
type packetMember struct {
	*Endpoint
	arrived *Endpoint
	table   []string
}

func dialPackets(t testing.TB, client *Endpoint, port int, transports ...string) *packetMember {
	t.Helper()
	m := &packetMember{Endpoint: client, arrived: NewQueue("by hand")}
	client.Must(t, Command{
		Do: "dial", URL: "http://" + localAddr(port) + "/engine.io/", Options: map[string]any{"transports": transports},
	}, "open")
	return m
}

func (m *packetMember) send(t testing.TB, packet string) {
	t.Helper()
	require.NoError(t, m.Do(Command{Do: "send", Session: 1, Text: &packet}))
}

func (m *packetMember) on(t testing.TB, pattern string) {
	t.Helper()
	m.table = append(m.table, fmt.Sprintf(`"mesh::%s":{"remote":true}`, pattern))
	m.send(t, `{"event":"handshake","payload":{},"eventTable":{`+strings.Join(m.table, ",")+`},"headers":{"auth":{}}}`)
}

func (m *packetMember) emit(t testing.TB, name, payload string) {
	t.Helper()
	if payload == "" {
		payload = "{}"
	}
	m.send(t, fmt.Sprintf(`{"event":%q,"payload":%s,"headers":{"auth":{}}}`, name, payload))
}

// heardNext waits for the next packet and returns it as an event.
func (m *packetMember) heardNext(t testing.TB) Event {
	t.Helper()
	ev := m.MustAwait(t, "message")
	require.NotNil(t, ev.Text, "a packet is text")
	var p struct {
		Event   string
		Payload json.RawMessage
	}
	require.NoError(t, json.Unmarshal([]byte(*ev.Text), &p))
	return Event{Kind: "heard", Name: p.Event, Payload: p.Payload}
}

func (m *packetMember) heard() *Endpoint { return m.arrived }

// emitSome makes member by emit the events from one number up to another, without waiting for each.
func emitSome(t testing.TB, m member, by, from, to int) {
	t.Helper()
	loop := func(emitter string) string {
		return fmt.Sprintf("for (let n = %d; n < %d; n++) %s.emit('count', { by: %d, n })", from, to, emitter, by)
	}
	switch m := m.(type) {
	case pageMember:
		m.run(t, loop("client"))
	case nodeMember:
		code := loop("mesh.emitter")
		m.Must(t, Command{Do: "run", Text: &code}, "ran")
	default:
		for n := from; n < to; n++ {
			m.emit(t, "count", fmt.Sprintf(`{"by":%d,"n":%d}`, by, n))
		}
	}
}

// TestTheWholeMesh connects clients of all kinds to one hub at once: Go nodes, Node.js nodes, a page with the hub's own
// client, a stock engine.io-client in Chromium, and an engine.io-client of revision 3 that only polls. Each of them,
// and the hub, emits 100 numbered events, all at the same time. Each receives the events of every other member once and
// in order.
//
// A Node.js hub supports only revision 3. So at that hub the stock client in Chromium is the last client of that
// revision.
func TestTheWholeMesh(t *testing.T) {
	t.Parallel()
	const events = 100
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			b := startBrowser(t)
			version := "6.6.8"
			if hub == nodeKind {
				version = "3.5.4"
			}
			stock := startPage(t, version)
			origins := []string{b.origin, *stock.Node().Must(t, Command{Do: "where"}, "origin").Text}

			s := &star{}
			if hub == nodeKind {
				h := startNodeMember(t)
				s.hub, s.port = h, h.listen(t, Command{})
			} else {
				h := startGoHub(t, mesh.Options{AllowedOrigins: origins})
				s.hub, s.port = h, h.port(t)
			}
			s.hub.on(t, "count")
			s.hub.on(t, "mark")
			for _, k := range []kind{goKind, goKind, goKind, nodeKind, nodeKind} {
				s.join(t, k, "count", "done")
			}
			page := b.load(t, b.files+"/mesh.mjs")
			page.connect(t, Command{Options: hubURL(s.port)})
			s.clients = append(s.clients, page,
				dialPackets(t, stock.Endpoint(), s.port, "polling", "websocket"),
				dialPackets(t, startNode(t, EngineClient, "2.1.1").Endpoint(), s.port, "polling"))
			for _, c := range s.clients[5:] {
				c.on(t, "count")
				c.on(t, "done")
			}
			s.sync(t)

			all := append([]member{s.hub}, s.clients...)
			const some = 10
			for n := 0; n < events; n += some {
				for i, m := range all {
					emitSome(t, m, i, n, n+some)
				}
			}
			for _, c := range s.clients {
				c.emit(t, "mark", "")
			}
			got := make([][]Event, len(all))
			for marks := 0; marks < len(s.clients); {
				if ev := s.hub.heard().MustAwait(t, "heard"); ev.Name == "mark" {
					marks++
				} else {
					got[0] = append(got[0], ev)
				}
			}
			s.hub.emit(t, "done", "") // after all other events
			for i, c := range s.clients {
				for {
					var ev Event
					if raw, ok := c.(*packetMember); ok {
						ev = raw.heardNext(t)
					} else {
						ev = c.heard().MustAwait(t, "heard")
					}
					if ev.Name == "done" {
						break
					}
					got[i+1] = append(got[i+1], ev)
				}
			}
			for i, m := range all {
				next := make([]int, len(all))
				for _, ev := range got[i] {
					require.Equal(t, "count", ev.Name, "member %d", i)
					var p struct{ By, N int }
					require.NoError(t, json.Unmarshal(ev.Payload, &p))
					require.Equal(t, next[p.By], p.N, "of member %d at member %d", p.By, i)
					next[p.By]++
				}
				want := make([]int, len(all))
				for by := range want {
					want[by] = events
				}
				if _, byHand := m.(*packetMember); byHand {
					want[i] = 0 // it has no listeners itself, and its events do not come back
				}
				require.Equal(t, want, next, "at member %d", i)
			}
		})
	}
}
