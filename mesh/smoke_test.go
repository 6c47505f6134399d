package mesh_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

func TestSmoke(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	hub, err := mesh.Listen(ctx, &mesh.Options{Addr: "localhost:0"})
	require.NoError(t, err)
	defer hub.Close()
	t.Log(hub.Addr(), hub.URL())
	a, err := mesh.Connect(ctx, &mesh.Options{Addr: hub.Addr()})
	require.NoError(t, err)
	defer a.Close()
	b, err := mesh.Connect(ctx, &mesh.Options{Addr: hub.Addr()})
	require.NoError(t, err)
	defer b.Close()
	got := make(chan mesh.Event, 10)
	b.On("x::*", func(e mesh.Event) { got <- e })
	require.NoError(t, b.Flush(ctx))
	require.NoError(t, a.Emit("x::y", map[string]any{"n": 1, "id": "mine"}))
	e := <-got
	require.Equal(t, `{"id":"mine","n":1}`, string(e.Payload))
	require.Equal(t, a.ID(), e.From)
}
