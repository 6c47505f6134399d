package natsbackplane_test

import (
	"encoding/binary"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
	"github.com/bigcompany/mesh/protocol"
)

// No name injects text into the lines that NATS receives, and no two names share a subject. Test AnyName of package
// backplanetest checks that names arrive unchanged.
// Advisories: secnote 2026-22
func TestHostileNamesAsSubjects(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	watching, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer watching.Close()
	all := make(chan *nats.Msg, 10_000)
	_, err = watching.ChanSubscribe(">", all)
	require.NoError(t, err)
	require.NoError(t, watching.Flush())

	nc := connect(t, s)
	m := join(t, nc, nil, func(string, []byte) {})
	hostile := []string{
		" ", "a b", "a\r\nPUB mesh.e.x 1\r\nx\r\n", "\r\nSUB > 1\r\n", "a\r\n", "a\n", "\x00", "a\x00b", "\t", "a\t1", ">", "*", "a.>", "a.b", ".", "..", "a..b",
		"a::>", "a::*", "a::b", "a::.", "a::.b", "a:b", "::", "a::", "::a", "=", "==", "=2E", "a=2Eb", "$SYS", "$SYS.REQ.>", "$SYS::REQ", "_INBOX.x", "$JS.API.>",
		"mesh.e.a", "e", "h", "é", "\u2028", "\u00a0", "\ufeff", strings.Repeat("\r", protocol.MaxName), strings.Repeat(".", protocol.MaxName), strings.Repeat(":", protocol.MaxName),
		strings.Repeat("*", protocol.MaxName-1) + "x",
	}
	for _, name := range hostile {
		require.NoError(t, m.Publish(name, []byte(name), nil))
	}
	require.NoError(t, m.Publish("end", []byte("end"), nil))
	subjects := make(map[string]string)
	for _, name := range append(hostile, "end") {
		msg := <-all
		require.Equal(t, name, string(msg.Data[33:]))
		require.Empty(t, msg.Reply)
		require.Empty(t, msg.Header)
		require.True(t, server.IsValidLiteralSubject(msg.Subject), msg.Subject)
		require.True(t, strings.HasPrefix(msg.Subject, "mesh.e.") || strings.HasPrefix(msg.Subject, "mesh.h."), msg.Subject)
		require.NotContains(t, subjects, msg.Subject, "%q", name)
		require.Less(t, len(msg.Subject), 1700)
		subjects[msg.Subject] = name
	}

	// As a subscription, each name matches only itself: "*" is a wildcard only if it is a whole part.
	for _, name := range hostile {
		if !protocol.IsPattern(name) {
			m.Subscribe(name)
		}
	}
	m.Subscribe("*", "a::*")
	eventually(t, func() bool {
		subs, err := s.Connz(&server.ConnzOptions{Subscriptions: true, CID: cid(t, nc)})
		require.NoError(t, err)
		if len(subs.Conns[0].Subs) < len(hostile)+1 {
			return false
		}
		wild := 0
		for _, subject := range subs.Conns[0].Subs {
			if strings.ContainsAny(subject, "*>") {
				wild++
				require.Contains(t, []string{"mesh.e.*", "mesh.e.a.*"}, strings.Replace(subject, inboxOf(subject), "mesh.e.*", 1))
			}
		}
		return wild == 3
	})
	require.NoError(t, nc.LastError())
	require.Zero(t, nc.Stats().Reconnects)
	require.Zero(t, s.NumSlowConsumers())
}

func cid(t *testing.T, nc *nats.Conn) uint64 {
	t.Helper()
	id, err := nc.GetClientID()
	require.NoError(t, err)
	return id
}

// inboxOf returns a subject if it is one for "no responders" replies.
func inboxOf(subject string) string {
	if strings.HasPrefix(subject, "mesh.i.") {
		return subject
	}
	return "\x00"
}

// message returns the data of a message between hubs.
func message(hub string, incarnation, number uint64, data string) []byte {
	id, err := hex.DecodeString(hub)
	if err != nil {
		panic(err)
	}
	b := append([]byte{1}, id...)
	b = binary.BigEndian.AppendUint64(b, incarnation)
	b = binary.BigEndian.AppendUint64(b, number)
	return append(b, data...)
}

