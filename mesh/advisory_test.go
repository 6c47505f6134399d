package mesh_test

// Published faults of servers of this kind, each with a test that this one does not have it. Those of the transports are
// in package engineio, those of the parser in package protocol.

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/protocol"
)

// everyWay runs a test on each transport and revision, with a peer that a hub has admitted and one that it has not.
func everyWay(t *testing.T, test func(t *testing.T, hub *mesh.Node, w *wire, admitted bool)) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for name, transports := range map[string][]engineio.Transport{
			"polling": {engineio.Polling}, "websocket": {engineio.WebSocket}, "upgrade": {engineio.Polling, engineio.WebSocket},
		} {
			for _, admitted := range []bool{false, true} {
				t.Run(fmt.Sprintf("revision %d/%s/admitted %t", rev, name, admitted), func(t *testing.T) {
					hub := listen(t, mesh.Options{Authorize: mesh.Pair("u", "p")})
					w := dialWire(t, hub.URL(), &engineio.DialOptions{Revision: rev, Transports: transports})
					if admitted {
						w.send(`{"event":"handshake","headers":{"auth":{"user":"u","password":"p"}}}`)
						eventually(t, "admitted", func() bool { return hub.Stats().Peers == 1 })
					}
					test(t, hub, w, admitted)
				})
			}
		}
	}
}

func TestAdvisory_CVE_2024_38355_ReservedEventsAreInert(t *testing.T) {
	everyWay(t, func(t *testing.T, hub *mesh.Node, w *wire, admitted bool) {
		heard := listenTo(t, hub, "**")
		names := []string{
			"error", "newListener", "removeListener", "connect", "connection", "disconnect", "disconnecting", "connect_error",
			"__proto__", "constructor", "hasOwnProperty", "toString", "mesh::connect", "end",
		}
		for _, name := range names {
			w.send(`{"event":"` + name + `","payload":{"__proto__":{"x":1}}}`)
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

func TestAdvisory_CVE_2022_2421_EventsThatAreNoStringsAreRefused(t *testing.T) {
	everyWay(t, func(t *testing.T, hub *mesh.Node, w *wire, admitted bool) {
		packets := []string{
			`{"event":{"toString":1},"payload":{}}`, `{"event":["a"],"payload":{}}`, `{"event":1}`, `{"event":true}`, `{"event":null}`,
			`{"payload":{}}`, `{"Event":"x"}`, `{"event":""}`, `51-["event",{"_placeholder":true,"num":99}]`,
		}
		w.send(packets...)
		eventually(t, "all were refused", func() bool { return hub.Stats().Malformed == uint64(len(packets)) })
	})
}

func TestAdvisory_CVE_2026_33219_LittleIsKeptOfAPeerThatIsNotAdmitted(t *testing.T) {
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Authorize: mesh.Pair("u", "p")})
	const peers = 50
	heap := func() uint64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	var wires []*wire
	for range peers {
		w := dialWire(t, hub.URL(), nil)
		w.send(`{"event":"x"}`)
		w.barrier()
		wires = append(wires, w)
	}
	before := heap()
	for _, w := range wires {
		w.send(
			`{"event":"x","payload":"`+strings.Repeat("x", 900_000)+`"}`,
			`{"event":"x","headers":{"auth":{"user":"`+strings.Repeat("x", 8000)+`"}},"eventTable":{"mesh::`+strings.Repeat("x", 50_000)+`":{}}}`,
		)
		w.barrier()
	}
	after := heap()
	require.Less(t, int64(after)-int64(before), int64(peers*64<<10))
	require.EqualValues(t, peers, hub.Stats().Malformed, "what is larger than 64 KB is not looked at")
}

// TestAdvisory_CVE_2026_33219_secnote_2026_25_NothingBeforeAdmissionLasts: neither an HTTP request that does not end nor a
// callback that does not return is waited for longer than 5 s.
func TestAdvisory_CVE_2026_33219_secnote_2026_25_NothingBeforeAdmissionLasts(t *testing.T) {
	const limit, slack = 5 * time.Second, 3 * time.Second
	started := make(chan struct{}, 1)
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Authorize: func(ctx context.Context, _ mesh.Credentials) error {
		started <- struct{}{}
		<-ctx.Done()
		return nil // too late
	}})
	heard := listenTo(t, hub, "e")
	start := time.Now()
	var conns []net.Conn
	for _, begun := range []string{"", "GET /engine.io/?EIO=3&transport=polling HTTP/1.1\r\nHost: ", "GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"} {
		conn, err := net.Dial("tcp", hub.Addr())
		require.NoError(t, err)
		_, err = conn.Write([]byte(begun))
		require.NoError(t, err)
		conns = append(conns, conn)
	}
	w := dialWire(t, hub.URL(), nil)
	w.send(`{"event":"e"}`)
	<-started
	for i, conn := range conns {
		require.NoError(t, conn.SetReadDeadline(start.Add(limit+slack)))
		_, err := io.Copy(io.Discard, conn)
		require.NoError(t, err, "connection %d is still waited for", i)
		require.NoError(t, conn.Close())
	}
	eventually(t, "refused", func() bool { return hub.Stats().Refusals == 1 })
	require.Less(t, time.Since(start), limit+slack)
	require.Empty(t, heard.in)
}

