package mesh_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// awayBackplane reaches no other hub, and may be full.
type awayBackplane struct {
	mesh.LocalBackplane
	full atomic.Bool
}

type awayMember struct {
	mesh.BackplaneMember
	full *atomic.Bool
}

var errAway = errors.New("away")

func (b *awayBackplane) Join(hub string, receive func(string, []byte)) (mesh.BackplaneMember, error) {
	m, err := b.LocalBackplane.Join(hub, receive)
	return awayMember{m, &b.full}, err
}

func (awayMember) Err() error { return errAway }

func (m awayMember) Publish(string, []byte, func()) error {
	if m.full.Load() {
		return mesh.ErrBackplaneFull
	}
	return nil
}

// TestHubOutOfReachPublishesBeforeItKnowsAnotherHub covers a hub that does not know whether other hubs have subscribers.
func TestHubOutOfReachPublishesBeforeItKnowsAnotherHub(t *testing.T) {
	b := new(awayBackplane)
	hub := listen(t, mesh.Options{Backplane: b})
	client := connect(t, hub, mesh.Options{})
	require.ErrorIs(t, hub.Ready(), errAway)
	require.NoError(t, hub.Emit("e", 1))
	require.EqualValues(t, 1, hub.Stats().HubsOut)
	for _, n := range []*mesh.Node{hub, client} {
		ctx, cancel := context.WithTimeout(meshtest.Context(t), 100*time.Millisecond)
		_, err := n.Request(ctx, "q", nil)
		cancel()
		require.ErrorIs(t, err, context.DeadlineExceeded, "%v", n.Role())
	}
	require.EqualValues(t, 3, hub.Stats().HubsOut)

	b.full.Store(true)
	before := hub.Stats().HubsDropped
	_, err := hub.Request(meshtest.Context(t), "q", nil)
	require.ErrorIs(t, err, mesh.ErrBackplaneFull)
	require.Greater(t, hub.Stats().HubsDropped, before)
}
