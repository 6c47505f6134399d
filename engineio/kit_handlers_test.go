package engineio_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// echoHandler sends back every message.
var echoHandler = engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		if err := s.Write(ctx, m); err != nil {
			return
		}
	}
})

// reading returns a handler that reads until the end and passes each message to f.
func reading(f func(m engineio.Message)) engineio.HandlerFunc {
	return func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				return
			}
			f(m)
		}
	}
}

// idle reads until the end.
var idle = reading(func(engineio.Message) {})

// say returns a handler that writes messages in one piece and then waits for the end.
func say(messages ...engineio.Message) engineio.Handler {
	return engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		_ = s.TryWrite(messages...)
		_, _ = s.Read(ctx)
	})
}

func greet(ctx context.Context, s *engineio.Socket) {
	_ = s.Write(ctx, engineio.Text("from the handler"))
	_, _ = s.Read(ctx)
}

// endRecorder is an echo handler that reports how its sessions ended.
type endRecorder struct {
	mu    sync.Mutex
	ended map[string]chan *engineio.CloseError // by sid
}

func (h *endRecorder) ServeSocket(ctx context.Context, s *engineio.Socket) {
	echo(ctx, s)
	_, err := s.Read(context.Background())
	closed, _ := errors.AsType[*engineio.CloseError](err)
	h.ends(s.ID()) <- closed
}

func (h *endRecorder) ends(sid string) chan *engineio.CloseError {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended[sid] == nil {
		h.ended[sid] = make(chan *engineio.CloseError, 1)
	}
	return h.ended[sid]
}

// requireTransportError waits for a session's end, which must be a transport error by the peer with this text.
func (h *endRecorder) requireTransportError(t *testing.T, sid, text string) {
	t.Helper()
	e := <-h.ends(sid)
	require.Equal(t, engineio.ReasonTransportError, e.Reason)
	require.True(t, e.Remote)
	require.ErrorContains(t, e, text)
}

// awaitEnd waits for a session's end and returns its side and reason.
func (h *endRecorder) awaitEnd(sid string) string {
	e := <-h.ends(sid)
	side := "local"
	if e.Remote {
		side = "remote"
	}
	return side + " " + e.Reason
}

func newEndRecorder() *endRecorder {
	return &endRecorder{ended: make(map[string]chan *engineio.CloseError)}
}

const (
	remoteError = "remote " + engineio.ReasonTransportError
	remoteClose = "remote " + engineio.ReasonTransportClose
	remoteParse = "remote " + engineio.ReasonParseError
)

// census counts the sessions that the garbage collector has not freed. A session stays alive while a timer, a goroutine
// or a table refers to it.
type census struct{ born, alive atomic.Int64 }

func (c *census) handler(h engineio.Handler) engineio.Handler {
	return engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		c.born.Add(1)
		c.alive.Add(1)
		runtime.AddCleanup(s, func(n *atomic.Int64) { n.Add(-1) }, &c.alive)
		h.ServeSocket(ctx, s)
	})
}

func (c *census) requireExtinct(t *testing.T) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); c.alive.Load() > 0 && time.Now().Before(end); {
		runtime.GC()
		runtime.Gosched() // cleanups run on a goroutine of the runtime, which must be scheduled first
	}
	require.Zero(t, c.alive.Load(), "sessions that something still refers to")
}
