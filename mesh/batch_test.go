package mesh_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestEventsInARowKeepTheirOrder(t *testing.T) {
	const n = 300 // some 18 KB: more than one read
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	hub.On("question", func(e mesh.Event) {
		if err := hub.Emit("answer", e.Payload); err != nil {
			t.Error(err)
		}
	})
	a, b, all := meshtest.Dial(t, hub.URL(), nil), meshtest.Dial(t, hub.URL(), nil), connect(t, hub, mesh.Options{})
	a.Send(meshtest.Table("mesh::a"))
	b.Send(meshtest.Table("mesh::b"))
	a.Barrier()
	b.Barrier()
	everything := listenTo(t, all, "**")
	sender := meshtest.DialRaw(t, hub.Addr(), meshtest.Table("mesh::**"))

	var packets, wantA, wantB, wantAll []string
	names := []string{"a", "b", "b", "question", "a", "a"}
	for i := range n {
		name := names[i%len(names)]
		packets = append(packets, fmt.Sprintf(`{"event":"%s","payload":{"n":%d}}`, name, i))
		switch name {
		case "a":
			wantA = append(wantA, fmt.Sprint(i))
		case "b":
			wantB = append(wantB, fmt.Sprint(i))
		}
		wantAll = append(wantAll, fmt.Sprint(name, i))
	}
	_, err := sender.Write(meshtest.Frames(packets...))
	require.NoError(t, err)

	numbers := func(w *meshtest.Session, count int) (got []string) {
		for range count {
			var p struct{ Payload struct{ N int } }
			require.NoError(t, json.Unmarshal([]byte(w.Next()), &p))
			got = append(got, fmt.Sprint(p.Payload.N))
		}
		return got
	}
	require.Equal(t, wantA, numbers(a, len(wantA)))
	require.Equal(t, wantB, numbers(b, len(wantB)))
	var gotAll []string
	asked, answered := map[int]bool{}, 0
	for range n + n/len(names) {
		e := everything.Next()
		var p struct{ N int }
		require.NoError(t, e.Decode(&p))
		switch e.Name {
		case "answer":
			answered++
			require.True(t, asked[p.N], "the answer to question %d came before it", p.N)
			continue
		case "question":
			asked[p.N] = true
		}
		gotAll = append(gotAll, fmt.Sprint(e.Name, p.N))
	}
	require.Equal(t, wantAll, gotAll)
	require.Equal(t, n/len(names), answered)
}

// Some packets make the hub dispatch a batch early. The hub then reuses the batch's memory, which also contains that
// packet. The packet must keep its payload.
func TestPacketsThatEndARowKeepTheirPayloads(t *testing.T) {
	const rows = 300
	for name, last := range map[string]func(i int, payload string) string{
		"a new table": func(i int, payload string) string {
			return fmt.Sprintf(`{"event":"e","payload":%s,"eventTable":{"mesh::x%d":{"remote":true}},"headers":{"auth":{}}}`, payload, i)
		},
		"a request": func(_ int, payload string) string {
			return fmt.Sprintf(`{"event":"e","payload":%s,"rid":"r"}`, payload)
		},
	} {
		t.Run(name, func(t *testing.T) {
			hubs := cluster(t, 2, mesh.Options{})
			all := listenTo(t, connect(t, hubs[1], mesh.Options{}), "e") // at the other hub, so that a request crosses
			const senders = 3
			var wg sync.WaitGroup
			for s := range senders {
				sender := meshtest.DialRaw(t, hubs[0].Addr(), meshtest.Table())
				wg.Go(func() {
					for i := range rows {
						text := func(of string) string { return fmt.Sprintf(`"%s %d %d"`, strings.Repeat(of, 200), s, i) }
						_, err := sender.Write(meshtest.Frames(`{"event":"e","payload":`+text("a")+`}`, last(i, text("b")), `{"event":"e","payload":`+text("c")+`}`))
						assert.NoError(t, err)
					}
				})
			}
			heard := make(map[string]int)
			for range 3 * rows * senders {
				var text string
				require.NoError(t, all.Next().Decode(&text))
				heard[text]++
			}
			wg.Wait()
			for s := range senders {
				for i := range rows {
					for _, of := range []string{"a", "b", "c"} {
						require.Equal(t, 1, heard[fmt.Sprintf("%s %d %d", strings.Repeat(of, 200), s, i)], "%s of row %d", of, i)
					}
				}
			}
		})
	}
}

