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

// listen serves each session by f, and returns the server's URL and what ends it.
func listen(f engineio.HandlerFunc, opts *engineio.ServerOptions) (url string, stop func()) {
	srv := engineio.NewServer(f, opts)
	web := httptest.NewServer(srv)
	return web.URL, func() {
		_ = srv.Close()
		web.Close()
	}
}

// shout answers each message in capitals.
func shout(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return // the session has ended, and err says why
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
		TryAllTransports: true, // where a WebSocket does not get through, long-polling does
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

// A message to many is encoded once. TryWrite waits for nobody: who does not take what comes is given up, and the
// others are not held up.
func ExamplePrepare() {
	srv := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		s.Discard() // these sessions only listen
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

// Context ends with the session, and its cause says how. Those who only write call Discard, so that heartbeats are
// answered and the end is noticed.
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

// Close sends what is queued before it says goodbye.
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

// Flush tells when messages have left.
func ExampleSocket_Flush() {
	left := make(chan struct{})
	url, stop := listen(func(ctx context.Context, s *engineio.Socket) {
		_ = s.TryWrite(engineio.Text("one"), engineio.Text("two")) // both or none, and without waiting
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

// In revision 3 it is the client that pings. The answer comes when the server has dealt with all that was sent before.
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
	s.Discard() // somebody must be in Read
	for range 100 {
		_ = s.Write(ctx, engineio.Text("work"))
	}
	fmt.Println(s.Ping(ctx), done.Load())
	// Output: <nil> 100
}

// The first session upgrades; the next one starts where that one arrived.
func ExampleUpgradeMemory() {
	url, stop := listen(shout, nil)
	defer stop()

	ctx := context.Background()
	opts := &engineio.DialOptions{Remember: new(engineio.UpgradeMemory)}
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

// Sessions are shut down first: a poll that waits would hold up Shutdown of http.Server, which knows nothing of
// WebSockets, and a client that polls needs the listener to learn of the end.
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

// A proxy finds the server of a session by what its ID begins with. The rest cannot be guessed.
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

// What a handler around the server knows of a request reaches the session by its context.
func ExampleServerOptions_sessionContext() {
	engine := engineio.NewServer(engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		_ = s.Write(ctx, engineio.Text("hello "+ctx.Value(userKey{}).(string)))
	}), &engineio.ServerOptions{
		SessionContext: func(r *http.Request) context.Context { return context.WithoutCancel(r.Context()) },
	})
	defer engine.Close()
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, _, _ := r.BasicAuth() // of the request that opens the session, and of each later one
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
