package natsbackplane_test

import (
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// TestWithoutNoEcho has hubs that share a connection, on which NATS sends their own messages back.
func TestWithoutNoEcho(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	var in, other inbox
	b := natsbackplane.New(nc, nil)
	m, err := b.Join(newID(), in.receive)
	require.NoError(t, err)
	defer m.Close()
	m.Subscribe("e", "*", "**")
	neighbour := join(t, nc, nil, other.receive)
	neighbour.Subscribe("e")
	meet(t, m, "e", &other)
	meet(t, neighbour, "e", &in)
	in.take()
	for range 100 {
		require.NoError(t, m.Publish("e", []byte("e"), nil))
	}
	eventually(t, func() bool {
		s := b.Stats()
		return s.Published > 100 && s.Echoes == 3*s.Published && other.has("e") // an echo for each of three subscriptions
	})
	meet(t, neighbour, "e", &in)
	require.NotContains(t, in.take(), "e")

	// NATS counts the hub's own subscription as a subscriber. For a name without any subscription it sends "no
	// responders".
	var own atomic.Bool
	unheard := make(chan struct{})
	require.NoError(t, m.Publish("a::b", nil, func() { own.Store(true) }))
	require.NoError(t, m.Publish("$nobody", nil, func() { close(unheard) }))
	<-unheard
	require.False(t, own.Load())
}

// TestMeshesShareNATS checks that meshes with different prefixes are separate on the same NATS.
func TestMeshesShareNATS(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	var one, two inbox
	of := func(prefix string) *natsbackplane.Options { return &natsbackplane.Options{Prefix: prefix} }
	join(t, connect(t, s), of("one"), one.receive).Subscribe("**", "e", "$hubs")
	join(t, connect(t, s), of("one.two"), two.receive).Subscribe("**", "e", "$hubs")
	first := join(t, connect(t, s), of("one"), one.receive)
	second := join(t, connect(t, s), of("one.two"), two.receive)
	meet(t, first, "e", &one)
	meet(t, second, "e", &two)
	one.take()
	two.take()
	for _, name := range []string{"e", "two", "two::e", "two::e::e", "$hubs"} {
		require.NoError(t, first.Publish(name, []byte("first"), nil))
		require.NoError(t, second.Publish(name, []byte("second"), nil))
	}
	meet(t, first, "e", &one)
	meet(t, second, "e", &two)
	require.NotContains(t, one.take(), "second")
	require.NotContains(t, two.take(), "first")
}

func TestJoinRefuses(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc := connect(t, s)
	for _, prefix := range []string{".", "a.", ".a", "a..b", "a b", "*", ">", "a.>", "a\r\nb", "$SYS", "é", strings.Repeat("a", 129)} {
		_, err := natsbackplane.New(nc, &natsbackplane.Options{Prefix: prefix}).Join(newID(), nil)
		require.ErrorContains(t, err, "Prefix", prefix)
	}
	b := natsbackplane.New(nc, nil)
	for _, id := range []string{"", "x", strings.Repeat("g", 32), strings.Repeat("A", 32), strings.Repeat("a", 33), strings.Repeat("a", 34)} {
		_, err := b.Join(id, nil)
		require.ErrorContains(t, err, "hexadecimal", id)
	}
	m, err := b.Join(newID(), func(string, []byte) {})
	require.NoError(t, err)
	_, err = b.Join(newID(), func(string, []byte) {})
	require.ErrorContains(t, err, "has joined by this backplane already")
	require.NoError(t, m.Close())
	m, err = b.Join(newID(), func(string, []byte) {})
	require.NoError(t, err)
	require.NoError(t, m.Close())
}

func TestTooLarge(t *testing.T) {
	s := natstest.Run(t, &server.Options{MaxPayload: 10_000})
	var in inbox
	join(t, connect(t, s), nil, in.receive).Subscribe("e")
	m := join(t, connect(t, s), nil, in.receive)
	meet(t, m, "e", &in)
	require.ErrorIs(t, m.Publish("e", make([]byte, 10_000-32), nil), mesh.ErrTooLarge)
	most := strings.Repeat("x", 10_000-33)
	require.NoError(t, m.Publish("e", []byte(most), nil))
	eventually(t, func() bool { return in.has(most) })
	require.NoError(t, m.Err())
}

// TestNothingCrossesThatNobodyWants counts the messages that NATS has sent.
func TestNothingCrossesThatNobodyWants(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc := connect(t, s)
	var in inbox
	listener := join(t, nc, nil, in.receive)
	listener.Subscribe("a::b", "c::*", "d::**", "$hubs", "*::x::**::y")
	b := natsbackplane.New(connect(t, s), nil)
	m, err := b.Join(newID(), in.receive)
	require.NoError(t, err)
	defer m.Close()
	meet(t, m, "a::b", &in)
	before := nc.Stats().InMsgs
	for _, name := range []string{"a", "a::b::c", "b", "c", "c::d::e", "e::x", "dd", "$other", "a::B", strings.Repeat("x", 512)} {
		for range 100 {
			require.NoError(t, m.Publish(name, []byte("x"), nil))
		}
	}
	const wanted = 4
	for _, name := range []string{"a::b", "c::d", "d", "d::e::f"} {
		require.NoError(t, m.Publish(name, []byte("y"), nil))
	}
	require.NoError(t, m.Publish("$hubs", []byte("end"), nil))
	eventually(t, func() bool { return in.has("end") })
	require.Equal(t, before+wanted+1, nc.Stats().InMsgs)
	stats := b.Stats()
	require.GreaterOrEqual(t, stats.Published, uint64(1000))
	require.GreaterOrEqual(t, stats.PublishedBytes, uint64(1000))
	require.Zero(t, stats.Received+stats.Duplicates+stats.Echoes+stats.DroppedOut+stats.Malformed)
}

// TestSlowHub checks that the backplane counts and logs the messages that a slow hub loses.
func TestSlowHub(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	var log interoptest.Buffer
	awake := make(chan struct{})
	wake := sync.OnceFunc(func() { close(awake) })
	b := natsbackplane.New(connect(t, s), &natsbackplane.Options{ReceiveLimit: 100_000, Logger: log.Logger(slog.LevelInfo)})
	var in inbox
	m, err := b.Join(newID(), func(from string, data []byte) {
		<-awake
		in.receive(from, data)
	})
	require.NoError(t, err)
	defer m.Close()
	defer wake()
	m.Subscribe("e", "*")
	publisher := join(t, connect(t, s), nil, in.receive)
	var unheard atomic.Bool
	eventually(t, func() bool {
		unheard.Store(false)
		known := make(chan struct{})
		require.NoError(t, publisher.Publish("e", []byte("first"), func() { unheard.Store(true) }))
		require.NoError(t, publisher.Publish("$nobody", nil, func() { close(known) }))
		<-known
		return !unheard.Load()
	})
	for range 300 {
		require.NoError(t, publisher.Publish("e", make([]byte, 1000), nil))
	}
	eventually(t, func() bool { return b.Stats().DroppedIn >= 200 })
	eventually(t, func() bool { return strings.Contains(log.String(), "this hub does not keep up") })
	wake()
	meet(t, publisher, "e", &in)
	stats := b.Stats()
	require.InDelta(t, 100, stats.Received, 20)
	require.GreaterOrEqual(t, stats.Duplicates, uint64(300)) // each dropped message was dropped once
	require.NoError(t, m.Err())
}

// TestNATSDoesNotPermit has a user that must not subscribe, and a user that must not publish.
func TestNATSDoesNotPermit(t *testing.T) {
	user := func(name string, publish, subscribe string) *server.User {
		return &server.User{Username: name, Password: name, Permissions: &server.Permissions{
			Publish:   &server.SubjectPermission{Allow: []string{publish}},
			Subscribe: &server.SubjectPermission{Allow: []string{subscribe}},
		}}
	}
	s := natstest.Run(t, &server.Options{Users: []*server.User{user("all", "mesh.>", "mesh.>"), user("deaf", "mesh.>", "x"), user("mute", "x", "mesh.>")}})
	var in inbox
	listener := join(t, connect(t, s, nats.UserInfo("all", "all")), nil, in.receive)
	listener.Subscribe("e", "**")
	all := join(t, connect(t, s, nats.UserInfo("all", "all")), nil, in.receive)
	meet(t, all, "e", &in)
	for _, name := range []string{"deaf", "mute"} {
		var log interoptest.Buffer
		m := join(t, connect(t, s, nats.UserInfo(name, name)), &natsbackplane.Options{Logger: log.Logger(slog.LevelInfo)}, in.receive)
		m.Subscribe("e")
		require.NoError(t, m.Publish("e", []byte(name), nil))
		eventually(t, func() bool { return m.Err() != nil })
		require.ErrorIs(t, m.Err(), nats.ErrPermissionViolation)
		eventually(t, func() bool { return strings.Contains(log.String(), "NATS does not permit an operation") })
	}
	require.NoError(t, all.Err())
}

// TestUnheardIsForgotten checks that the oldest of very many requests are forgotten, and that the later ones get their
// calls of unheard.
func TestUnheardIsForgotten(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	m := join(t, connect(t, s), nil, func(string, []byte) {})
	var calls atomic.Int64
	last := make(chan struct{})
	const n = 20_000
	for i := range n {
		require.NoError(t, m.Publish("nobody", nil, func() {
			calls.Add(1)
			if i == n-1 {
				close(last)
			}
		}))
	}
	select {
	case <-last:
	case <-time.After(patience):
		require.Fail(t, "no answer")
	}
	require.GreaterOrEqual(t, calls.Load(), int64(1))
	require.LessOrEqual(t, calls.Load(), int64(n))
}

// TestOrderGoesBeforeLateMessages sends forged messages in the wrong order, as from a hub that has moved to another
// server.
func TestOrderGoesBeforeLateMessages(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	var in inbox
	b := natsbackplane.New(connect(t, s), nil)
	m, err := b.Join(newID(), in.receive)
	require.NoError(t, err)
	defer m.Close()
	m.Subscribe("e")
	honest := join(t, connect(t, s), nil, in.receive)
	meet(t, honest, "e", &in)
	in.take()
	other := newID()
	for _, number := range []uint64{1, 2, 5, 4, 3, 6, 6, 7} {
		require.NoError(t, nc.Publish("mesh.e.e", message(other, 9, number, string(rune('0'+number)))))
	}
	eventually(t, func() bool { return in.has("7") })
	require.Equal(t, []string{"1", "2", "5", "6", "7"}, in.take())
	require.EqualValues(t, 2, b.Stats().Late)
	require.EqualValues(t, 1, b.Stats().Duplicates)
}
