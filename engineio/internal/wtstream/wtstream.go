// Package wtstream connects package engineio to package webtransport, which alone depends on QUIC. webtransport makes
// the streams, and engineio carries sessions on them.
//
// At a server, webtransport passes the CONNECT request of a client to engineio.Server.ServeHTTP, with the function that
// accepts its stream in the request's context. At a client, engineio calls DialOptions.WebTransport, which is a method
// of webtransport.Dialer. The package has no state.
package wtstream

import (
	"context"
	"io"
	"net/http"
	"time"
)

// Stream is the transport of a session by WebTransport: one bidirectional stream and its connection.
type Stream interface {
	// Read returns io.EOF when the peer has closed its side of the stream, or has closed the connection in good order.
	io.Reader
	io.Writer
	// Close closes the connection at once, in both directions. Data that was written shortly before may be lost. Close
	// must not wait for the peer.
	io.Closer
	// CloseWrite closes this side of the stream: the peer reads all written data, then io.EOF.
	CloseWrite() error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// Accept accepts the WebTransport session that a request opens and returns its first stream. It sends the response to
// the request, also if it returns an error. ctx bounds the call only.
type Accept func(ctx context.Context) (Stream, error)

type acceptKey struct{}

// With returns a copy of r that carries accept.
func With(r *http.Request, accept Accept) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), acceptKey{}, accept))
}

// From returns the function that r carries, or nil.
func From(r *http.Request) Accept {
	accept, _ := r.Context().Value(acceptKey{}).(Accept)
	return accept
}
