package engineio

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// requireAllocs bounds what f allocates, on all goroutines, in the mean of many calls.
func requireAllocs(t *testing.T, most float64, f func()) {
	t.Helper()
	f() // fills the pools
	got := testing.AllocsPerRun(100, f)
	if !raceDetector { // which drops what is pooled, at random
		require.LessOrEqual(t, got, most)
	}
}

// What is queued for a session that is being written to costs nothing but, now and then, a longer queue.
func TestTryWriteToBusySessionAllocatesNothing(t *testing.T) {
	w := serveBare(t, idle, &ServerOptions{QueueLimit: 64 << 20, BufferLimit: 128 << 20})
	_, s := w.open(Revision4)
	for range 400 { // nobody reads, and no kernel takes so much
		require.NoError(t, s.TryWrite(Binary(make([]byte, 64<<10))))
	}
	m := Prepare(Text(text128))
	requireAllocs(t, 0, func() {
		if err := s.TryWrite(m); err != nil {
			t.Error(err)
		}
	})
}

// A flush costs a goroutine, however much it takes along.
func TestFlushAllocatesNothingByMessage(t *testing.T) {
	w := serveBare(t, idle, nil)
	conn, s := w.open(Revision4)
	go newArrivals().drain(conn)
	m := Prepare(Text(text128))
	const messages = 256
	requireAllocs(t, messages/8, func() {
		for range messages {
			if err := s.TryWrite(m); err != nil {
				t.Error(err)
			}
		}
		if err := s.Flush(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// Heartbeats are all that most sessions of a server ever send.
func TestReadingHeartbeatsAllocatesNothing(t *testing.T) {
	const beats = 100
	for _, tt := range []struct {
		rev      Revision
		heart    string
		answered bool
	}{{Revision4, "3", false}, {Revision3, "2", true}} {
		w := serveBare(t, echo, bothRevisions())
		conn, _ := w.open(tt.rev)
		request := append(frames(beats, tt.heart), frames(1, "4x")...) // the echo tells that all were read
		answer := make([]byte, frameSize("x"))
		if tt.answered {
			answer = make([]byte, beats*frameSize("")+frameSize("x"))
		}
		requireAllocs(t, 10, func() { exchange(t, conn, request, answer) })
	}
}

// An answer that leaves at once costs nothing beyond the message, which belongs to the handler.
func TestEchoAllocatesOnlyTheMessage(t *testing.T) {
	w := serveBare(t, echo, bothRevisions())
	conn, _ := w.open(Revision4)
	request, answer := frames(1, "4"+text128), make([]byte, frameSize(text128))
	requireAllocs(t, 1, func() { exchange(t, conn, request, answer) })
}

func exchange(t *testing.T, conn net.Conn, request, answer []byte) {
	if _, err := conn.Write(request); err != nil {
		t.Error(err)
	}
	if _, err := io.ReadFull(conn, answer); err != nil {
		t.Error(err)
	}
}

// A message to many is encoded once, and what it costs each of them is what waking its writer does.
func TestBroadcastAllocatesNothingByDelivery(t *testing.T) {
	const sessions, messages = 20, 64
	w := serveBare(t, idle, nil)
	var sockets []*Socket
	for range sessions {
		conn, s := w.open(Revision4)
		sockets = append(sockets, s)
		go newArrivals().drain(conn)
	}
	requireAllocs(t, 6*messages+10*sessions, func() {
		var row []Message
		for range messages {
			row = append(row, Prepare(Text(text128)))
		}
		for _, s := range sockets {
			if err := s.TryWrite(row...); err != nil {
				t.Error(err)
			}
		}
		for _, s := range sockets {
			if err := s.Flush(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}
