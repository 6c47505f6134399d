package engineio_test

import (
	"io"
	"net"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// requireAllocs bounds the mean number of allocations by f, on all goroutines, over many calls.
func requireAllocs(t *testing.T, most float64, f func()) {
	t.Helper()
	f() // fills the pools
	got := testing.AllocsPerRun(100, f)
	if !raceDetector { // it drops some pooled objects at random
		require.LessOrEqual(t, got, most)
	}
}

// Queuing a message for a session that is being written to allocates nothing, apart from the occasional growth of the
// queue.
func TestTryWriteToBusySessionAllocatesNothing(t *testing.T) {
	bs := newBenchServer(t, idle, &engineio.ServerOptions{QueueLimit: 64 << 20, BufferLimit: 128 << 20})
	_, s := bs.open(engineio.Revision4)
	for range 400 { // more than the kernel accepts for a peer that does not read
		require.NoError(t, s.TryWrite(engineio.Binary(make([]byte, 64<<10))))
	}
	m := engineio.Prepare(engineio.Text(text128))
	requireAllocs(t, 0, func() {
		if err := s.TryWrite(m); err != nil {
			t.Error(err)
		}
	})
}

// A flush costs one goroutine, however many messages it writes.
func TestFlushAllocatesNothingByMessage(t *testing.T) {
	bs := newBenchServer(t, idle, nil)
	conn, s := bs.open(engineio.Revision4)
	go newByteCounter().drain(conn)
	m := engineio.Prepare(engineio.Text(text128))
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

// Most sessions of a server send only heartbeats.
func TestReadingHeartbeatsAllocatesNothing(t *testing.T) {
	const beats = 100
	for _, tt := range []struct {
		rev      engineio.Revision
		heart    string
		answered bool
	}{{engineio.Revision4, "3", false}, {engineio.Revision3, "2", true}} {
		bs := newBenchServer(t, echoHandler, bothRevisions())
		conn, _ := bs.open(tt.rev)
		request := append(frames(beats, tt.heart), frames(1, "4x")...) // the echo shows that all heartbeats were read
		answer := make([]byte, frameSize("x"))
		if tt.answered {
			answer = make([]byte, beats*frameSize("")+frameSize("x"))
		}
		requireAllocs(t, 10, func() { exchange(t, conn, request, answer) })
	}
}

// A reply that leaves at once allocates only the message, which belongs to the handler.
func TestEchoAllocatesOnlyTheMessage(t *testing.T) {
	bs := newBenchServer(t, echoHandler, bothRevisions())
	conn, _ := bs.open(engineio.Revision4)
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

// A message to many sockets is encoded once. Each recipient costs only as much as the start of its writer.
func TestBroadcastAllocatesNothingByDelivery(t *testing.T) {
	const sessions, messages = 20, 64
	bs := newBenchServer(t, idle, nil)
	var sockets []*engineio.Socket
	for range sessions {
		conn, s := bs.open(engineio.Revision4)
		sockets = append(sockets, s)
		go newByteCounter().drain(conn)
	}
	requireAllocs(t, 6*messages+10*sessions, func() {
		var row []engineio.Message
		for range messages {
			row = append(row, engineio.Prepare(engineio.Text(text128)))
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
