package engineio

import (
	"context"
	"sync"
	"time"
)

// sessionContext is the context of a session. A context of package context costs an idle session 100 bytes, so made
// creates it at the first use of a method. A program that only passes the context to Read and Write never needs it.
type sessionContext struct {
	mu     sync.Mutex
	ctx    context.Context // the parent, until cancel is set
	cancel context.CancelCauseFunc
}

// made returns the real context. It creates the context at the first call.
func (c *sessionContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil {
		c.ctx, c.cancel = context.WithCancelCause(c.ctx)
	}
	return c.ctx
}

// follow ends the session when the parent context is done: it then calls end on a goroutine that wg counts. The
// session's own context is done after that, with the session's error.
func (c *sessionContext) follow(wg *sync.WaitGroup, end func(cause error)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	parent := c.ctx
	if parent.Done() == nil {
		return
	}
	own, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	wg.Add(1)
	stop := context.AfterFunc(parent, func() {
		defer wg.Done()
		end(context.Cause(parent))
	})
	c.ctx, c.cancel = own, func(cause error) {
		if stop() {
			wg.Done()
		}
		cancel(cause)
	}
}

// end cancels the context with the given cause.
func (c *sessionContext) end(cause error) {
	c.made()
	c.cancel(cause)
}

func (c *sessionContext) Deadline() (time.Time, bool) { return c.made().Deadline() }
func (c *sessionContext) Done() <-chan struct{}       { return c.made().Done() }
func (c *sessionContext) Err() error                  { return c.made().Err() }
func (c *sessionContext) Value(key any) any           { return c.made().Value(key) }
func (c *sessionContext) String() string              { return "engineio.Socket.Context" }
