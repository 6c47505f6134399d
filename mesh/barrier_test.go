package mesh

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// A hub replies to a sync only after the events that it is routing have gone to the other hubs too.
func TestHubAnswersOthersBehindWhatItIsRouting(t *testing.T) {
	b := new(LocalBackplane)
	var hubs [2]*Node
	for i := range hubs {
		var err error
		hubs[i], err = NewHub(&Options{Backplane: b})
		require.NoError(t, err)
		defer func() { require.NoError(t, hubs[i].Close()) }()
	}
	routing := hubs[0].hub.Load().busy.Shard()
	routing.RLock()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	require.ErrorIs(t, hubs[1].Flush(ctx), context.DeadlineExceeded)
	routing.RUnlock()
	require.NoError(t, hubs[1].Flush(t.Context()))
}