// A hub negotiates no compression, so that nothing is inflated before admission, or after it.
func TestAdvisory_CVE_2026_27571_NothingIsInflated(t *testing.T) {
	hub := listen(t, mesh.Options{Authorize: mesh.Pair("u", "p")})
	for _, user := range []string{"u", "x"} {
		s, err := engineio.Dial(testContext(t), hub.URL(), &engineio.DialOptions{
			Revision: engineio.Revision3, Transports: []engineio.Transport{engineio.WebSocket}, PerMessageDeflate: true,
			HTTPClient: &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
				resp, err := http.DefaultTransport.RoundTrip(r)
				require.NotEmpty(t, r.Header.Get("Sec-WebSocket-Extensions"))
				if err == nil {
					require.Empty(t, resp.Header.Values("Sec-WebSocket-Extensions"))
				}
				return resp, err
			})},
		})
		require.NoError(t, err)
		s.Discard()
		require.NoError(t, s.Write(testContext(t), engineio.Text(fmt.Sprintf(authPacket, user, "p"))))
		require.NoError(t, s.Ping(testContext(t)))
		require.NoError(t, s.Close())
	}
}

type roundTrip func(r *http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestAdvisory_CVE_2026_29785_33218_AnyPacketsBeforeAdmission sends sequences at random, and expects nothing but that
// the hub lives, tells nothing and hears nothing. The same covers secnotes 2026-16 and 2026-24: no packet, in no order,
// finds a way around the check.
func TestAdvisory_CVE_2026_29785_33218_AnyPacketsBeforeAdmission(t *testing.T) {
	pair := mesh.Pair("u", "p")
	hub := listen(t, mesh.Options{Authorize: pair})
	heard := listenTo(t, hub, "**")
	good := connect(t, hub, mesh.Options{User: "u", Password: "p"})
	atGood := listenTo(t, good, "**")
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 0))
	events := []string{"handshake", "newListener", "$mesh.hello", "$mesh.unauthorized", "e", "error", "mesh::e", "**", ""}
	parts := []string{
		`"payload":{}`, `"payload":null`, `"eventTable":{"mesh::**":{"remote":true},"secret":{}}`, `"eventTable":null`, `"eventTable":[]`,
		`"headers":{}`, `"headers":null`, `"headers":{"auth":{}}`, `"headers":{"auth":{"user":"u"}}`, `"headers":{"auth":{"user":"u","password":"x"}}`,
		`"headers":{"auth":{"user":["u"],"password":["p"]}}`, `"headers":{"auth":null,"mesh":{"v":1}}`, `"from":"` + good.ID() + `"`,
	}
	for range 200 {
		w := dialWire(t, hub.URL(), nil)
		for range 1 + rnd.IntN(8) {
			packet := `{"event":"` + events[rnd.IntN(len(events))] + `"`
			for range rnd.IntN(4) {
				packet += "," + parts[rnd.IntN(len(parts))]
			}
			packet += "}"
			if rnd.IntN(10) == 0 {
				packet = packet[:rnd.IntN(len(packet))]
			}
			w.send(packet)
		}
		w.barrier()
		require.NoError(t, hub.Emit("secret", nil))
		require.Empty(t, w.heard())
		heard.silentUntil("secret")
		atGood.silentUntil("secret")
		w.sock.Abort(nil)
	}
	require.Empty(t, heard.in)
}

