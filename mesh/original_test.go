package mesh_test

// Tests of the differences between a hub of the original and ours, and of nodes of both kinds in one mesh.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestOriginalMalformedPacketIsRejected(t *testing.T) {
	for name, auth := range map[string]func(context.Context, mesh.Credentials) error{
		"without auth": nil,
		"with auth":    mesh.BasicAuth("u", "p"),
	} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, mesh.Options{Authorize: auth})
			w := meshtest.Dial(t, hub.URL(), nil)
			malformed := []string{
				"", "garbage", "[]", `"x"`, "null", "{", `{"payload":{}}`, `{"event":5,"payload":{}}`, `{"event":null}`,
				`{"event":"x","payload":{}`, `{"event":"x","payload":tru}`, "\x00", strings.Repeat(`{"event":`, 2000),
				`{"event":""}`, `{"event":"` + strings.Repeat("x", 2000) + `"}`,
			}
			w.Send(malformed...)
			require.NoError(t, w.Socket.Write(meshtest.Context(t), engineio.Binary([]byte(`{"event":"x"}`))))
			w.Barrier()
			require.EqualValues(t, len(malformed)+1, hub.Stats().Malformed)

			// Every field except the event may be absent, or of any type.
			w.Send(`{"event":"x","payload":null}`, `{"event":"x"}`, `{"event":"x","payload":{},"headers":null}`,
				`{"event":"x","payload":{},"eventTable":{"mesh::y":null}}`, `{"event":"x","eventTable":null}`)
			w.Barrier()

			c := connect(t, hub, mesh.Options{User: "u", Password: "p"})
			heard := listenTo(t, c, "alive")
			require.NoError(t, hub.Emit("alive", nil))
			require.Nil(t, heard.Next().Payload)
		})
	}
}

func TestOriginalUnauthenticatedPeerIsExcluded(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.BasicAuth("u", "p")})
	atHub := listenTo(t, hub, "**")
	good := connect(t, hub, mesh.Options{User: "u", Password: "p"})
	heard := listenTo(t, good, "**")
	bad := meshtest.Dial(t, hub.URL(), nil)
	for _, auth := range []string{`{}`, `{"user":"u"}`, `{"user":"u","password":"x"}`, `{"user":"","password":""}`, `null`, `5`} {
		bad.Send(`{"event":"secret","payload":{},"eventTable":{"mesh::**":{"remote":true},"mesh::news":{"remote":true}},"headers":{"auth":` + auth + `}}`)
	}
	bad.Send(`{"event":"secret","payload":{},"eventTable":{"mesh::news":{"remote":true}}}`)
	bad.Barrier()
	require.NoError(t, hub.Emit("news", 1))
	require.NoError(t, good.Emit("news", 2))
	flush(t, good)
	require.Empty(t, bad.Received())
	require.Equal(t, "news", atHub.Next().Name)
	require.Equal(t, "news", heard.Next().Name)
	require.EqualValues(t, 7, hub.Stats().Unauthorized)
	require.Equal(t, 1, hub.Stats().Muted)

	// After the same peer has sent the right credentials, the hub delivers its events, and events to it.
	bad.Send(`{"event":"now","payload":{},"eventTable":{"mesh::news":{"remote":true}},"headers":{"auth":{"user":"u","password":"p"}}}`)
	bad.Barrier()
	require.NoError(t, hub.Emit("news", 3))
	require.Equal(t, `{"event":"news","payload":3}`, bad.Next())
	require.Equal(t, "news", atHub.Next().Name) // the second "news" event
	require.Equal(t, "now", atHub.Next().Name)
	require.Equal(t, 0, hub.Stats().Muted)
}

