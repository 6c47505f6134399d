// Command server replies to each message of a session, and prints the reason why the session ended.
package main

import (
	"context"
	"log"
	"net/http"

	"github.com/bigcompany/mesh/engineio"
)

func serve(ctx context.Context, s *engineio.Socket) {
	for {
		m, err := s.Read(ctx)
		if err != nil {
			log.Print(err) // the reason why the session ended
			return
		}
		_ = s.Write(ctx, engineio.Text("you said "+string(m.Data))) // if this fails, so does the next Read
	}
}

func main() {
	engine := engineio.NewServer(engineio.HandlerFunc(serve), nil)
	http.Handle("/engine.io/", engine)
	http.Handle("/", http.FileServer(http.Dir(".")))
	log.Fatal(http.ListenAndServe("localhost:3000", nil))
}
