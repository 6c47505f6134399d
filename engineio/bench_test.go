package engineio_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// These benchmarks and guards use real connections on loopback. The other end does not use this package: it only reads
// and writes bytes, and the figures include its cost.

// benchServer is a server that gives a benchmark the server's side of its sessions.
type benchServer struct {
	t       testing.TB
	host    string
	sockets chan *engineio.Socket
}

func newBenchServer(t testing.TB, h engineio.HandlerFunc, opts *engineio.ServerOptions) *benchServer {
	bs := &benchServer{t: t, sockets: make(chan *engineio.Socket, 1)}
	srv := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		bs.sockets <- s
		h(ctx, s)
	}), opts)
	web := httptest.NewServer(srv)
	t.Cleanup(func() {
		require.NoError(t, srv.Close())
		web.Close()
	})
	u, err := url.Parse(web.URL)
	require.NoError(t, err)
	bs.host = u.Host
	return bs
}

// open opens a session over a WebSocket and returns both ends. The caller's end has read everything that the server has
// sent.
func (bs *benchServer) open(rev engineio.Revision) (net.Conn, *engineio.Socket) {
	conn, err := net.Dial("tcp", bs.host)
	require.NoError(bs.t, err)
	bs.t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /engine.io/?EIO=%d&transport=websocket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\n"+
		"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", rev, bs.host)
	require.NoError(bs.t, err)
	in := bufio.NewReader(conn)
	resp, err := http.ReadResponse(in, nil)
	require.NoError(bs.t, err)
	require.Equal(bs.t, http.StatusSwitchingProtocols, resp.StatusCode)
	_, err = ws.ReadFrame(in) // the open packet
	require.NoError(bs.t, err)
	require.Zero(bs.t, in.Buffered())
	return conn, <-bs.sockets
}

// frames returns n copies of a text frame, as a client sends them.
func frames(n int, text string) []byte {
	return bytes.Repeat(maskedFrame(ws.Header{Fin: true, OpCode: ws.OpText}, text), n)
}

// frameSize returns the size of a short text packet from a server on the wire, with a header of 2 or 4 bytes and the
// packet's type.
func frameSize(text string) int {
	if len(text)+1 < 126 {
		return 2 + 1 + len(text)
	}
	return 4 + 1 + len(text)
}

// byteCounter counts the bytes that arrive on many connections.
type byteCounter struct {
	bytes, wanted atomic.Int64
	reached       chan struct{} // holds a value when as many bytes as wanted have arrived
}

func newByteCounter() *byteCounter { return &byteCounter{reached: make(chan struct{}, 1)} }

// drain counts the bytes that arrive until the connection ends.
func (a *byteCounter) drain(conn net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := conn.Read(buf)
		if a.bytes.Add(int64(n)) >= a.wanted.Load() {
			select {
			case a.reached <- struct{}{}:
			default: // reached already holds a value
			}
		}
		if err != nil {
			return
		}
	}
}

// await waits until size bytes have arrived.
func (a *byteCounter) await(t testing.TB, size int) {
	t.Helper()
	a.wanted.Store(int64(size))
	late := time.NewTimer(20 * time.Second)
	defer late.Stop()
	for a.bytes.Load() < int64(size) {
		select {
		case <-a.reached: // possibly from an earlier call, which wanted fewer bytes
		case <-late.C:
			t.Fatalf("%d of %d bytes came", a.bytes.Load(), size)
		}
	}
}

func perSecond(b *testing.B, n int, what string) {
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), what+"/s")
}

var text128 = strings.Repeat("x", 128)

// BenchmarkBroadcast sends one message to each of 500 sessions, at most 1,000 ahead of the slowest.
func BenchmarkBroadcast(b *testing.B) {
	const sessions, window = 500, 1000
	for _, prepared := range []bool{true, false} {
		b.Run(fmt.Sprintf("sessions=%d/prepared=%v", sessions, prepared), func(b *testing.B) {
			bs := newBenchServer(b, idle, nil)
			received := newByteCounter()
			var sockets []*engineio.Socket
			for range sessions {
				conn, s := bs.open(engineio.Revision4)
				sockets = append(sockets, s)
				go received.drain(conn)
			}
			m := engineio.Text(text128)
			size := sessions * frameSize(text128)
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if prepared {
					m = engineio.Prepare(engineio.Message{Data: m.Data})
				}
				for _, s := range sockets {
					if err := s.TryWrite(m); err != nil {
						b.Fatal(err)
					}
				}
				if n++; n%window == 0 {
					received.await(b, n*size)
				}
			}
			received.await(b, n*size)
			perSecond(b, n*sessions, "deliveries")
		})
	}
}

// BenchmarkQueueAndFlush queues messages for one session and waits until they are written.
func BenchmarkQueueAndFlush(b *testing.B) {
	for _, messages := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("messages=%d", messages), func(b *testing.B) {
			bs := newBenchServer(b, idle, nil)
			conn, s := bs.open(engineio.Revision4)
			go newByteCounter().drain(conn)
			m := engineio.Prepare(engineio.Text(text128))
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				for range messages {
					if err := s.TryWrite(m); err != nil {
						b.Fatal(err)
					}
				}
				if err := s.Flush(b.Context()); err != nil {
					b.Fatal(err)
				}
				n += messages
			}
			perSecond(b, n, "messages")
		})
	}
}

// BenchmarkEcho sends window messages at once and waits for all echoes.
func BenchmarkEcho(b *testing.B) {
	for _, window := range []int{1, 16} {
		b.Run(fmt.Sprintf("window=%d", window), func(b *testing.B) {
			bs := newBenchServer(b, echoHandler, nil)
			conn, _ := bs.open(engineio.Revision4)
			request := frames(window, "4"+text128)
			answers := make([]byte, window*frameSize(text128))
			n := 0
			b.ReportAllocs()
			for b.Loop() {
				if _, err := conn.Write(request); err != nil {
					b.Fatal(err)
				}
				if _, err := io.ReadFull(conn, answers); err != nil {
					b.Fatal(err)
				}
				n += window
			}
			perSecond(b, n, "messages")
		})
	}
}

// BenchmarkReadFromIdle sends a message to one idle session after another. Each session gets the buffers of a busy
// session and returns them.
func BenchmarkReadFromIdle(b *testing.B) {
	const sessions = 200
	came := make(chan struct{})
	bs := newBenchServer(b, func(ctx context.Context, s *engineio.Socket) {
		for {
			if _, err := s.Read(ctx); err != nil {
				return
			}
			came <- struct{}{}
		}
	}, nil)
	var conns []net.Conn
	for range sessions {
		conn, _ := bs.open(engineio.Revision4)
		conns = append(conns, conn)
	}
	message := frames(1, "4"+text128)
	n := 0
	b.ReportAllocs()
	for b.Loop() {
		if _, err := conns[n%sessions].Write(message); err != nil {
			b.Fatal(err)
		}
		<-came
		n++
	}
}
