package natsbackplane_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/natsbackplane"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 10 * time.Second

func runServer(t *testing.T, opts *server.Options) *server.Server {
	t.Helper()
	opts.Host, opts.NoSigs, opts.NoLog = "127.0.0.1", true, true
	if opts.Port == 0 {
		opts.Port = server.RANDOM_PORT
	}
	s, err := server.NewServer(opts)
	require.NoError(t, err)
	go s.Start()
	require.True(t, s.ReadyForConnections(patience))
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	return s
}

func connect(t *testing.T, s *server.Server, opts ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), append([]nats.Option{nats.NoEcho(), nats.MaxReconnects(-1)}, opts...)...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func TestHubsThroughNATS(t *testing.T) {
	s := runServer(t, &server.Options{})
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
