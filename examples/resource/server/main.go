// Command server is the hub of the resource example: a creature that says any text that a node sends it.
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

	"github.com/bigcompany/mesh/mesh"
)

//go:embed client.html
var pages embed.FS

// speech is the payload that clients send to creature::talk.
type speech struct {
	Text string `json:"text"`
}

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "localhost:7777", "`address` to listen on: host:port or a URL")
	flag.Parse()
	if err := run(*addr); err != nil {
		log.Fatal(err)
	}
}

// run returns when the process is interrupted, or if the hub cannot listen.
func run(addr string) error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()

	node, err := mesh.Listen(ctx, &mesh.Options{Addr: addr, Handler: http.FileServerFS(pages)})
	if err != nil {
		return err
	}

	creature := node.Resource("creature")
	creature.Method("talk", func(e mesh.Event) {
		var s speech
		if err := e.Decode(&s); err != nil {
			log.Println("creature::talk:", err)
			return
		}
		fmt.Printf("the creature says %q\n", s.Text)
	})
	creature.SetRemote(true) // other nodes may call the creature's methods

	log.Println("listening on", node.URL())
	<-ctx.Done()
	return node.Close()
}