func TestOriginalPayloadArrivesByteForByte(t *testing.T) {
	hub := listen(t, mesh.Options{})
	a, b := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
	atHub, atB := listenTo(t, hub, "e"), listenTo(t, b, "e")
	payloads := []string{
		`{"id":"mine","n":1}`, `{"a":1, "b" : [ 1,2 ]}`, `[1, 2]`, `"text"`, `"é€😀 <&>"`, `0`, `-0.0`, `1e400`, `12345678901234567890.123`,
		`true`, `false`, `null`, `{}`, `[]`, `""`, `{"id":"x","id":"y"}`, `"\ud800"`, `"\u00e9"`,
	}
	for _, p := range payloads {
		require.NoError(t, a.Emit("e", json.RawMessage(" "+p+"\n")))
		for _, at := range []ears{atHub, atB} {
			require.Empty(t, cmp.Diff(mesh.Event{Name: "e", Payload: json.RawMessage(p), From: a.ID()}, at.Next()))
		}
	}
	require.NoError(t, a.Emit("e", nil))
	require.Empty(t, cmp.Diff(mesh.Event{Name: "e", From: a.ID()}, atB.Next()))
	require.NoError(t, hub.Emit("e", map[string]string{"id": "mine"}))
	require.Empty(t, cmp.Diff(mesh.Event{Name: "e", Payload: json.RawMessage(`{"id":"mine"}`), From: hub.ID()}, atB.Next()))
}

func TestOriginalOtherPeersGetTheSenderInThePayload(t *testing.T) {
	hub := listen(t, mesh.Options{})
	a := connect(t, hub, mesh.Options{})
	other := meshtest.Dial(t, hub.URL(), nil)
	other.Send(meshtest.Table("mesh::e", "mesh::é"))
	other.Barrier()
	id := a.ID()
	for in, want := range map[string]string{
		`{"n":1}`:             `{"n":1,"id":"` + id + `"}`,
		`{"id":"forged"}`:     `{"id":"` + id + `"}`,
		`{}`:                  `{"id":"` + id + `"}`,
		`[1]`:                 `[1]`,
		`"é😀"`:                `"\u00e9\ud83d\ude00"`,
		`null`:                `null`,
		`{"deep":{"id":"x"}}`: `{"deep":{"id":"x"},"id":"` + id + `"}`,
	} {
		require.NoError(t, a.Emit("e", json.RawMessage(in)))
		require.Equal(t, `{"event":"e","payload":`+want+`}`, other.Next())
	}
	require.NoError(t, a.Emit("e", nil))
	require.Equal(t, `{"event":"e"}`, other.Next())
	require.NoError(t, a.Emit("é", 1))
	require.Equal(t, `{"event":"\u00e9","payload":1}`, other.Next())

	// The hub's own events have no sender, as in the original.
	require.NoError(t, hub.Emit("e", json.RawMessage(`{"n":1}`)))
	require.Equal(t, `{"event":"e","payload":{"n":1}}`, other.Next())
}

func TestOriginalNoPayloadReturnsToItsSender(t *testing.T) {
	hub := listen(t, mesh.Options{})
	payloads := []string{`{"n":1}`, `[1]`, `"x"`, `0`, `false`, `null`, `{"id":"other"}`}
	t.Run("original", func(t *testing.T) {
		sender := meshtest.Dial(t, hub.URL(), nil)
		sender.Send(meshtest.Table("mesh::e", "mesh::*"))
		for _, p := range payloads {
			sender.Send(`{"event":"e","payload":` + p + `}`)
		}
		require.Empty(t, sender.Received())
	})
	t.Run("ours", func(t *testing.T) {
		sender := connect(t, hub, mesh.Options{})
		heard := listenTo(t, sender, "e", "**")
		for _, p := range payloads {
			require.NoError(t, sender.Emit("e", json.RawMessage(p)))
		}
		flush(t, sender)
		require.NoError(t, hub.Emit("end", nil))
		for range payloads { // each listener gets each own event once, from the node itself
			require.Equal(t, "e", heard.Next().Name)
			require.Equal(t, "e", heard.Next().Name)
		}
		heard.silentUntil("end")
	})
}

