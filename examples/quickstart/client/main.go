// Command client sends one message to the server and prints the reply.
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/bigcompany/mesh/engineio"
)

func main() {
	ctx := context.Background()
	s, err := engineio.Dial(ctx, "http://localhost:3000", nil)
	if err != nil {
		log.Fatal(err)
	}
	if err := s.Write(ctx, engineio.Text("hello")); err != nil {
		log.Fatal(err)
	}
	m, err := s.Read(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%s\n", m.Data)
	_ = s.Close() // sends the queued messages and closes the session
}