// The test publishes invalid messages on the hubs' subjects. The hub drops and counts them, and receives all valid
// messages.
// Advisories: CVE-2025-61765
func TestInvalidMessagesAreDropped(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	var log interoptest.Buffer
	var in inbox
	b := natsbackplane.New(connect(t, s), &natsbackplane.Options{Logger: log.Logger(slog.LevelInfo)})
	id, friend := newID(), newID()
	m, err := b.Join(id, in.receive)
	require.NoError(t, err)
	defer m.Close()
	m.Subscribe("e", "$hubs")
	honest, err := natsbackplane.New(connect(t, s), nil).Join(friend, in.receive)
	require.NoError(t, err)
	defer honest.Close()
	meet(t, honest, "e", &in)
	in.take()

	header := message(friend, 1, 1, "")
	bad := [][]byte{
		nil, {0}, {1}, []byte("x"), []byte("+OK\r\n"), []byte(`{"event":"e"}`), header[:len(header)-1], make([]byte, len(header)), make([]byte, 1<<20),
		append([]byte{2}, header[1:]...), append([]byte{0xff}, header[1:]...),
		message(friend, 1, 0, "number 0"), message(friend, 1, 1<<63, "a huge number"), message(friend, 1, 1<<64-1, "the hugest"),
		message(id, 1, 7, "of itself"), message(id, 0, 1<<62, "of itself"),
	}
	for _, body := range bad {
		require.NoError(t, nc.Publish("mesh.e.e", body))
	}
	// Forged "no responders" replies, which do not come from NATS.
	for _, to := range []string{"x", "0", "1", "-1", "18446744073709551616", "1.2"} {
		require.NoError(t, nc.Publish("mesh.i."+id+"."+to, nil))
	}
	// A client that knows a hub's ID, but not its messages, cannot block its messages.
	require.NoError(t, nc.Publish("mesh.e.e", message(friend, 12345, 1<<63-1, "high")))
	// Messages of many forged hubs do not make the hub forget the received messages of a real one.
	for incarnation := range uint64(5000) {
		require.NoError(t, nc.Publish("mesh.e.e", message(newID(), incarnation, 1, "flood")))
	}
	require.NoError(t, nc.Flush())
	meet(t, honest, "e", &in)
	eventually(t, func() bool { return b.Stats().Malformed == uint64(len(bad)) })
	for _, text := range in.take() {
		require.True(t, text == "high" || text == "flood" || strings.HasPrefix(text, "meet"), text)
	}
	require.NoError(t, m.Err())
	eventually(t, func() bool { return strings.Contains(log.String(), "no hub's") })
	require.Less(t, strings.Count(log.String(), "\n"), 10)
}

// A client that does not see a hub's messages cannot make the hub call unheard.
// Advisories: CVE-2026-33246
func TestForgedNoResponders(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	var in inbox
	id := newID()
	m, err := natsbackplane.New(connect(t, s), nil).Join(id, in.receive)
	require.NoError(t, err)
	defer m.Close()
	listener := join(t, connect(t, s), nil, in.receive)
	listener.Subscribe("e")
	meet(t, m, "e", &in)
	m.Subscribe("f")
	meet(t, listener, "f", &in)

	var unheard atomic.Bool
	require.NoError(t, m.Publish("e", []byte("question"), func() { unheard.Store(true) }))
	eventually(t, func() bool { return in.has("question") })
	forged := nats.NewMsg("")
	forged.Header.Set("Status", "503")
	for _, subject := range []string{"mesh.i." + id + ".1", "mesh.i." + id + "0000000000000000.1", "mesh.i." + id + "0000000000000001.1"} {
		forged.Subject = subject
		require.NoError(t, nc.PublishMsg(forged))
	}
	require.NoError(t, nc.Flush())
	meet(t, listener, "f", &in)
	require.False(t, unheard.Load())
}