func TestOriginalHubEchoReachesTheClientItCameFrom(t *testing.T) {
	hub := listen(t, mesh.Options{})
	hub.On("ping", func(e mesh.Event) { _ = hub.Emit("pong", e.Payload) })
	other := meshtest.Dial(t, hub.URL(), nil)
	other.Send(meshtest.Table("mesh::pong"), `{"event":"ping","payload":{"id":"x"}}`)
	require.Equal(t, `{"event":"pong","payload":{"id":"x"}}`, other.Next())

	ours := connect(t, hub, mesh.Options{})
	heard := listenTo(t, ours, "pong")
	require.NoError(t, ours.Emit("ping", json.RawMessage(`{"id":"y"}`)))
	require.Equal(t, `{"id":"y"}`, string(heard.Next().Payload))
}

func TestOriginalTwoPartNamesArrive(t *testing.T) {
	t.Run("our hub matches either key", func(t *testing.T) {
		hub := listen(t, mesh.Options{})
		for _, key := range []string{"mesh::ns::pong", "ns::pong"} {
			w := meshtest.Dial(t, hub.URL(), nil)
			w.Send(meshtest.Table(key))
			w.Barrier()
			require.NoError(t, hub.Emit("ns::pong", nil))
			require.Equal(t, `{"event":"ns::pong"}`, w.Next())
		}
		both := meshtest.Dial(t, hub.URL(), nil)
		both.Send(meshtest.Table("mesh::ns::pong", "ns::pong"))
		both.Barrier()
		require.NoError(t, hub.Emit("ns::pong", nil))
		require.Len(t, both.Received(), 1, "it hears the event once")
	})
	t.Run("our client receives them from a Node.js hub, once", func(t *testing.T) {
		h := meshtest.StartLegacyHub(t)
		c := connectTo(t, mesh.Options{Addr: h.URL})
		heard := listenTo(t, c, "ns::pong", "a::b::c", "one", "end")
		for _, name := range []string{"ns::pong", "a::b::c", "one", "end"} {
			h.Emit(name, `{}`)
			require.Equal(t, name, heard.Next().Name)
		}
	})
}

func TestOriginalWildcardsWorkForEveryClient(t *testing.T) {
	hub := listen(t, mesh.Options{})
	names := []string{"wild", "wild::a", "wild::a::b", "other::a"}
	for key, want := range map[string][]string{
		"mesh::wild::*":  {"wild::a"},
		"wild::*":        {"wild::a"},
		"mesh::wild::**": {"wild", "wild::a", "wild::a::b"},
		"mesh::**":       names,
		"**::a":          {"wild::a", "other::a"},
		"mesh::*":        {"wild"},
	} {
		t.Run(key, func(t *testing.T) {
			w := meshtest.Dial(t, hub.URL(), nil)
			w.Send(meshtest.Table(key))
			w.Barrier()
			for _, name := range names {
				require.NoError(t, hub.Emit(name, nil))
			}
			var got []string
			for _, p := range w.Received() {
				var packet struct{ Event string }
				require.NoError(t, json.Unmarshal([]byte(p), &packet))
				got = append(got, packet.Event)
			}
			require.Empty(t, cmp.Diff(want, got))
		})
	}
}

func TestOriginalEventsAreSentOnceAfterManyReconnects(t *testing.T) {
	hub := listen(t, mesh.Options{})
	atHub := listenTo(t, hub, "e")
	p := meshtest.StartProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	heard := listenTo(t, c, "e", "back")
	for range 5 {
		connections := hub.Stats().Connections
		p.Cut()
		eventually(t, "reconnected", func() bool { return hub.Stats().Connections > connections })
		flush(t, c)
	}
	require.NoError(t, c.Emit("e", 1))
	require.Equal(t, "1", string(atHub.Next().Payload))
	require.NoError(t, hub.Emit("back", 2))
	require.Equal(t, "1", string(heard.Next().Payload))
	require.Equal(t, "2", string(heard.Next().Payload))
	require.NoError(t, hub.Emit("e", "end"))
	require.Equal(t, `"end"`, string(atHub.Next().Payload))
}

