// Command client is the other half of the resource example: it makes the hub's creature talk, every other second.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/bigcompany/mesh/mesh"
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "localhost:7777", "`address` of the hub: host:port or a URL")
	interval := flag.Duration("interval", 2*time.Second, "`time` between two events")
	flag.Parse()
	if *interval <= 0 {
		log.Fatal("-interval must be positive")
	}
	if err := run(*addr, *interval); err != nil {
		log.Fatal(err)
	}
}

// run returns when the process is interrupted, or if the client cannot connect at the start.
func run(addr string, interval time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	node, err := mesh.Connect(ctx, &mesh.Options{Addr: addr, Name: "test-client"})
	if err != nil {
		return fmt.Errorf("cannot connect; is the server running? %w", err)
	}
	log.Println("connected to", node.URL())

	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := node.Emit("creature::talk", map[string]string{"text": "Hi from Go!"}); err != nil {
				log.Println("creature::talk was not sent:", err)
			}
		case <-ctx.Done():
			return node.Close()
		}
	}
}
