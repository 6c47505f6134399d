package mesh_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestCloseEndsRequests(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		asked := make(chan struct{}, 1)
		other.On("e", func(mesh.Event) { asked <- struct{}{} })
		flush(t, other)
		failed := make(chan error, 1)
		go func() {
			_, err := n.Request(context.Background(), "e", nil)
			failed <- err
		}()
		<-asked
		require.NoError(t, n.Close())
		require.ErrorIs(t, <-failed, mesh.ErrClosed)
		_, err := n.Request(context.Background(), "e", nil)
		require.ErrorIs(t, err, mesh.ErrClosed)
	})
}

func TestRequestsSurviveALostConnection(t *testing.T) {
	hub := listen(t, mesh.Options{})
	p := meshtest.StartProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	asked, release := make(chan struct{}, 10), make(chan struct{})
	defer close(release)
	hub.Reply("slow", func(e mesh.Event) (any, error) {
		asked <- struct{}{}
		<-release
		return e.Payload, nil
	})
	answers := make(chan mesh.Event, 2)
	request := func(payload int) {
		answer, err := c.Request(meshtest.Context(t), "slow", payload)
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}
	states := make(chan mesh.State, 100)
	c.OnState(func(s mesh.State) { states <- s })
	await := func(status mesh.Status) {
		for (<-states).Status != status {
		}
	}

	go request(1)
	<-asked
	p.Close()
	await(mesh.Disconnected)
	p.Open()
	await(mesh.Connected)
	require.ErrorIs(t, c.Flush(meshtest.Context(t)), mesh.ErrUnconfirmed) // the hub knows the inbox again
	release <- struct{}{}
	require.Equal(t, "1", string((<-answers).Payload))

	p.Close()
	await(mesh.Disconnected)
	go request(2) // while there is no hub
	p.Open()
	<-asked
	release <- struct{}{}
	require.Equal(t, "2", string((<-answers).Payload))
	flush(t, c)
	require.Empty(t, asked, "each request came once")
}

func TestRequestsWhileANodeTakesOver(t *testing.T) {
	addr := stableAddr(t)
	first := start(t, mesh.Options{Addr: addr})
	nodes := []*mesh.Node{start(t, mesh.Options{Addr: addr}), start(t, mesh.Options{Addr: addr})}
	for i, n := range nodes {
		replies(t, n, fmt.Sprint("echo", i), echo)
	}
	lost := []<-chan mesh.State{states(nodes[0]), states(nodes[1])}
	require.NoError(t, first.Close())
	var wg sync.WaitGroup
	for i, n := range nodes {
		awaitStatus(t, lost[i], mesh.Disconnected)
		wg.Go(func() {
			_, err := n.Request(meshtest.Context(t), "nobody", nil)
			if !errors.Is(err, mesh.ErrNoListener) {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		flush(t, n)
	}
	require.NotEqual(t, nodes[0].Role(), nodes[1].Role())
	for i, n := range nodes {
		answer, err := n.Request(meshtest.Context(t), fmt.Sprint("echo", 1-i), i)
		require.NoError(t, err)
		require.Equal(t, nodes[1-i].ID(), answer.From)
	}
}
