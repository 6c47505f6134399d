package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// The tests in this file cover published faults of other implementations. docs/security.md lists them all. Tests of the
// transports are in package engineio, tests of the parser in package protocol. The tests in this file are about
// identities, and about data that peers must not see of each other.

// A peer cannot send an event under the ID of another peer: the hub replaces the ID.
// Advisories: CVE-2026-33246, CVE-2026-33223
func TestForgedIdentity(t *testing.T) {
	hub := listen(t, mesh.Options{})
	victim := connect(t, hub, mesh.Options{})
	atVictim, atHub := listenTo(t, victim, "e"), listenTo(t, hub, "e")
	other := meshtest.Dial(t, hub.URL(), nil)
	other.Send(meshtest.Table("mesh::e"))
	other.Barrier()
	for _, first := range []string{meshtest.Table(), offer(testKey, "")} {
		forger := meshtest.Dial(t, hub.URL(), nil)
		forger.Send(first)
		for _, packet := range []string{
			`{"event":"e","payload":{"id":"ID"},"from":"ID"}`,
			`{"event":"e","payload":{"id":1,"\u0069d":"ID","id":"ID"},"from":"x","from":"ID"}`,
			`{"event":"e","payload":{"id":{}},"from":{"id":"ID"},"headers":{"mesh":{"v":1,"key":"ID","id":"ID","from":"ID"}}}`,
		} {
			forger.Send(strings.ReplaceAll(packet, "ID", victim.ID()))
			at, hubbed := atVictim.Next(), atHub.Next()
			require.Equal(t, at.From, hubbed.From)
			require.NotEqual(t, victim.ID(), at.From)
			require.Len(t, at.From, 32)
			var p struct{ Payload struct{ ID string } }
			got := other.Next()
			require.NoError(t, json.Unmarshal([]byte(got), &p))
			require.Equal(t, at.From, p.Payload.ID)
			require.Equal(t, 1, strings.Count(got, `"id":`), got)
			require.NotContains(t, got, victim.ID())
			require.NotContains(t, got, "headers")
		}
	}
}

// A peer cannot forge an identity across hubs either: its own hub discards the claims in its packets.
// Advisories: CVE-2026-33246, CVE-2026-33223
func TestForgedIdentityAcrossHubs(t *testing.T) {
	hubs := cluster(t, 2, mesh.Options{})
	victim := connect(t, hubs[1], mesh.Options{})
	atVictim, atHub := listenTo(t, victim, "e"), listenTo(t, hubs[1], "e")
	other := meshtest.Dial(t, hubs[1].URL(), nil)
	other.Send(meshtest.Table("mesh::e"))
	other.Barrier()
	for _, first := range []string{meshtest.Table(), offer(testKey, "")} {
		forger := meshtest.Dial(t, hubs[0].URL(), nil)
		forger.Send(first)
		for _, id := range []string{victim.ID(), hubs[0].ID(), hubs[1].ID()} {
			for _, packet := range []string{
				`{"event":"e","payload":{"id":"ID"},"from":"ID","n":1}`,
				`{"event":"e","payload":{"id":1,"\u0069d":"ID","id":"ID"},"from":"x","from":"ID","n":99,"hub":"ID"}`,
				`{"event":"e","payload":{"id":{}},"from":{"id":"ID"},"headers":{"mesh":{"v":1,"key":"ID","id":"ID","from":"ID","hub":"ID"}}}`,
			} {
				forger.Send(strings.ReplaceAll(packet, "ID", id))
				at, hubbed := atVictim.Next(), atHub.Next()
				require.Equal(t, at.From, hubbed.From)
				require.NotContains(t, []string{victim.ID(), hubs[0].ID(), hubs[1].ID()}, at.From)
				require.Len(t, at.From, 32)
				var p struct{ Payload struct{ ID string } }
				got := other.Next()
				require.NoError(t, json.Unmarshal([]byte(got), &p))
				require.Equal(t, at.From, p.Payload.ID)
				require.NotContains(t, got, id)
				require.NotContains(t, got, "headers")
			}
		}
	}
}

