package mesh_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

// The tests in this file cover published faults of other implementations. docs/security.md lists them all. Tests of the
// transports are in package engineio, tests of the parser in package protocol. The tests in this file are about the
// messages of peers.

// everyWay runs a test on each transport and revision, with an admitted peer and with a peer that is not admitted.
func everyWay(t *testing.T, test func(t *testing.T, hub *mesh.Node, w *meshtest.Session, admitted bool)) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for name, transports := range map[string][]engineio.Transport{
			"polling": {engineio.Polling}, "websocket": {engineio.WebSocket}, "upgrade": {engineio.Polling, engineio.WebSocket},
		} {
			for _, admitted := range []bool{false, true} {
				t.Run(fmt.Sprintf("revision %d/%s/admitted %t", rev, name, admitted), func(t *testing.T) {
					hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")})
					w := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: rev, Transports: transports})
					if admitted {
						w.Send(`{"event":"handshake","headers":{"auth":{"user":"u","password":"p"}}}`)
						eventually(t, "admitted", func() bool { return hub.Stats().Peers == 1 })
					}
					test(t, hub, w, admitted)
				})
			}
		}
	}
}

// A name that an emitter uses for its own events has no effect at a hub.
// Advisories: CVE-2024-38355
func TestReservedEventNames(t *testing.T) {
	everyWay(t, func(t *testing.T, hub *mesh.Node, w *meshtest.Session, admitted bool) {
		heard := listenTo(t, hub, "**")
		names := []string{
			"error", "newListener", "removeListener", "connect", "connection", "disconnect", "disconnecting", "connect_error",
			"__proto__", "constructor", "hasOwnProperty", "toString", "mesh::connect", "end",
		}
		for _, name := range names {
			w.Send(`{"event":"` + name + `","payload":{"__proto__":{"x":1}}}`)
		}
		eventually(t, "all packets were dealt with", func() bool {
			s := hub.Stats()
			return s.Received+s.Reserved+s.Unauthorized+1 >= uint64(len(names)) // newListener is a control packet
		})
		require.NoError(t, hub.Emit("own", nil))
		if admitted {
			for _, name := range names {
				if protocol.CheckEmit(name) == nil {
					heard.silentUntil(name)
				}
			}
		}
		heard.silentUntil("own")
	})
}

// A hub rejects a packet whose event is not a string.
// Advisories: CVE-2022-2421, CVE-2023-32695
func TestNonStringEventNames(t *testing.T) {
	everyWay(t, func(t *testing.T, hub *mesh.Node, w *meshtest.Session, admitted bool) {
		packets := []string{
			`{"event":{"toString":1},"payload":{}}`, `{"event":["a"],"payload":{}}`, `{"event":1}`, `{"event":true}`, `{"event":null}`,
			`{"payload":{}}`, `{"Event":"x"}`, `{"event":""}`, `51-["event",{"_placeholder":true,"num":99}]`,
		}
		w.Send(packets...)
		eventually(t, "all were refused", func() bool { return hub.Stats().Malformed == uint64(len(packets)) })
	})
}

// hostileNames are distinct names with characters that have a special meaning in other contexts.
var hostileNames = []string{
	"a\r\nb", "a b", "a\tb", "a\x00b", "a>b", "a.b", "a.>", "_", "a\u2028b", "é", "e\u0301", "A", "a", `a"b`, `a\b`, "a::::b", "::", "$x::y", "💥",
}

// A name with special characters arrives unchanged, and no listener to another name receives its event.
// Advisories: secnote 2026-22
func TestHostileNames(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "**")
	for _, name := range hostileNames {
		require.NoError(t, hub.Emit(name, name))
		e := heard.Next()
		require.Equal(t, name, e.Name)
		var payload string
		require.NoError(t, e.Decode(&payload))
		require.Equal(t, name, payload)

		// A subscriber to exactly this name receives the event. Subscribers to other names do not.
		w := meshtest.Dial(t, hub.URL(), nil)
		key, err := json.Marshal("mesh::" + name)
		require.NoError(t, err)
		w.Send(`{"event":"handshake","eventTable":{` + string(key) + `:{}}}`)
		w.Barrier()
		sent := hub.Stats().Sent
		require.NoError(t, c.Emit(name, nil))
		flush(t, c)
		require.Equal(t, sent+1, hub.Stats().Sent)
		require.Len(t, w.Received(), 1)
		require.NoError(t, w.Socket.Close())
		heard.Next() // the event of the client itself
	}
}

// Names with special characters also arrive unchanged through two hubs.
// Advisories: secnote 2026-22
func TestHostileNamesAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	emitter, c := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	var heard []ears
	for _, name := range hostileNames {
		heard = append(heard, listenTo(t, c, name))
	}
	for i, name := range hostileNames {
		require.NoError(t, emitter.Emit(name, name))
		e := heard[i].Next()
		require.Equal(t, name, e.Name)
		var payload string
		require.NoError(t, e.Decode(&payload))
		require.Equal(t, name, payload)
	}
	for _, ears := range heard {
		require.Empty(t, ears.C, "an event of another node")
	}
}

// A hub rejects an event table with too many entries, bytes or steps, and keeps the previous table.
// Advisories: unlimited tables
func TestEventTableLimits(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(meshtest.Table("mesh::kept"))
	var many strings.Builder
	for i := range protocol.MaxTableEntries + 1 {
		fmt.Fprintf(&many, `"mesh::%d":{},`, i)
	}
	for _, entries := range []string{
		many.String() + `"mesh::x":{}`,
		`"mesh::x":{},"` + strings.Repeat("y", protocol.MaxTableBytes) + `":{}`,
	} {
		w.Send(`{"event":"handshake","eventTable":{` + entries + `}}`)
	}
	w.Send(`{"event":"handshake","eventTable":{"mesh::kept":{},"mesh::` + strings.Repeat("z", protocol.MaxName+1) + `":{}}}`)
	w.Barrier()
	require.EqualValues(t, 2, hub.Stats().BadTables)
	// These patterns share few parts and match an event in many ways. With 250 KB of them, the hub took 75 ms for one
	// event.
	var slow []string
	for i := range 512 {
		p := "mesh::**"
		for bit := range 9 {
			p += []string{"::*", "::*::**"}[i>>bit&1]
		}
		slow = append(slow, p)
	}
	w.Send(meshtest.Table(slow...))
	w.Barrier()
	require.EqualValues(t, 3, hub.Stats().BadTables)
	require.NoError(t, hub.Emit("a::b::c::d::e::f::g::h", nil))
	require.Error(t, hub.Emit(strings.Repeat("a::", protocol.MaxParts), nil))
	w.Send(`{"event":"` + strings.Repeat("a::", protocol.MaxParts) + `"}`)
	w.Barrier()
	require.EqualValues(t, 1, hub.Stats().Reserved)
	require.NoError(t, hub.Emit("x", nil))
	require.NoError(t, hub.Emit("kept", nil))
	require.Equal(t, []string{`{"event":"kept"}`}, w.Received())
}
