package engineiotest

import (
	"context"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/cookiejar"
	"strings"
	"sync"
	"testing"

	"github.com/bigcompany/mesh/engineio"
)

// Server is an engineio.Server that is served in memory.
type Server struct {
	*engineio.Server
	// URL is where the server answers, for engineio.Dial and for requests of the test's own, by Client.
	URL string

	transport *http.Transport
	web       *http.Server
	serving   sync.WaitGroup // Serve, and each connection that is still net/http's
}

// NewServer starts a server whose sessions are served by h. opts are engineio's; nil means all defaults. The test must
// call Close.
func NewServer(h engineio.Handler, opts *engineio.ServerOptions) *Server {
	path := engineio.DefaultPath
	if opts != nil && opts.Path != "" {
		path = "/" + strings.Trim(opts.Path, "/")
	}
	l := NewListener()
	srv := &Server{
		Server:    engineio.NewServer(h, opts),
		URL:       "http://engineio.test" + strings.TrimSuffix(path, "/") + "/",
		transport: &http.Transport{DialContext: l.DialContext},
	}
	srv.web = &http.Server{
		Handler:   srv.Server,
		ErrorLog:  log.New(io.Discard, "", 0),
		ConnState: srv.count,
	}
	srv.serving.Go(func() { _ = srv.web.Serve(l) }) // until Close
	return srv
}

// count keeps account of the connections: after an answer to what it did not read, net/http waits half a second with the
// end of the connection, which nobody sees but a bubble.
func (srv *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		srv.serving.Add(1)
	case http.StateClosed, http.StateHijacked:
		srv.serving.Done()
	}
}

// Client returns a new HTTP client that reaches the server, and nothing else, whatever the URL. It has no cookie jar.
func (srv *Server) Client() *http.Client { return &http.Client{Transport: srv.transport} }

// Dial opens a session. opts are engineio's; nil means all defaults. Without an HTTPClient the session has one of its
// own that reaches the server, with a cookie jar.
func (srv *Server) Dial(ctx context.Context, opts *engineio.DialOptions) (*engineio.Socket, error) {
	var o engineio.DialOptions
	if opts != nil {
		o = *opts
	}
	if o.HTTPClient == nil {
		o.HTTPClient = srv.Client()
		jar, err := cookiejar.New(nil)
		if err != nil {
			return nil, err
		}
		o.HTTPClient.Jar = jar
	}
	return engineio.Dial(ctx, srv.URL, &o)
}

// Close ends all sessions and connections at once, as engineio.Server does, and returns when the last handler has
// returned. It returns nil. A client's own end of a session is its owner's to close.
func (srv *Server) Close() error {
	err := srv.Server.Close()
	srv.transport.CloseIdleConnections()
	_ = srv.web.Close()
	srv.serving.Wait()
	return err
}

// Pipe returns both ends of a new session, which end with t, in its bubble if it has one. The session stands on a
// WebSocket, unless opts has Transports. Each end wants a goroutine in Read, as always, or Discard.
func Pipe(t testing.TB, opts *engineio.DialOptions) (client, server *engineio.Socket) {
	t.Helper()
	var o engineio.DialOptions
	if opts != nil {
		o = *opts
	}
	if len(o.Transports) == 0 {
		o.Transports = []engineio.Transport{engineio.WebSocket}
	}
	opened := make(chan *engineio.Socket, 1)
	srv := NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		opened <- s
		<-ctx.Done()
	}), &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3, engineio.Revision4}})
	t.Cleanup(func() { _ = srv.Close() })
	client, err := srv.Dial(t.Context(), &o)
	if err != nil {
		t.Fatalf("engineiotest: %v", err)
	}
	t.Cleanup(func() {
		client.Abort(nil)
		_ = client.Close() // waits for what is left of it
	})
	return client, <-opened
}
