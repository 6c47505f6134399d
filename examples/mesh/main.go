// Command mesh is a node that receives the events of all others. Run it as often as you like: the first one becomes the
// hub.
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

// hello is the event that the nodes send each other.
type hello struct {
	PID int `json:"pid"`
}

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "localhost:7777", "`address` of the hub: host:port or a URL")
	interval := flag.Duration("interval", time.Second, "`time` between two events")
	flag.Parse()
	if *interval <= 0 {
		log.Fatal("-interval must be positive")
	}
	if err := run(*addr, *interval); err != nil {
		log.Fatal(err)
	}
}

// run returns when the process is interrupted, or if the node cannot start.
func run(addr string, interval time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	node, err := mesh.Start(ctx, &mesh.Options{Addr: addr})
	if err != nil {
		return err
	}
	log.Println(os.Getpid(), "is a", node.Role(), "at", node.URL())

	node.On("customEvent", func(e mesh.Event) {
		var h hello
		if err := e.Decode(&h); err != nil {
			log.Println(err)
			return
		}
		fmt.Println(os.Getpid(), "- mesh", e.Name, "-", h.PID)
	})

	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := node.Emit("customEvent", hello{PID: os.Getpid()}); err != nil {
				log.Println("customEvent was not sent:", err)
			}
		case <-ctx.Done():
			return node.Close()
		}
	}
}