func TestOriginalClientReturnsHoweverLongTheHubIsAway(t *testing.T) {
	hub := listen(t, mesh.Options{})
	p := meshtest.StartProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	heard := listenTo(t, c, "e")
	failed := make(chan mesh.State, 100)
	c.OnState(func(s mesh.State) { failed <- s })
	require.Equal(t, mesh.Connected, (<-failed).Status, "the state of now")
	p.Close()
	for attempt := range 4 { // the original would report nothing after the first attempt
		s := <-failed
		require.Equal(t, mesh.Disconnected, s.Status)
		require.Equal(t, attempt, s.Attempt)
		require.Error(t, s.Err)
		require.Positive(t, s.Retry)
	}
	p.Open()
	flush(t, c)
	require.NoError(t, hub.Emit("e", nil))
	heard.Next()
}

func TestOriginalStartOnATakenPortConnects(t *testing.T) {
	hub := listen(t, mesh.Options{})
	n, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: hub.Addr()})
	require.NoError(t, err)
	defer n.Close()
	require.Equal(t, mesh.RoleClient, n.Role())
	info, ok := n.Hub()
	require.True(t, ok)
	require.Equal(t, mesh.HubInfo{ID: hub.ID()}, info)
}

func TestOriginalClientRequestsOnlyEngineIOPaths(t *testing.T) {
	h := meshtest.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: h.URL})
	require.NoError(t, c.Emit("e", nil))
	flush(t, c)
	require.NoError(t, c.Close())
	require.NotEmpty(t, h.Paths())
	for _, path := range h.Paths() {
		require.Equal(t, "/engine.io/", path)
	}
}

func TestOriginalUnknownPathsDoNotHurtAHub(t *testing.T) {
	hub := listen(t, mesh.Options{})
	for path, want := range map[string]int{
		"/": 200, "/unknown": 404, "/engine.io": 400, "/engine.io/": 400, "/engine.iox": 404, "/index.html": 404, "/%00": 404, "//": 404,
		"/mesh.js": 200, "/mesh.mjs": 200, "/mesh.d.ts": 200, "/deeper/mesh.js": 404,
	} {
		resp, err := http.Get("http://" + hub.Addr() + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, want, resp.StatusCode, path)
	}
	connect(t, hub, mesh.Options{})
}

func TestOriginalWithoutAHostOnlyLocalhostIsBound(t *testing.T) {
	n, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: ":0"})
	require.NoError(t, err)
	defer n.Close()
	host, port, err := net.SplitHostPort(n.Addr())
	require.NoError(t, err)
	require.Equal(t, "localhost", host)
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		ip, _, err := net.ParseCIDR(a.String())
		require.NoError(t, err)
		if ip.IsLinkLocalUnicast() {
			continue
		}
		conn, err := net.Dial("tcp", net.JoinHostPort(ip.String(), port))
		if err == nil {
			_ = conn.Close()
		}
		require.Equal(t, ip.IsLoopback() && resolves(t, ip), err == nil, "%s: %v", ip, err)
	}
}

// resolves reports whether ip is an address of localhost.
func resolves(t *testing.T, ip net.IP) bool {
	ips, err := net.LookupIP("localhost")
	require.NoError(t, err)
	for _, other := range ips {
		if other.Equal(ip) {
			return true
		}
	}
	return false
}

