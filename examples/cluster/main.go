// Command cluster runs three hubs that form one mesh, and a client that moves when its hub is shut down.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

// hello is the event that each hub emits to all nodes.
type hello struct {
	Hub string `json:"hub"`
	N   int    `json:"n"`
}

func main() {
	log.SetFlags(0)
	url := flag.String("nats", "", "`URL` of a NATS server (default: one in this process)")
	interval := flag.Duration("interval", time.Second, "`time` between two events of a hub")
	after := flag.Int("shutdown", 5, "`number` of events after which the client's hub is shut down")
	flag.Parse()
	if *interval <= 0 {
		log.Fatal("-interval must be positive")
	}
	if err := run(*url, *interval, *after); err != nil {
		log.Fatal(err)
	}
}

// run returns when the process is interrupted, or if the hubs or the client fail.
func run(url string, interval time.Duration, after int) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if url == "" {
		broker, err := startNATS()
		if err != nil {
			return err
		}
		defer broker.WaitForShutdown()
		defer broker.Shutdown()
		url = broker.ClientURL()
	}

	hubs := make(map[string]*mesh.Node) // by name
	var addrs []string
	for _, name := range []string{"one", "two", "three"} {
		conn, err := nats.Connect(url, natsbackplane.Settings)
		if err != nil {
			return err
		}
		defer conn.Close()
		hub, err := mesh.Listen(ctx, &mesh.Options{Addr: "localhost:0", Name: name, Backplane: natsbackplane.New(conn, nil)})
		if err != nil {
			return err
		}
		defer func() { _ = hub.Close() }()
		log.Println("hub", name, "is at", hub.URL())
		hubs[name] = hub
		addrs = append(addrs, hub.URL())
	}

	client, err := mesh.Connect(ctx, &mesh.Options{Addr: strings.Join(addrs, ",")})
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	mesh.On(client, "hello", func(h hello, _ mesh.Event) { fmt.Println(h.Hub, "says hello", h.N) })
	client.OnState(func(s mesh.State) { fmt.Println("the client is", s.Status, "with", s.Hub.Name) })
	if err := client.Flush(ctx); err != nil {
		return err
	}

	tick := time.NewTicker(interval)
	defer tick.Stop()
	for n := 1; ; n++ {
		for name, hub := range hubs {
			if err := hub.Emit("hello", hello{Hub: name, N: n}); err != nil && !errors.Is(err, mesh.ErrClosed) {
				log.Println("hello was not sent:", err)
			}
		}
		if n == after {
			at, _ := client.Hub()
			log.Println("hub", at.Name, "is shut down")
			if err := hubs[at.Name].Shutdown(ctx); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

// startNATS starts a NATS server in this process.
func startNATS() (*server.Server, error) {
	s, err := server.NewServer(&server.Options{Host: "127.0.0.1", Port: server.RANDOM_PORT, NoSigs: true})
	if err != nil {
		return nil, err
	}
	s.Start()
	if !s.ReadyForConnections(5 * time.Second) {
		s.Shutdown()
		return nil, errors.New("NATS does not start")
	}
	return s, nil
}