// If a peer's queue has room for only some events of a batch, the peer receives these, as if they had arrived one by
// one. The events of such an emitter may fill half of the queue.
func TestEventsInARowFillHalfAQueue(t *testing.T) {
	const limit, size = 10 << 10, 900
	sent := func(send func(t *testing.T, conn net.Conn, packets []string)) uint64 {
		hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", QueueLimit: limit})
		neverPolls(t, hub, meshtest.Table("mesh::e"))
		eventually(t, "the table is known", func() bool { // the hub responds to a POST when the body has arrived, before it has read the packets
			nodes, err := hub.Nodes(meshtest.Context(t))
			return assert.NoError(t, err) && slices.ContainsFunc(nodes, func(n mesh.NodeInfo) bool { return slices.Contains(n.Interests, "e") })
		})
		heard := listenTo(t, connect(t, hub, mesh.Options{}), "last")
		packets := slices.Repeat([]string{`{"event":"e","payload":"` + strings.Repeat("x", size) + `"}`}, 15)
		sender := meshtest.DialRaw(t, hub.Addr(), meshtest.Table())
		send(t, sender, append(packets, `{"event":"last","payload":1}`))
		heard.silentUntil("last")
		eventually(t, "the peer that does not poll is closed", func() bool { return hub.Stats().SlowPeers == 1 })
		eventually(t, "all is counted", func() bool { return hub.Stats().Received == uint64(len(packets)+1) }) // the hub counts events after it has sent them
		return hub.Stats().Sent - 1
	}
	together := sent(func(t *testing.T, conn net.Conn, packets []string) {
		_, err := conn.Write(meshtest.Frames(packets...))
		require.NoError(t, err)
	})
	alone := sent(func(t *testing.T, conn net.Conn, packets []string) {
		for _, p := range packets {
			require.NoError(t, meshtest.WriteFrame(conn, "4"+p))

		}
	})
	require.Equal(t, alone, together)
	require.InDelta(t, limit/2/size, alone, 2)
}

// neverPolls opens a session by long-polling that posts packets and never polls.
func neverPolls(t *testing.T, hub *mesh.Node, packets ...string) {
	t.Helper()
	meshtest.DialPolling(t, http.DefaultClient, hub.URL(), packets...)
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
}

// TestEventBeforeInvalidDataIsDelivered sends an event and invalid data together. The hub delivers the event, and the
// invalid data ends the session.
func TestEventBeforeInvalidDataIsDelivered(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, connect(t, hub, mesh.Options{}), "e")
	conn := meshtest.DialRaw(t, hub.Addr(), meshtest.Table())
	var row bytes.Buffer
	require.NoError(t, meshtest.WriteFrame(&row, `4{"event":"e","payload":1}`))
	require.NoError(t, meshtest.WriteFrame(&row, "4\xff")) // invalid UTF-8
	_, err := row.WriteTo(conn)
	require.NoError(t, err)
	require.Equal(t, "1", string(heard.Next().Payload))
	eventually(t, "the session has ended", func() bool { return hub.Stats().Peers == 1 })
}

// Clients of the original repeat their credentials in each packet. Equal credentials do not end a batch, whether the hub
// checks them or not.
func TestRepeatedCredentialsDoNotEndABatch(t *testing.T) {
	for name, authorize := range map[string]func(context.Context, mesh.Credentials) error{
		"unchecked": nil, "checked": mesh.BasicAuth("u", "p"),
	} {
		t.Run(name, func(t *testing.T) {
			b := new(hookedBackplane)
			o := mesh.Options{Addr: "127.0.0.1:0", Backplane: b, Authorize: authorize}
			hub, other := listen(t, o), listen(t, o)
			heard := listenTo(t, other, "e")
			flush(t, other)
			var published atomic.Int64
			hook := func(_, name string) {
				if name == "e" {
					published.Add(1)
				}
			}
			b.onPublish.Store(&hook)
			const n = 200
			packets := make([]string, n)
			for i := range packets {
				packets[i] = fmt.Sprintf(`{"event":"e","payload":%d,"headers":{"auth":{"user":"u","password":"p"}}}`, i)
			}
			sender := meshtest.DialRaw(t, hub.Addr(), packets[0])
			_, err := sender.Write(meshtest.Frames(packets[1:]...))
			require.NoError(t, err)
			for i := range n {
				require.Equal(t, fmt.Sprint(i), string(heard.Next().Payload))
			}
			require.Positive(t, published.Load())
			require.Less(t, published.Load(), int64(n/4), "frames between the hubs")
		})
	}
}