func TestAdvisory_CVE_2026_33246_33223_IdentityCannotBeForged(t *testing.T) {
	hub := listen(t, mesh.Options{})
	victim := connect(t, hub, mesh.Options{})
	atVictim, atHub := listenTo(t, victim, "e"), listenTo(t, hub, "e")
	other := dialWire(t, hub.URL(), nil)
	other.send(table("mesh::e"))
	other.barrier()
	for _, first := range []string{table(), offer(testKey, "")} {
		forger := dialWire(t, hub.URL(), nil)
		forger.send(first)
		for _, packet := range []string{
			`{"event":"e","payload":{"id":"ID"},"from":"ID"}`,
			`{"event":"e","payload":{"id":1,"\u0069d":"ID","id":"ID"},"from":"x","from":"ID"}`,
			`{"event":"e","payload":{"id":{}},"from":{"id":"ID"},"headers":{"mesh":{"v":1,"key":"ID","id":"ID","from":"ID"}}}`,
		} {
			forger.send(strings.ReplaceAll(packet, "ID", victim.ID()))
			at, hubbed := atVictim.next(), atHub.next()
			require.Equal(t, at.From, hubbed.From)
			require.NotEqual(t, victim.ID(), at.From)
			require.Len(t, at.From, 32)
			var p struct{ Payload struct{ ID string } }
			got := other.next()
			require.NoError(t, json.Unmarshal([]byte(got), &p))
			require.Equal(t, at.From, p.Payload.ID)
			require.Equal(t, 1, strings.Count(got, `"id":`), got)
			require.NotContains(t, got, victim.ID())
			require.NotContains(t, got, "headers")
		}
	}
}

// Nor across hubs: what a peer says of itself ends at its own hub, in whatever packet.
func TestAdvisory_CVE_2026_33246_33223_IdentityCannotBeForgedAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	victim := connect(t, hubs[1], mesh.Options{})
	atVictim, atHub := listenTo(t, victim, "e"), listenTo(t, hubs[1], "e")
	other := dialWire(t, hubs[1].URL(), nil)
	other.send(table("mesh::e"))
	other.barrier()
	for _, first := range []string{table(), offer(testKey, "")} {
		forger := dialWire(t, hubs[0].URL(), nil)
		forger.send(first)
		for _, id := range []string{victim.ID(), hubs[0].ID(), hubs[1].ID()} {
			for _, packet := range []string{
				`{"event":"e","payload":{"id":"ID"},"from":"ID","n":1}`,
				`{"event":"e","payload":{"id":1,"\u0069d":"ID","id":"ID"},"from":"x","from":"ID","n":99,"hub":"ID"}`,
				`{"event":"e","payload":{"id":{}},"from":{"id":"ID"},"headers":{"mesh":{"v":1,"key":"ID","id":"ID","from":"ID","hub":"ID"}}}`,
			} {
				forger.send(strings.ReplaceAll(packet, "ID", id))
				at, hubbed := atVictim.next(), atHub.next()
				require.Equal(t, at.From, hubbed.From)
				require.NotContains(t, []string{victim.ID(), hubs[0].ID(), hubs[1].ID()}, at.From)
				require.Len(t, at.From, 32)
				var p struct{ Payload struct{ ID string } }
				got := other.next()
				require.NoError(t, json.Unmarshal([]byte(got), &p))
				require.Equal(t, at.From, p.Payload.ID)
				require.NotContains(t, got, id)
				require.NotContains(t, got, "headers")
			}
		}
	}
}

