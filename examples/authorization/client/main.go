// Command client is the other half of the authorization example: it presents a user and a password.
package main

import (
	"context"
	"errors"
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
	opts := &mesh.Options{Name: "test-client"}
	flag.StringVar(&opts.Addr, "addr", "localhost:7777", "`address` of the hub: host:port or a URL")
	flag.StringVar(&opts.User, "user", "marak", "`name` that the hub knows")
	flag.StringVar(&opts.Password, "password", "password", "`password` of that user; a real program takes it from a file")
	interval := flag.Duration("interval", 2*time.Second, "`time` between two events")
	flag.Parse()
	if *interval <= 0 {
		log.Fatal("-interval must be positive")
	}
	if err := run(opts, *interval); err != nil {
		log.Fatal(err)
	}
}

// run returns when the process is interrupted, or if the client cannot connect at the start.
func run(opts *mesh.Options, interval time.Duration) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	node, err := mesh.Connect(ctx, opts)
	if refused, ok := errors.AsType[*mesh.AuthError](err); ok {
		return fmt.Errorf("the hub does not admit %s: %s", opts.User, refused.Message)
	}
	if err != nil {
		return fmt.Errorf("cannot connect; is the server running? %w", err)
	}
	log.Println("connected to", node.URL())

	for _, event := range []string{"server-foo", "server-echo-client-foo"} {
		node.On(event, func(e mesh.Event) {
			fmt.Println("got", e.Name, "event", string(e.Payload))
		})
	}

	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			if err := node.Emit("client-foo", map[string]string{"bar": "foo"}); err != nil {
				log.Println("client-foo was not sent:", err)
			}
		case <-ctx.Done():
			return node.Close()
		}
	}
}
