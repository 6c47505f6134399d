package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bigcompany/mesh/mesh"
)

// exampleMesh returns a hub and a client of it.
func exampleMesh(ctx context.Context) (hub, client *mesh.Node) {
	hub, err := mesh.Listen(ctx, &mesh.Options{Addr: "localhost:0"})
	if err != nil {
		panic(err)
	}
	client, err = mesh.Connect(ctx, &mesh.Options{Addr: hub.URL()})
	if err != nil {
		panic(err)
	}
	return hub, client
}

// The events of other nodes run a resource's methods. These nodes may be of the original too.
func ExampleNode_Resource() {
	ctx := context.Background()
	hub, client := exampleMesh(ctx)
	defer hub.Close()
	defer client.Close()

	done := make(chan struct{})
	creature := client.Resource("creature")
	creature.Method("talk", func(e mesh.Event) {
		fmt.Println("the creature says", string(e.Payload))
		close(done)
	})
	creature.SetRemote(true)
	if err := client.Flush(ctx); err != nil { // the hub then knows the resource
		panic(err)
	}
	if err := hub.Emit("creature::talk", "hi"); err != nil {
		panic(err)
	}
	<-done
	// Output: the creature says "hi"
}

// Call runs a method on this node only, whether or not the resource is remote.
func ExampleResource_Call() {
	hub, err := mesh.Listen(context.Background(), &mesh.Options{Addr: "localhost:0"})
	if err != nil {
		panic(err)
	}
	defer hub.Close()

	done := make(chan struct{})
	creature := hub.Resource("creature")
	creature.Method("talk", func(e mesh.Event) {
		fmt.Println("the creature says", string(e.Payload))
		close(done)
	})
	if err := creature.Call("talk", "psst"); err != nil {
		panic(err)
	}
	<-done
	// Output: the creature says "psst"
}

// A typed listener decodes its payloads, and reports payloads that do not fit.
func ExampleOn() {
	type order struct {
		Item  string `json:"item"`
		Count int    `json:"count"`
	}
	ctx := context.Background()
	hub, client := exampleMesh(ctx)
	defer hub.Close()
	defer client.Close()

	done := make(chan struct{})
	mesh.On(hub, "order", func(o order, e mesh.Event) {
		fmt.Println(o.Count, o.Item, "for this client:", e.From == client.ID())
		close(done)
	})
	if err := mesh.Emit(client, "order", order{Item: "pears", Count: 3}); err != nil {
		panic(err)
	}
	<-done
	// Output: 3 pears for this client: true
}

// Request returns the first reply. The replying node may also be one of the original.
func ExampleNode_Request() {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	hub, client := exampleMesh(ctx)
	defer hub.Close()
	defer client.Close()

	_, err := client.Request(ctx, "sum", []int{1, 2})
	fmt.Println(errors.Is(err, mesh.ErrNoListener))

	off := hub.Reply("sum", func(e mesh.Event) (any, error) {
		var terms []int
		if err := e.Decode(&terms); err != nil {
			return nil, errors.New("terms, please")
		}
		return terms[0] + terms[1], nil
	})
	defer off()
	answer, err := client.Request(ctx, "sum", []int{1, 2})
	fmt.Println(string(answer.Payload), err)

	_, err = client.Request(ctx, "sum", "nonsense")
	if remote, ok := errors.AsType[*mesh.RemoteError](err); ok {
		fmt.Println(remote.Message)
	}
	// Output:
	// true
	// 3 <nil>
	// terms, please
}
