package engineiotest_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/engineiotest"
)

// greet is the handler under test.
var greet = engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return // the session has ended
		}
		_ = s.Write(ctx, engineio.Text("hello "+string(m.Data))) // if the session has ended, Read fails too
	}
})

func ExampleNewServer() {
	srv := engineiotest.NewServer(greet, nil)
	defer srv.Close()

	ctx := context.Background()
	s, err := srv.Dial(ctx, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer s.Close()
	_ = s.Write(ctx, engineio.Text("world"))
	m, err := s.Read(ctx)
	fmt.Println(string(m.Data), err)
	// Output: hello world <nil>
}

// A server with its own middleware serves in memory.
func ExampleListener() {
	engine := engineio.NewServer(greet, nil)
	defer engine.Close()
	web := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") == "" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		engine.ServeHTTP(w, r)
	})}
	l := engineiotest.NewListener()
	go func() { _ = web.Serve(l) }() // until Close
	defer web.Close()

	client := &http.Client{Transport: &http.Transport{DialContext: l.DialContext}}
	defer client.CloseIdleConnections()
	_, err := engineio.Dial(context.Background(), "http://anywhere", &engineio.DialOptions{HTTPClient: client})
	fmt.Println(err)
	// Output: engineio: no Engine.IO server answered: HTTP status 401: who are you?
}
