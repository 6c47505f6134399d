package engineio_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"

	"github.com/bigcompany/mesh/engineio"
)

// echo sends back every message.
func echo(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return // the session has ended
		}
		if err := s.Write(ctx, m); err != nil {
			return
		}
	}
}

func ExampleNewServer() {
	srv := engineio.NewServer(engineio.HandlerFunc(echo), nil)
	defer srv.Close()
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", srv)
	web := httptest.NewServer(mux) // a program calls http.ListenAndServe
	defer web.Close()

	ctx := context.Background()
	s, err := engineio.Dial(ctx, web.URL, nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	_ = s.Write(ctx, engineio.Text("hello"))
	m, _ := s.Read(ctx)
	fmt.Printf("%s\n", m.Data)
	_ = s.Close()
	// Output: hello
}

// A Server is an http.Handler, so a handler around it can process each request of every session. Header fields that the
// outer handler sets are part of each response, also of the response to a WebSocket handshake.
func ExampleServer_ServeHTTP() {
	srv := engineio.NewServer(engineio.HandlerFunc(echo), nil)
	defer srv.Close()
	around := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=31536000")
		if r.URL.Query().Get("sid") == "" { // the request that opens a session
			http.SetCookie(w, &http.Cookie{Name: "region", Value: "eu"})
		}
		srv.ServeHTTP(w, r)
	})
	web := httptest.NewServer(around)
	defer web.Close()

	for _, transport := range []string{"polling", "websocket"} {
		r, _ := http.NewRequest(http.MethodGet, web.URL+"/engine.io/?EIO=4&transport="+transport, nil)
		if transport == "websocket" {
			r.Header.Set("Connection", "Upgrade")
			r.Header.Set("Upgrade", "websocket")
			r.Header.Set("Sec-WebSocket-Version", "13")
			r.Header.Set("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			fmt.Println(err)
			return
		}
		fmt.Println(resp.StatusCode, resp.Header.Get("Strict-Transport-Security"), resp.Header.Get("Set-Cookie"))
		_ = resp.Body.Close()
	}
	// Output:
	// 200 max-age=31536000 region=eu
	// 101 max-age=31536000 region=eu
}

// AllowRequest decides who may open a session, and OnConnectionError is called for rejected requests.
func ExampleServerOptions() {
	srv := engineio.NewServer(engineio.HandlerFunc(echo), &engineio.ServerOptions{
		AllowRequest: func(r *http.Request) error {
			if r.Header.Get("Authorization") == "" {
				return errors.New("log in first")
			}
			return nil
		},
		OnConnectionError: func(e *engineio.ConnectionError) { fmt.Println("server:", e) },
	})
	defer srv.Close()
	web := httptest.NewServer(srv)
	defer web.Close()

	_, err := engineio.Dial(context.Background(), web.URL, nil)
	fmt.Println("client:", err)
	// Output:
	// server: engineio: request rejected: log in first (code 4): FORBIDDEN: AllowRequest
	// client: engineio: handshake rejected: log in first (code 4, HTTP status 403)
}
