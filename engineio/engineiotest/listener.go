// Package engineiotest serves Engine.IO sessions in memory, for tests of programs that use package engineio.
//
// The connections are pipes: a goroutine that waits for a pipe counts as durably blocked in a bubble of
// testing/synctest. So heartbeats, timeouts and upgrades happen in virtual time, and a test of an hour's silence takes
// no real time. Create and close everything inside the bubble: a bubble ends only when its goroutines have ended.
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := engineiotest.NewServer(handler, nil)
//		defer srv.Close()
//		s, err := srv.Dial(t.Context(), nil)
//		…
//		time.Sleep(time.Hour) // heartbeats go to and fro
//		synctest.Wait()       // until every goroutine is blocked
//	})
//
// [NewServer] serves a Handler. [Pipe] returns both ends of a session. [Listener] is for tests that run an http.Server
// themselves.
//
// A pipe has no buffer: a write waits until the other side reads. That is stricter than a network, whose buffers accept
// some data, and it reveals code that would block sooner or later.
package engineiotest

import (
	"context"
	"net"
	"sync"
)

// Listener is a net.Listener without a network. Each connection is one end of a pipe; DialContext returns the other
// end. Any number of goroutines may call its methods.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

// NewListener returns a listener. A listener uses only memory. Close makes its Accept and DialContext fail.
func NewListener() *Listener {
	l := &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// Accept waits for a call of DialContext and returns the connection. After Close the error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// DialContext waits until Accept takes the connection. It ignores network and address, so that it fits http.Transport.
// After Close the error is net.ErrClosed. If ctx ends first, the error is the cause of its end.
func (l *Listener) DialContext(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	select {
	case l.conns <- far:
		return near, nil
	case <-l.closed:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

// Close closes the listener, but not its connections. It returns nil, and may be called more than once.
func (l *Listener) Close() error {
	l.close()
	return nil
}

// Addr returns an address whose network and text are "pipe".
func (l *Listener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
