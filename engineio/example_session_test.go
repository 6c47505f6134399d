package engineio_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
)

// listen serves each session with f. It returns the server's URL and a function that closes the server.
func listen(f engineio.HandlerFunc, opts *engineio.ServerOptions) (url string, stop func()) {
	srv := engineio.NewServer(f, opts)
	web := httptest.NewServer(srv)
	return web.URL, func() {
		_ = srv.Close()
		web.Close()
	}
}

// shout replies to each message with the message in capitals.
func shout(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return // the session has ended, and err has the reason
		}
		_ = s.Write(ctx, engineio.Text(strings.ToUpper(string(m.Data))))
	}
}

func ExampleDial() {
	url, stop := listen(shout, nil)
	defer stop()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	s, err := engineio.Dial(ctx, url, &engineio.DialOptions{
		Transports:       []engineio.Transport{engineio.WebSocket, engineio.Polling},
		TryAllTransports: true, // use long-polling in networks that block WebSockets
		Header:           http.Header{"Authorization": {"Bearer secret"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	if err := s.Write(ctx, engineio.Text("hello")); err != nil {
		fmt.Println(err)
		return
	}
	m, err := s.Read(ctx)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Printf("%s, by %s\n", m.Data, s.Transport())
	// Output: HELLO, by websocket
}

// Prepare encodes a message once for many sockets. TryWrite never waits: this server ends the session of a client whose
// queue is full, so that one slow client does not delay the others.
func ExamplePrepare() {
	srv := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		s.Discard() // this server only writes
		<-ctx.Done()
	}), nil)
	web := httptest.NewServer(srv)
	defer web.Close()
	defer srv.Close()

	ctx := context.Background()
	var guests []*engineio.Socket
	for range 3 {
		s, err := engineio.Dial(ctx, web.URL, nil)
		if err != nil {
			fmt.Println(err)
			return
		}
		defer s.Close()
		guests = append(guests, s)
	}

	news := engineio.Prepare(engineio.Text("it rains"))
	for _, s := range srv.Sockets() {
		if err := s.TryWrite(news); errors.Is(err, engineio.ErrQueueFull) {
			s.Abort(err)
		}
	}

	for _, s := range guests {
		m, _ := s.Read(ctx)
		fmt.Printf("%s\n", m.Data)
	}
	// Output:
	// it rains
	// it rains
	// it rains
}

// Context ends with the session, and its cause is the reason. A program that only writes calls Discard, so that the
// socket replies to heartbeats and notices the end.
func ExampleSocket_Context() {
	ended := make(chan error, 1)
	url, stop := listen(func(ctx context.Context, s *engineio.Socket) {
		s.Discard()
		_ = s.Write(ctx, engineio.Text("welcome"))
		<-ctx.Done()
		ended <- context.Cause(ctx)
	}, nil)
	defer stop()

	ctx := context.Background()
	s, err := engineio.Dial(ctx, url, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	m, _ := s.Read(ctx)
	fmt.Printf("client: %s\n", m.Data)
	_ = s.Close()
	if e, ok := errors.AsType[*engineio.CloseError](<-ended); ok {
		fmt.Println("server:", e.Reason)
	}
	// Output:
	// client: welcome
	// server: transport close
}

// Close first sends the queued messages.
func ExampleSocket_Close() {
	served := make(chan struct{})
	url, stop := listen(func(ctx context.Context, s *engineio.Socket) {
		defer close(served)
		for {
			m, err := s.Read(ctx)
			if e, ok := errors.AsType[*engineio.CloseError](err); ok {
				fmt.Printf("reason %q, by the peer: %t\n", e.Reason, e.Remote)
				return
			}
			fmt.Printf("%s\n", m.Data)
		}
	}, nil)
	defer stop()

	ctx := context.Background()
	s, err := engineio.Dial(ctx, url, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = s.Write(ctx, engineio.Text("one more thing"))
	_ = s.Close()
	<-served
	// Output:
	// one more thing
	// reason "transport close", by the peer: true
}

// Flush returns when the queued messages have been sent.
func ExampleSocket_Flush() {
	left := make(chan struct{})
	url, stop := listen(func(ctx context.Context, s *engineio.Socket) {
		_ = s.TryWrite(engineio.Text("one"), engineio.Text("two")) // both messages or none, without waiting
		if err := s.Flush(ctx); err == nil {
			close(left)
		}
	}, nil)
	defer stop()

	ctx := context.Background()
	s, err := engineio.Dial(ctx, url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.WebSocket}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	<-left
	for range 2 {
		m, _ := s.Read(ctx)
		fmt.Printf("%s\n", m.Data)
	}
	// Output:
	// one
	// two
}

// In revision 3 the client sends the pings. The reply comes when the server has processed all earlier messages.
func ExampleSocket_Ping() {
	var done atomic.Int32
	url, stop := listen(func(ctx context.Context, s *engineio.Socket) {
		for {
			if _, err := s.Read(ctx); err != nil {
				return
			}
			done.Add(1)
		}
	}, &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3, engineio.Revision4}})
	defer stop()

	ctx := context.Background()
	s, err := engineio.Dial(ctx, url, &engineio.DialOptions{Revision: engineio.Revision3})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	s.Discard() // a goroutine must be in Read
	for range 100 {
		_ = s.Write(ctx, engineio.Text("work"))
	}
	fmt.Println(s.Ping(ctx), done.Load())
	// Output: <nil> 100
}

// The first session starts with polling and moves to a WebSocket; the next session starts with a WebSocket.
func ExampleTransportHint() {
	url, stop := listen(shout, nil)
	defer stop()

	ctx := context.Background()
	opts := &engineio.DialOptions{Hint: new(engineio.TransportHint)}
	for range 2 {
		s, err := engineio.Dial(ctx, url, opts)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println("starts with", s.Transport())
		for s.Transport() != engineio.WebSocket {
			_ = s.Write(ctx, engineio.Text("are we there yet?"))
			_, _ = s.Read(ctx)
		}
		_ = s.Close()
	}
	// Output:
	// starts with polling
	// starts with websocket
}

// The program shuts the sessions down first. A waiting poll would delay Shutdown of http.Server, which does not know
// WebSocket sessions, and a polling client can learn of the end only while the listener is open.
func ExampleServer_Shutdown() {
	engine := engineio.NewServer(engineio.HandlerFunc(shout), nil)
	web := &http.Server{Handler: engine, ReadHeaderTimeout: 10 * time.Second}
	l, err := net.Listen("tcp", "localhost:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	stopped := make(chan error, 1)
	go func() { stopped <- web.Serve(l) }()

	s, err := engineio.Dial(context.Background(), "http://"+l.Addr().String(), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	ended := make(chan error, 1)
	go func() {
		_, err := s.Read(context.Background())
		ended <- err
	}()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := engine.Shutdown(ctx); err != nil {
		fmt.Println("sessions were cut off:", err)
	}
	if err := web.Shutdown(ctx); err != nil {
		fmt.Println("requests were cut off:", err)
	}
	if closed, ok := errors.AsType[*engineio.CloseError](<-ended); ok {
		fmt.Println(closed.Reason)
	}
	fmt.Println(<-stopped)
	// Output:
	// transport close
	// http: Server closed
}

// A proxy can route requests by the beginning of a session's ID. The remaining part must be hard to guess.
func ExampleServerOptions_generateID() {
	url, stop := listen(shout, &engineio.ServerOptions{
		GenerateID: func(*http.Request) (string, error) { return "a-" + rand.Text(), nil },
	})
	defer stop()

	s, err := engineio.Dial(context.Background(), url, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	fmt.Println(s.ID()[:2])
	// Output: a-
}

// The cookie's value is the session's ID.
func ExampleServerOptions_cookie() {
	url, stop := listen(shout, &engineio.ServerOptions{
		Cookie: &http.Cookie{Name: "session", Secure: true, SameSite: http.SameSiteStrictMode},
	})
	defer stop()

	resp, err := http.Get(url + "/engine.io/?EIO=4&transport=polling")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer resp.Body.Close()
	_, attributes, _ := strings.Cut(resp.Header.Get("Set-Cookie"), "; ")
	fmt.Println(resp.Cookies()[0].Name, attributes)
	// Output: session Path=/; HttpOnly; Secure; SameSite=Strict
}

type userKey struct{}

// A handler around the server passes data of a request to the session by the request's context.
func ExampleServerOptions_sessionContext() {
	engine := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		_ = s.Write(ctx, engineio.Text("hello "+ctx.Value(userKey{}).(string)))
	}), &engineio.ServerOptions{
		SessionContext: func(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) },
	})
	defer engine.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth() // the user of the request, which opens a session or belongs to one
		engine.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), userKey{}, user)))
	}))
	defer web.Close()

	ctx := context.Background()
	s, err := engineio.Dial(ctx, strings.Replace(web.URL, "http://", "http://ada:secret@", 1), nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	m, _ := s.Read(ctx)
	fmt.Printf("%s\n", m.Data)
	// Output: hello ada
}
