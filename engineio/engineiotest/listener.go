// Package engineiotest serves Engine.IO sessions in memory, for tests of programs that use package engineio.
//
// Its connections are pipes, for which a bubble of testing/synctest can wait: heartbeats, timeouts and upgrades happen in
// virtual time, and a test of an hour's silence takes none. Make everything inside the bubble, and close it there: a bubble
// ends only when its goroutines have.
//
//	synctest.Test(t, func(t *testing.T) {
//		srv := engineiotest.NewServer(handler, nil)
//		defer srv.Close()
//		s, err := srv.Dial(t.Context(), nil)
//		…
//		time.Sleep(time.Hour) // heartbeats go to and fro
//		synctest.Wait()       // until everybody waits
//	})
//
// [NewServer] serves a Handler, [Pipe] is a session of which the test holds both ends, and [Listener] is for those who
// serve with an http.Server of their own.
//
// A pipe holds nothing: what one side writes, the other must be reading. That is stricter than a network, whose buffers
// let a writer go on, and shows what would block sooner or later.
package engineiotest

import (
	"context"
	"net"
	"sync"
)

// Listener is a net.Listener without a network. Each connection is a pipe whose other end DialContext returned. Its
// methods may be called by any number of goroutines.
type Listener struct {
	conns  chan net.Conn
	closed chan struct{}
	close  func()
}

// NewListener returns a listener. It holds nothing but memory; Close makes Accept and DialContext fail.
func NewListener() *Listener {
	l := &Listener{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.close = sync.OnceFunc(func() { close(l.closed) })
	return l
}

// Accept returns a connection that somebody dials. After Close the error is net.ErrClosed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// DialContext waits until Accept takes the connection. Network and address do not matter, so that it fits
// http.Transport. After Close the error is net.ErrClosed; if ctx ends before, it is the context's.
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

// Close ends the listener, not its connections. It returns nil, and may be called again.
func (l *Listener) Close() error {
	l.close()
	return nil
}

// Addr returns an address that says no more than "pipe".
func (l *Listener) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }
