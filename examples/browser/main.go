// Command browser is a hub with a page: the page is a node like any other.
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

//go:embed hello.html
var pages embed.FS

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", mesh.DefaultAddr, "`address` to listen on: host:port or a URL")
	interval := flag.Duration("interval", 5*time.Second, "`time` between two events")
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

	node, err := mesh.Listen(ctx, &mesh.Options{Addr: addr, Handler: http.FileServerFS(pages)})
	if err != nil {
		return err
	}
	log.Println("listening on", node.URL())
	log.Printf("open http://%s/hello.html", node.Addr())

	node.On("hello", func(e mesh.Event) {
		if e.From != node.ID() {
			fmt.Println("hello", string(e.Payload))
		}
	})

	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := node.Emit("hello", fmt.Sprint("i am server ", os.Getpid())); err != nil {
				log.Println("hello was not sent:", err)
			}
		case <-ctx.Done():
			return node.Close()
		}
	}
}
