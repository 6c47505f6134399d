package engineio_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// A session ends when its parent context ends, on each transport. Read and Write with the session's context then return
// the cause. If the parent context has already ended, no session opens.
func TestSessionsEndWithTheContextThatTheyDescendFrom(t *testing.T) {
	errEnough := errors.New("enough")
	for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
		for _, early := range []bool{false, true} {
			parent, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			begun, ends := make(chan context.Context, 1), make(chan error, 2)
			ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				begun <- ctx
				_, err := s.Read(ctx)
				ends <- err
				ends <- s.Write(ctx, engineio.Text("unread"))
			}), &engineio.ServerOptions{SessionContext: func(*http.Request) context.Context { return parent }})
			if early {
				cancel(errEnough)
			}
			if transport == engineio.Polling {
				ts.request(http.MethodGet, "EIO=4&transport=polling", nil)
			} else {
				_, wc := ts.handshake("EIO=4&transport=websocket")
				defer func() { _ = wc.conn.Close() }()
			}
			if early && transport == engineio.WebSocket { // its handler may not run at all
				ts.awaitSockets(0)
				continue
			}
			ctx := <-begun
			cancel(errEnough)
			for range 2 {
				end, ok := errors.AsType[*engineio.CloseError](<-ends)
				require.True(t, ok)
				require.Equal(t, engineio.ReasonForcedClose, end.Reason)
				require.ErrorIs(t, end, errEnough)
			}
			require.ErrorIs(t, ctx.Err(), context.Canceled)
			_, ok := errors.AsType[*engineio.CloseError](context.Cause(ctx))
			require.True(t, ok, "the cause is the session's error")
			ts.awaitSockets(0)
		}
	}
}

// A long-lived context holds no reference to sessions that have ended.
func TestNothingRemainsInTheContextOfSessionsThatEnded(t *testing.T) {
	var parent *countedContext // made inside the bubble
	inBubble(t, echoHandler, &engineio.ServerOptions{SessionContext: func(*http.Request) context.Context { return parent }}, func(t *testing.T, ts *testServer) {
		parent = &countedContext{Context: t.Context(), done: make(chan struct{})}
		for range 3 {
			wc, _ := ts.openWebSocket(engineio.Revision4)
			wc.requireEcho("works")
			require.EqualValues(t, 1, parent.listeners.Load())
			require.NoError(t, wc.conn.Close())
			synctest.Wait()
			require.Zero(t, parent.listeners.Load())
		}
	})
}

// countedContext counts the contexts that wait for its end. Package context registers them with AfterFunc.
type countedContext struct {
	context.Context
	done      chan struct{}
	listeners atomic.Int32
}

func (c *countedContext) Done() <-chan struct{} { return c.done }

// AfterFunc is the method that package context looks for.
func (c *countedContext) AfterFunc(func()) (stop func() bool) {
	c.listeners.Add(1)
	return func() bool {
		c.listeners.Add(-1)
		return true
	}
}
