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

// Server is an engineio.Server that serves in memory.
type Server struct {
	*engineio.Server
	// URL is the server's URL, for engineio.Dial and for the test's requests with Client.
	URL string

	transport *http.Transport
	web       *http.Server
	serving   sync.WaitGroup // counts Serve, and each connection that net/http still has
}

// NewServer starts a server that serves sessions with h. opts are the options of engineio.NewServer; nil means all
// defaults. The test must call Close.
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

// count counts the connections. After a response to a request whose body it did not read, net/http waits half a second
// before it closes the connection. Only a bubble notices this wait.
func (srv *Server) count(_ net.Conn, state http.ConnState) {
	switch state {
	case http.StateNew:
		srv.serving.Add(1)
	case http.StateClosed, http.StateHijacked:
		srv.serving.Done()
	}
}

// Client returns a new HTTP client that sends every request to the server, whatever the URL. It has no cookie jar.
func (srv *Server) Client() *http.Client { return &http.Client{Transport: srv.transport} }

// Dial opens a session. opts are the options of engineio.Dial; nil means all defaults. If opts has no HTTPClient, the
// session gets an HTTP client that reaches the server and has a cookie jar.
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

// Close ends all sessions and connections at once, as engineio.Server.Close does, and returns when the last handler has
// returned. It returns nil. The test must close the clients' ends of the sessions.
func (srv *Server) Close() error {
	err := srv.Server.Close()
	srv.transport.CloseIdleConnections()
	_ = srv.web.Close()
	srv.serving.Wait()
	return err
}

// Pipe returns both ends of a new session. They end with t, and belong to its bubble if it has one. The session is on a
// WebSocket, unless opts has Transports. Each end needs a goroutine in Read, or a call of Discard.
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
		_ = client.Close() // waits for its goroutines
	})
	return client, <-opened
}
