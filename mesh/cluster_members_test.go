package mesh_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// fakeHub is a member of a backplane that publishes messages that no real hub publishes.
type fakeHub struct {
	mesh.BackplaneMember
	id  string
	got chan string
}

func joinFake(t *testing.T, b mesh.Backplane, id string) *fakeHub {
	f := &fakeHub{id: id, got: make(chan string, 1000)}
	var err error
	f.BackplaneMember, err = b.Join(id, func(from string, data []byte) { f.got <- from + " " + string(data) })
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, f.Close()) })
	f.Subscribe("$hubs", "$hub-"+id)
	return f
}

// A hub drops invalid messages of another hub, and continues.
// Advisories: CVE-2025-61765
func TestHubMessagesAreData(t *testing.T) {
	t.Parallel() // it waits for a timer
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	c := connect(t, hub, mesh.Options{})
	heard := listenTo(t, c, "**")
	f := joinFake(t, b, "fake")
	say := func(name, data string) { require.NoError(t, f.Publish(name, []byte(data), nil)) }
	field := func(s string) string {
		require.Less(t, len(s), 128)
		return string(rune(len(s))) + s
	}
	events := func(name, from string, numbersAndPayloads ...string) string {
		return "e" + field(name) + field(from) + strings.Join(numbersAndPayloads, "")
	}
	for _, invalid := range []string{"$mesh.hello", "mesh::x", "newListener", "a*", "**", "", "a\xff"} {
		say("e", events(invalid, "someone", "\x01", field("1")))
	}
	for _, garbage := range []string{
		"", "x", "e", "e\xff", "e\x05{}", "e\x01e", "e\x01e\x01", "e\x01e\x01x", "e\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01{}",
		events("e", "someone", "\x01"), events("e", "someone", "\x01\x05{}"), events("e", "someone", "\x80"), events("e", "some\xff", "\x01", field("1")),
		events("e", "someone", "\x80\x80\x80\x80\x80\x80\x80\x10", field("1")), events("e", "someone", "\x01", field("1 1")), events("e", "someone", "\x01", field(`"\xff"`)), "c", "c{", "c[]", "c{}", "c null",
		`c{"kind":"later","more":[1,{"x":null}]}`, `c{"kind":"nodes","after":-5,"limit":-1}`, `c{"kind":"nodes","after":999999999,"limit":99999}`,
		`c{"kind":"answer","rid":1}`, `c{"kind":"answer","rid":18446744073709551615}`, `c{"kind":"explain"}`, `c{"kind":"emitter","from":"x"}`,
		`c{"kind":"join"}`, `c{"kind":"leave","node":{"id":5}}`, `c{"kind":"leave","node":{}}`, `c{"kind":5}`,
		`c{"kind":"hello","hub":{"id":"` + hub.ID() + `","role":"client"}}`,
	} {
		say("$hubs", garbage)
		say("e", garbage)
	}
	// A malformed event does not affect the other events of its frame.
	say("e", events("e", "someone", "\x01", field("{"), "\x02", field("1")))
	e := heard.Next()
	require.Equal(t, mesh.Event{Name: "e", Payload: json.RawMessage("1"), From: "someone"}, e)
	require.Greater(t, hub.Stats().Malformed, uint64(15))
	flush(t, c)
	require.Empty(t, heard.C)
	nodes, err := c.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Equal(t, hub.ID(), nodes[0].ID, "no hub replies for another hub")
}

// The other hubs give up a silent hub and continue.
func TestSilentHubIsGivenUp(t *testing.T) {
	t.Parallel() // it waits for a timer
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	f := joinFake(t, b, "fake")
	require.NoError(t, f.Publish("$hubs", []byte(`c{"kind":"hello","hub":{"name":"fake"}}`), nil))
	c := connect(t, hub, mesh.Options{})
	gone := make(chan mesh.Presence, 10)
	c.OnPresence(func(p mesh.Presence) {
		if p.Node.Role == mesh.RoleHub {
			gone <- p
		}
	})
	listenTo(t, c, "e") // this waits until the hub gives up the fake hub, and never again
	require.Zero(t, hub.Stats().Hubs)
	nodes, err := c.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	require.NoError(t, hub.Ready())
}

// The hubs do not wait for a hub that has died: no member subscribes to its name any more.
func TestDeadHubIsNotWaitedFor(t *testing.T) {
	b := new(mesh.LocalBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	c := connect(t, hub, mesh.Options{})
	for i := range 3 {
		f := joinFake(t, b, fmt.Sprint("fake", i))
		require.NoError(t, f.Publish("$hubs", []byte(`c{"kind":"hello","hub":{"name":"fake"}}`), nil))
		require.Contains(t, <-f.got, "here")
		require.NoError(t, f.Close()) // the fake hub does not say goodbye
	}
	listenTo(t, c, "e")
	flush(t, hub)
	nodes, err := c.Nodes(meshtest.Context(t))
	require.NoError(t, err)
	require.Len(t, nodes, 2)
	_, err = c.Explain(meshtest.Context(t), mesh.ExplainQuery{To: "nobody", Event: "e"})
	require.ErrorIs(t, err, mesh.ErrUnknownNode)
	require.Equal(t, 3, hub.Stats().Hubs, "they were given up, and that was waited for")
}

func TestHubWhoseBackplaneRefusesIt(t *testing.T) {
	refuse := errors.New("no")
	_, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0", Backplane: refusing{refuse}})
	require.ErrorIs(t, err, refuse)
	_, err = mesh.NewHub(&mesh.Options{Backplane: refusing{refuse}})
	require.ErrorIs(t, err, refuse)
}

type refusing struct{ err error }

func (r refusing) Join(string, func(string, []byte)) (mesh.BackplaneMember, error) { return nil, r.err }

// A node that takes over from a hub joins the other hubs.
func TestHealedHubJoinsTheOthers(t *testing.T) {
	b := new(mesh.LocalBackplane)
	other := listen(t, mesh.Options{Backplane: b})
	hub := listen(t, mesh.Options{Backplane: b})
	heir, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: hub.URL(), Backplane: b})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, heir.Close()) })
	heard := listenTo(t, heir, "e")
	became := make(chan struct{})
	heir.OnState(func(s mesh.State) {
		if s.Role == mesh.RoleHub {
			close(became)
		}
	})
	require.NoError(t, hub.Close())
	<-became
	flush(t, heir)
	require.NoError(t, other.Emit("e", 1))
	require.Equal(t, "e", heard.Next().Name)
	back := listenTo(t, other, "f")
	require.NoError(t, heir.Emit("f", 1))
	require.Equal(t, heir.ID(), back.Next().From)
}
