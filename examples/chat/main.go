// Command chat is a chat room in a page. The page uses the stock browser client of Engine.IO, and the server uses
// package engineio.
package main

import (
	"context"
	_ "embed"
	"errors"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/bigcompany/mesh/engineio"
)

//go:embed chat.html
var page []byte

// room sends each message to all its members.
type room struct {
	mu      sync.Mutex
	members map[*engineio.Socket]bool
}

// ServeSocket serves one page, from its handshake to its end.
func (r *room) ServeSocket(ctx context.Context, s *engineio.Socket) {
	r.set(s, true)
	defer r.set(s, false)
	for {
		m, err := s.Read(ctx)
		if err != nil {
			return
		}
		r.send(engineio.Prepare(m)) // encoded once, for all
	}
}

func (r *room) set(s *engineio.Socket, member bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if member {
		r.members[s] = true
	} else {
		delete(r.members, s)
	}
}

func (r *room) send(m engineio.Message) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for s := range r.members {
		if err := s.TryWrite(m); errors.Is(err, engineio.ErrQueueFull) {
			s.Abort(err) // it does not read, and the others must not wait for it
		}
	}
}

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "localhost:3000", "`address` to listen on")
	client := flag.String("client", "node_modules/engine.io-client/dist/engine.io.min.js", "`file` of the stock browser client")
	flag.Parse()
	if _, err := os.Stat(*client); err != nil {
		log.Fatalf("%v\nrun npm install in examples/chat, and go run . there", err)
	}
	if err := serve(*addr, *client); err != nil {
		log.Fatal(err)
	}
}

// serve returns when the process is interrupted, or if the server fails.
func serve(addr, client string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	engine := engineio.NewServer(&room{members: map[*engineio.Socket]bool{}}, nil)
	mux := http.NewServeMux()
	mux.Handle("/engine.io/", engine)
	mux.HandleFunc("GET /client.js", func(w http.ResponseWriter, req *http.Request) { http.ServeFile(w, req, client) })
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(page) })
	web := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	context.AfterFunc(ctx, func() {
		_ = engine.Close() // http.Server does not know the sessions
		_ = web.Close()
	})
	log.Printf("chat: open http://%s in some tabs", l.Addr())
	if err := web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}
