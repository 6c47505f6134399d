// Command server is the hub of the authorization example: it admits the clients that present the right user and
// password.
package main

import (
	"context"
	"embed"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bigcompany/mesh/mesh"
)

//go:embed client.html
var pages embed.FS

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "localhost:7777", "`address` to listen on: host:port or a URL")
	interval := flag.Duration("interval", 2*time.Second, "`time` between two events")
	flag.Parse()
	if *interval <= 0 {
		log.Fatal("-interval must be positive")
	}
	if err := run(*addr, *interval); err != nil {
		log.Fatal(err)
	}
}

// run returns when the process is interrupted, or if the hub cannot listen.
func run(addr string, interval time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	node, err := mesh.Listen(ctx, &mesh.Options{
		Addr: addr,
		// Authorize can be any function of the credentials. It admits a client by returning nil.
		Authorize: mesh.BasicAuth("marak", "password"),
		Handler:   http.FileServerFS(pages),
	})
	if err != nil {
		return err
	}
	log.Println("listening on", node.URL())

	node.On("client-foo", func(e mesh.Event) {
		fmt.Println("got client-foo event from", e.From)
		emit(node, "server-echo-client-foo", e.Payload)
	})

	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			emit(node, "server-foo", map[string]string{"bar": "foo"})
		case <-ctx.Done():
			return node.Close()
		}
	}
}

func emit(node *mesh.Node, event string, payload any) {
	if err := node.Emit(event, payload); err != nil {
		log.Println(event, "was not sent:", err)
	}
}
