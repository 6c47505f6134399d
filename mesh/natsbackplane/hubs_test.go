package natsbackplane_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest/natstest"
	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

func TestHubsThroughNATS(t *testing.T) {
	s := natstest.Run(t, &server.Options{})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var hubs, clients []*mesh.Node
	for range 3 {
		hub, err := mesh.Listen(ctx, &mesh.Options{Addr: "localhost:0", Backplane: natsbackplane.New(connect(t, s), nil)})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, hub.Close()) })
		c, err := mesh.Connect(ctx, &mesh.Options{Addr: hub.URL()})
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, c.Close()) })
		hubs, clients = append(hubs, hub), append(clients, c)
	}
	heard := make(chan mesh.Event, 100_000)
	for _, c := range clients {
		c.On("n::*", func(e mesh.Event) { heard <- e })
		c.On("n::**", func(e mesh.Event) { heard <- e })
		require.NoError(t, c.Flush(ctx))
	}
	const events = 1000
	for i := range events {
		require.NoError(t, clients[0].Emit(fmt.Sprintf("n::%d", i%3), i))
	}
	for range 6 * events {
		select {
		case <-heard:
		case <-ctx.Done():
			require.FailNow(t, "lost", "%d left, %+v", len(heard), hubs[1].Stats())
		}
	}
	clients[2].Reply("sum", func(mesh.Event) (any, error) { return 3, nil })
	require.NoError(t, clients[2].Flush(ctx))
	_, err := clients[1].Request(ctx, "nobody", nil)
	require.ErrorIs(t, err, mesh.ErrNoListener)
	e, err := clients[0].Request(ctx, "sum", nil)
	require.NoError(t, err)
	require.JSONEq(t, "3", string(e.Payload))
}