// Hubs publish to each other under names that no event can have. No peer can emit or receive these messages, or take
// them away from the hubs.
// Advisories: CVE-2026-33223
func TestPeersCannotSpeakForHubs(t *testing.T) {
	b := new(hookedBackplane)
	var mu sync.Mutex
	subscribed := make(map[string]int) // the number of subscriptions to each name
	hook := func(patterns []string) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range patterns {
			subscribed[p]++
		}
	}
	b.onSubscribe.Store(&hook)
	hubs := []*mesh.Node{listen(t, mesh.Options{Backplane: b}), listen(t, mesh.Options{Backplane: b})}
	names := []string{"$hubs", "$hub-" + hubs[0].ID(), "$hub-" + hubs[1].ID(), "$presence"}
	for _, first := range []string{meshtest.Table(), offer(testKey, "")} {
		w := meshtest.Dial(t, hubs[0].URL(), nil)
		w.Send(first)
		var keys []string
		for _, name := range append(names, "$*", "$**", "*", "**") {
			keys = append(keys, "mesh::"+name, name)
		}
		w.Send(meshtest.Table(keys...))
		for _, name := range names {
			for _, payload := range []string{`{"kind":"bye"}`, `"c{\"kind\":\"bye\"}"`, `{"kind":"leave","node":{"id":"` + hubs[1].ID() + `"}}`} {
				w.Send(`{"event":"` + name + `","payload":` + payload + `}`)
			}
		}
		w.Barrier()
		require.NoError(t, hubs[1].Emit("heard", nil))
		for {
			p := w.Next()
			if strings.Contains(p, `"heard"`) {
				break
			}
			require.Contains(t, p, `{"event":"$mesh.`)
		}
		w.Send(meshtest.Table()) // the hubs keep their subscriptions when such a peer unsubscribes
		w.Barrier()
		require.NoError(t, w.Socket.Close())
		for _, h := range hubs {
			require.Equal(t, 1, h.Stats().Hubs)
			nodes, err := connect(t, h, mesh.Options{}).Nodes(meshtest.Context(t))
			require.NoError(t, err)
			require.NotEmpty(t, nodes)
		}
		there := listenTo(t, connect(t, hubs[1], mesh.Options{}), "still")
		require.NoError(t, hubs[0].Emit("still", nil))
		there.Next()
	}
	require.GreaterOrEqual(t, hubs[0].Stats().Reserved, uint64(2*3*len(names)))
	mu.Lock()
	defer mu.Unlock()
	require.Positive(t, subscribed["still"])
	for name, times := range subscribed {
		if name == "$hubs" {
			times -= len(hubs) - 1
		}
		if strings.HasPrefix(name, "$") {
			require.LessOrEqual(t, times, 1, "%s: a peer has the hub listen to it", name)
		}
	}
}

// A hub gives each peer a different ID of 32 characters.
// Advisories: CVE-2017-16031
func TestPeerIDsAreUnique(t *testing.T) {
	hub := listen(t, mesh.Options{})
	heard := listenTo(t, hub, "e")
	seen := map[string]bool{}
	for range 50 {
		w := meshtest.Dial(t, hub.URL(), nil)
		w.Send(`{"event":"e"}`)
		id := heard.Next().From
		require.Len(t, id, 32)
		require.False(t, seen[id])
		seen[id] = true
	}
}

// The test sends secrets through every kind of failure, and searches for them in all output that a program can see.
// Advisories: CVE-2026-33247, CVE-2026-33216
func TestNoSecretInLogsOrErrors(t *testing.T) {
	t.Parallel() // it waits for a timer
	const user, password, key = "tainted-user-1", "tainted-password-2", "tainted-key-0123456789abcdef"
	var logs meshtest.Log
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
			logs.Logger().Info("seen", "value", v)
		}
	}
	secrets := []string{user, password, key}
	hub := listen(t, mesh.Options{Addr: "127.0.0.1:0", Logger: logs.Logger(), MuteTimeout: 100 * time.Millisecond, Authorize: func(_ context.Context, c mesh.Credentials) error {
		see(c)
		if c.User == user {
			return nil
		}
		return fmt.Errorf("no account %s with %s", c.User, c.Password)
	}})
	for _, transports := range [][]engineio.Transport{{engineio.Polling}, {engineio.WebSocket}, nil} {
		p := meshtest.StartProxy(t, hub.Addr())
		o := mesh.Options{Addr: p.Addr(), User: user, Password: password, Logger: logs.Logger(), Transports: transports}
		c := connectTo(t, o)
		c.OnState(func(s mesh.State) { see(s, s.Err) })
		changes := states(c)
		p.Close()
		require.NoError(t, c.Emit("e", nil))
		// The client may repeat a poll that was cut. The repeated poll fails, because the hub cannot be reached.
		see(awaitStatus(t, changes, mesh.Disconnected).Err)
		short, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		see(c.Flush(short), c.Stats())
		cancel()
		p.Open()
		see(c.Flush(meshtest.Context(t)))
		require.NoError(t, c.Close())

		o.Addr, o.User = hub.Addr(), "wrong-"+user[len("tainted-"):]
		_, err := mesh.Connect(meshtest.Context(t), &o)
		var refused *mesh.AuthError
		require.ErrorAs(t, err, &refused)
		see(err, refused)
	}
	w := meshtest.Dial(t, hub.URL(), &engineio.DialOptions{Revision: engineio.Revision3, Logger: logs.Logger()})
	secrets = append(secrets, w.Socket.ID())
	auth := `"headers":{"auth":{"user":"` + user + `","password":"` + password + `"},"mesh":{"v":1,"key":"` + key + `"}}`
	w.Send(`{"event":"x",`+auth, `{"event":"`+password+`":`+auth+`}`, `{"event":"x","eventTable":{"`+strings.Repeat("[", 600)+`":`+"5}"+`,`+auth+`}`,
		`{"event":"x","eventTable":"`+password+`",`+auth+`}`, `{"event":"$`+key+`"}`)
	w.Barrier()
	muted := meshtest.Dial(t, hub.URL(), nil)
	secrets = append(secrets, muted.Socket.ID())
	muted.Send(fmt.Sprintf(authPacket, "x", password))
	muted.AwaitEnd()

	for _, addr := range []string{"http://" + user + ":" + password + "@localhost:1/", "http://localhost:1/?token=" + password, "http://%zz" + password} {
		_, err := mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: addr})
		require.Error(t, err)
		see(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	_, err = mesh.Connect(meshtest.Context(t), &mesh.Options{Addr: l.Addr().String(), User: user, Password: password})
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
