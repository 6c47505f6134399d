package engineio

import (
	"context"
	"sync"
	"time"
)

// sessionContext is the context of a session. One of package context's costs an idle session 100 bytes, so that is made
// when it is asked for something: who hands the context to Read and Write only never does.
type sessionContext struct {
	mu     sync.Mutex
	ctx    context.Context // what it descends from, until cancel is set
	cancel context.CancelCauseFunc
}

// made returns the context proper, making it if need be.
func (c *sessionContext) made() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel == nil {
		c.ctx, c.cancel = context.WithCancelCause(c.ctx)
	}
	return c.ctx
}

// follow has the session ended when the context is done that it descends from: end is called then, on a goroutine that wg
// counts. The session's own is done when that has happened, with the session's error.
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

// end makes it done.
func (c *sessionContext) end(cause error) {
	c.made()
	c.cancel(cause)
}

func (c *sessionContext) Deadline() (time.Time, bool) { return c.made().Deadline() }
func (c *sessionContext) Done() <-chan struct{}       { return c.made().Done() }
func (c *sessionContext) Err() error                  { return c.made().Err() }
func (c *sessionContext) Value(key any) any           { return c.made().Value(key) }
func (c *sessionContext) String() string              { return "engineio.Socket.Context" }