// What hubs say to each other goes under names that are no event's: no peer says or hears any of it, nor takes it from the hubs.
func TestAdvisory_CVE_2026_33223_PeersCannotSpeakForHubs(t *testing.T) {
	b := &watchedBackplane{subscribed: make(map[string]int)}
	hubs := []*mesh.Node{listen(t, mesh.Options{Backplane: b}), listen(t, mesh.Options{Backplane: b})}
	names := []string{"$hubs", "$hub-" + hubs[0].ID(), "$hub-" + hubs[1].ID(), "$presence"}
	for _, first := range []string{table(), offer(testKey, "")} {
		w := dialWire(t, hubs[0].URL(), nil)
		w.send(first)
		var keys []string
		for _, name := range append(names, "$*", "$**", "*", "**") {
			keys = append(keys, "mesh::"+name, name)
		}
		w.send(table(keys...))
		for _, name := range names {
			for _, payload := range []string{`{"kind":"bye"}`, `"c{\"kind\":\"bye\"}"`, `{"kind":"leave","node":{"id":"` + hubs[1].ID() + `"}}`} {
				w.send(`{"event":"` + name + `","payload":` + payload + `}`)
			}
		}
		w.barrier()
		require.NoError(t, hubs[1].Emit("heard", nil))
		for {
			p := w.next()
			if strings.Contains(p, `"heard"`) {
				break
			}
			require.Contains(t, p, `{"event":"$mesh.`)
		}
		w.send(table()) // nor do the hubs lose what such a peer no longer listens to
		w.barrier()
		require.NoError(t, w.sock.Close())
		for _, h := range hubs {
			require.Equal(t, 1, h.Stats().Hubs)
			nodes, err := connect(t, h, mesh.Options{}).Nodes(testContext(t))
			require.NoError(t, err)
			require.NotEmpty(t, nodes)
		}
		there := listenTo(t, connect(t, hubs[1], mesh.Options{}), "still")
		require.NoError(t, hubs[0].Emit("still", nil))
		there.next()
	}
	require.GreaterOrEqual(t, hubs[0].Stats().Reserved, uint64(2*3*len(names)))
	b.mu.Lock()
	defer b.mu.Unlock()
	require.Positive(t, b.subscribed["still"])
	for name, times := range b.subscribed {
		if name == "$hubs" {
			times -= len(hubs) - 1
		}
		if strings.HasPrefix(name, "$") {
			require.LessOrEqual(t, times, 1, "%s: a peer has the hub listen to it", name)
		}
	}
}

// watchedBackplane counts what its members subscribe to.
type watchedBackplane struct {
	mesh.LocalBackplane
	mu         sync.Mutex
	subscribed map[string]int
}

type watchedMember struct {
	mesh.BackplaneMember
	b *watchedBackplane
}

func (b *watchedBackplane) Join(hub string, receive func(string, []byte)) (mesh.BackplaneMember, error) {
	m, err := b.LocalBackplane.Join(hub, receive)
	return watchedMember{m, b}, err
}

func (m watchedMember) Subscribe(patterns ...string) {
	m.b.mu.Lock()
	for _, p := range patterns {
		m.b.subscribed[p]++
	}
	m.b.mu.Unlock()
	m.BackplaneMember.Subscribe(patterns...)
}