func TestOriginalAMessageMayHaveOneMegabyte(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, hub, "e")
	large := func(n int) json.RawMessage { return json.RawMessage(`"` + strings.Repeat("x", n-2) + `"`) }
	require.NoError(t, c.Emit("e", large(999_000)))
	require.Len(t, heard.Next().Payload, 999_000)
	require.ErrorIs(t, c.Emit("e", large(1_000_000)), mesh.ErrTooLarge)
	require.ErrorIs(t, hub.Emit("e", large(1_000_000)), mesh.ErrTooLarge)

	w := meshtest.DialRaw(t, hub.Addr())
	// The hub ends the session when it has read the length of the frame.
	require.NoError(t, ended(meshtest.WriteFrame(w, fmt.Sprintf(`4{"event":"e","payload":%s}`, large(1_000_001)))))
	_, err := io.Copy(io.Discard, w)
	require.NoError(t, ended(err))
	require.NoError(t, c.Emit("e", 1))
	require.Equal(t, "1", string(heard.Next().Payload))

	small := listen(t, mesh.Options{MaxMessage: 1000})
	w = meshtest.DialRaw(t, small.Addr())
	require.NoError(t, ended(meshtest.WriteFrame(w, fmt.Sprintf(`4{"event":"e","payload":%s}`, large(1000)))))
	_, err = io.Copy(io.Discard, w)
	require.NoError(t, ended(err))
}

// ended returns nil for the errors of a connection that the peer ended before it had read everything.
func ended(err error) error {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) {
		return nil
	}
	return err
}

// At a hub with a smaller MaxMessage, a client loses only the event that is too large, and Emit returns the error.
func TestEventLargerThanTheHubAccepts(t *testing.T) {
	hub := listen(t, mesh.Options{MaxMessage: 10_000})
	heard := listenTo(t, hub, "e")
	var logs meshtest.Log
	c := connect(t, hub, mesh.Options{Logger: logs.Logger()})
	large := json.RawMessage(`"` + strings.Repeat("x", 20_000) + `"`)
	err := c.Emit("e", large)
	require.ErrorIs(t, err, mesh.ErrTooLarge)
	require.ErrorContains(t, err, "10000")
	require.NoError(t, c.Emit("e", 1))
	require.Equal(t, "1", string(heard.Next().Payload))
	require.EqualValues(t, 1, hub.Stats().Connections, "the client was not disconnected")
	require.Zero(t, c.Stats().RejectedByHub)
}

// A queued event that is larger than the hub accepts does not hold up the events after it.
func TestEventThatWaitedIsLargerThanTheHubAccepts(t *testing.T) {
	hub := listen(t, mesh.Options{MaxMessage: 10_000})
	heard := listenTo(t, hub, "e")
	p := meshtest.StartProxy(t, hub.Addr())
	var logs meshtest.Log
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket, Logger: logs.Logger()})
	gone := make(chan struct{}, 10)
	c.OnState(func(s mesh.State) {
		if s.Status != mesh.Connected {
			gone <- struct{}{}
		}
	})
	p.Close()
	<-gone
	require.NoError(t, c.Emit("e", json.RawMessage(`"`+strings.Repeat("x", 20_000)+`"`)))
	require.NoError(t, c.Emit("e", 1))
	p.Open()
	require.Equal(t, "1", string(heard.Next().Payload))
	require.ErrorIs(t, c.Flush(meshtest.Context(t)), mesh.ErrUnconfirmed)
	require.NoError(t, c.Flush(meshtest.Context(t)))
	require.EqualValues(t, 1, c.Stats().RejectedByHub)
	require.Contains(t, logs.String(), "larger than this hub accepts")
}

func TestOriginalOnAnyReportsOwnEventsOnly(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	for _, nodes := range [][2]*mesh.Node{{hub, c}, {c, hub}} {
		own, other := nodes[0], nodes[1]
		heard := make(chan mesh.Event, 10)
		off := own.OnAny(func(e mesh.Event) { heard <- e })
		arrived := listenTo(t, own, "e")
		require.NoError(t, other.Emit("e", "other"))
		require.Equal(t, `"other"`, string(arrived.Next().Payload))
		require.NoError(t, own.Emit("e", "own"))
		require.NoError(t, own.Emit("unheard", "own"))
		require.Empty(t, cmp.Diff(mesh.Event{Name: "e", Payload: json.RawMessage(`"own"`), From: own.ID()}, <-heard))
		require.Equal(t, "unheard", (<-heard).Name)
		off()
		require.NoError(t, own.Emit("e", "more"))
		arrived.Next()
		arrived.Next()
		require.Empty(t, heard)
	}
}