func TestAdvisory_secnote_2026_22_NamesArriveUnchangedAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	emitter, c := connect(t, hubs[0], mesh.Options{}), connect(t, hubs[1], mesh.Options{})
	var heard []*ears
	for _, name := range hostileNames {
		heard = append(heard, listenTo(t, c, name))
	}
	for i, name := range hostileNames {
		require.NoError(t, emitter.Emit(name, name))
		e := heard[i].next()
		require.Equal(t, name, e.Name)
		var payload string
		require.NoError(t, e.Decode(&payload))
		require.Equal(t, name, payload)
	}
	for _, ears := range heard {
		require.Empty(t, ears.in, "somebody else's")
	}
}

// hostileNames are names with characters that mean something elsewhere, no two of them the same.
var hostileNames = []string{
	"a\r\nb", "a b", "a\tb", "a\x00b", "a>b", "a.b", "a.>", "_", "a\u2028b", "é", "e\u0301", "A", "a", `a"b`, `a\b`, "a::::b", "::", "$x::y", "💥",
}

func TestAdvisory_secnote_2026_22_NamesArriveUnchanged(t *testing.T) {
	hub := listen(t, mesh.Options{})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "**")
	for _, name := range hostileNames {
		require.NoError(t, hub.Emit(name, name))
		e := heard.next()
		require.Equal(t, name, e.Name)
		var payload string
		require.NoError(t, e.Decode(&payload))
		require.Equal(t, name, payload)

		// Whoever listens to exactly this hears it, and nobody who listens to another.
		w := dialWire(t, hub.URL(), nil)
		key, err := json.Marshal("mesh::" + name)
		require.NoError(t, err)
		w.send(`{"event":"handshake","eventTable":{` + string(key) + `:{}}}`)
		w.barrier()
		sent := hub.Stats().Sent
		require.NoError(t, c.Emit(name, nil))
		flush(t, c)
		require.Equal(t, sent+1, hub.Stats().Sent)
		require.Len(t, w.heard(), 1)
		require.NoError(t, w.sock.Close())
		heard.next() // its own
	}
}

func TestAdvisory_CVE_2019_13611_PagesOfOtherOriginsAreRefused(t *testing.T) {
	hub := listen(t, mesh.Options{})
	open := listen(t, mesh.Options{AllowedOrigins: []string{"https://good.example"}})
	for _, c := range []struct {
		hub    *mesh.Node
		origin string
		ok     bool
	}{
		{hub, "", true}, {hub, "http://" + hub.Addr(), true}, {hub, "https://evil.example", false}, {hub, "null", false},
		{open, "https://good.example", true}, {open, "https://evil.example", false},
	} {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}} {
			header := http.Header{}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			s, err := engineio.Dial(testContext(t), c.hub.URL(), &engineio.DialOptions{Transports: transports, Header: header})
			require.Equal(t, c.ok, err == nil, "%q on %s: %v", c.origin, transports[0], err)
			if err == nil {
				s.Discard()
				_ = s.Close()
			}
		}
	}
}

// TestPagesCannotReachAHubByANameOfTheirOwn: a site can have its name stand for 127.0.0.1 once its page is loaded, and the
// hub is then the page's own server.
func TestPagesCannotReachAHubByANameOfTheirOwn(t *testing.T) {
	var log logBuffer
	own := listen(t, mesh.Options{Addr: "127.0.0.1:0", Logger: log.logger()})
	proxied := listen(t, mesh.Options{Addr: "127.0.0.1:0", AllowedOrigins: []string{"https://Mesh.example.com/"}})
	for _, c := range []struct {
		hub          *mesh.Node
		host, origin string
		ok           bool
	}{
		{own, "evil.example:8888", "http://evil.example:8888", false}, {own, "evil.example", "http://evil.example", false},
		{own, "evil.example.", "http://evil.example.", false}, {own, "127.0.0.1.evil.example", "http://127.0.0.1.evil.example", false},
		{own, "mesh.example.com", "", true}, // a Go client, through a proxy
		{own, "localhost:1", "http://localhost:1", true}, {own, "LocalHost", "http://LocalHost", true}, {own, "a.localhost", "http://a.localhost", true},
		{own, "thishost:8888", "http://thishost:8888", true}, {own, "[::1]:1", "http://[::1]:1", true}, {own, own.Addr(), "http://" + own.Addr(), true},
		{proxied, "mesh.example.com", "https://mesh.example.com", true}, {proxied, "evil.example", "http://evil.example", false},
	} {
		for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}} {
			header := http.Header{"Host": {c.host}}
			if c.origin != "" {
				header.Set("Origin", c.origin)
			}
			s, err := engineio.Dial(testContext(t), c.hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Transports: transports, Header: header})
			if !c.ok {
				require.ErrorContains(t, err, "403", "%s %v", c.host, transports)
				continue
			}
			require.NoError(t, err, "%s %v", c.host, transports)
			require.NoError(t, s.Close())
		}
	}
	require.Contains(t, log.String(), "AllowedOrigins admits it")
}

func TestAdvisory_CVE_2017_16031_IDsCannotBeGuessed(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	seen := map[string]bool{}
	for range 50 {
		w := dialWire(t, hub.URL(), nil)
		w.send(`{"event":"e"}`)
		id := heard.next().From
		require.Len(t, id, 32)
		require.False(t, seen[id])
		seen[id] = true
	}
}

func TestAdvisory_secnote_2026_27_PathsOfWhatIsNotThereAre404(t *testing.T) {
	hub := listen(t, mesh.Options{})
	for _, path := range []string{"/mesh.txt", "/admin.html", "/metrics", "/healthz", "/readyz", "/admin", "/debug/pprof/"} {
		resp, err := http.Get("http://" + hub.Addr() + path)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusNotFound, resp.StatusCode, path)
	}
}

func TestAdvisory_TablesAreBounded(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := dialWire(t, hub.URL(), nil)
	w.send(table("mesh::kept"))
	var many strings.Builder
	for i := range protocol.MaxTableEntries + 1 {
		fmt.Fprintf(&many, `"mesh::%d":{},`, i)
	}
	for _, entries := range []string{
		many.String() + `"mesh::x":{}`,
		`"mesh::x":{},"` + strings.Repeat("y", protocol.MaxTableBytes) + `":{}`,
	} {
		w.send(`{"event":"handshake","eventTable":{` + entries + `}}`)
	}
	w.send(`{"event":"handshake","eventTable":{"mesh::kept":{},"mesh::` + strings.Repeat("z", protocol.MaxName+1) + `":{}}}`)
	w.barrier()
	require.EqualValues(t, 2, hub.Stats().BadTables)
	// Patterns that share little and match everything in many ways: with 250 KB of them, one event took the hub 75 ms.
	var slow []string
	for i := range 256 {
		p := "mesh::**"
		for bit := range 8 {
			p += []string{"::*", "::*::**"}[i>>bit&1]
		}
		slow = append(slow, p)
	}
	w.send(table(slow...))
	w.barrier()
	require.EqualValues(t, 3, hub.Stats().BadTables)
	require.NoError(t, hub.Emit("a::b::c::d::e::f::g::h", nil))
	require.Error(t, hub.Emit(strings.Repeat("a::", protocol.MaxParts), nil))
	w.send(`{"event":"` + strings.Repeat("a::", protocol.MaxParts) + `"}`)
	w.barrier()
	require.EqualValues(t, 1, hub.Stats().Reserved)
	require.NoError(t, hub.Emit("x", nil))
	require.NoError(t, hub.Emit("kept", nil))
	require.Equal(t, []string{`{"event":"kept"}`}, w.heard())
}

// TestAdvisory_CVE_2026_33247_33216_NoSecretInLogsOrErrors leads secrets through everything that can go wrong and looks
// for them in all that a program gets to see.
func TestAdvisory_CVE_2026_33247_33216_NoSecretInLogsOrErrors(t *testing.T) {
	const user, password, key = "tainted-user-1", "tainted-password-2", "tainted-key-0123456789abcdef"
	var logs logBuffer
	var mu sync.Mutex
	var seen []string
	see := func(v ...any) {
		mu.Lock()
		defer mu.Unlock()
		for _, v := range v {
			seen = append(seen, fmt.Sprintf("%v %+v %#v %s %q", v, v, v, v, v))
			if b, err := json.Marshal(v); err == nil {
				seen = append(seen, string(b))
			}
			logs.logger().Info("seen", "value", v)
		}
	}
	secrets := []string{user, password, key}
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Logger: logs.logger(), MuteTimeout: 100 * time.Millisecond, Authorize: func(_ context.Context, c mesh.Credentials) error {
		see(c)
		if c.User == user {
			return nil
		}
		return fmt.Errorf("no account %s with %s", c.User, c.Password)
	}})
	for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}, nil} {
		p := startProxy(t, hub.Addr())
		o := mesh.Options{Addr: p.addr(), User: user, Password: password, Logger: logs.logger(), Transports: transports}
		c := connectTo(t, o)
		c.OnState(func(s mesh.State) { see(s, s.Err) })
		changes := states(c)
		p.cut(true)
		require.NoError(t, c.Emit("e", nil))
		// A poll that is cut may be made again unnoticed, and fails then, as nobody can be reached.
		see(awaitStatus(t, changes, mesh.Disconnected).Err)
		short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		see(c.Flush(short), c.Stats())
		cancel()
		p.open()
		see(c.Flush(testContext(t)))
		require.NoError(t, c.Close())

		o.Addr, o.User = hub.Addr(), "wrong-"+user[len("tainted-"):]
		_, err := mesh.Connect(testContext(t), &o)
		var refused *mesh.AuthError
		require.ErrorAs(t, err, &refused)
		see(err, refused)
	}
	w := dialWire(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Logger: logs.logger()})
	secrets = append(secrets, w.sock.ID())
	auth := `"headers":{"auth":{"user":"` + user + `","password":"` + password + `"},"mesh":{"v":1,"key":"` + key + `"}}`
	w.send(`{"event":"x",`+auth, `{"event":"`+password+`":`+auth+`}`, `{"event":"x","eventTable":{"`+strings.Repeat("[", 600)+`":`+"5}"+`,`+auth+`}`,
		`{"event":"x","eventTable":"`+password+`",`+auth+`}`, `{"event":"$`+key+`"}`)
	w.barrier()
	muted := dialWire(t, hub.URL(), nil)
	secrets = append(secrets, muted.sock.ID())
	muted.send(fmt.Sprintf(authPacket, "x", password))
	muted.ended()

	for _, addr := range []string{"http://" + user + ":" + password + "@localhost:1/", "http://localhost:1/?token=" + password, "http://%zz" + password} {
		_, err := mesh.Connect(testContext(t), &mesh.Options{Addr: addr})
		require.Error(t, err)
		see(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = mesh.Connect(testContext(t), &mesh.Options{Addr: l.Addr().String(), User: user, Password: password})
	see(err, errors.Unwrap(err))
	see(hub.Stats(), hub.Err(), hub.Emit("$"+"x", password), hub.Emit("x", json.RawMessage(`{"`+password+`":`)))
	require.NoError(t, hub.Close())

	mu.Lock()
	defer mu.Unlock()
	all := logs.String() + strings.Join(seen, "\n")
	for _, secret := range secrets {
		require.NotContains(t, all, secret)
	}
	for line := range strings.Lines(all) {
		require.NotContains(t, line, "sid=", "a session ID")
	}
	require.Empty(t, cmp.Diff(true, strings.Contains(all, "peer refused")), "the logs were looked at")
}
