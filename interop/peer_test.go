package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAwaitEndsWhenTheProcessDoes(t *testing.T) {
	t.Parallel()
	peer := startNode(t, EngineServer, "6.6.13")
	e := peer.Endpoint()
	e.Must(t, Command{Do: "listen"}, "listening")
	peer.Kill()
	_, err := e.Await(t.Context(), "open")
	require.ErrorContains(t, err, "process ended")
}

func TestAwaitLeavesOtherEventsToBeAwaited(t *testing.T) {
	t.Parallel()
	e := NewQueue("queue")
	for _, kind := range []string{"open", "message", "closed"} {
		e.Push(Event{Kind: kind})
	}
	for _, kind := range []string{"closed", "open", "message"} {
		ev, err := e.Await(t.Context(), kind)
		require.NoError(t, err)
		require.Equal(t, kind, ev.Kind)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := e.Await(ctx, "open")
	require.ErrorIs(t, err, context.Canceled)
}

// TestLockNamesNoDownloadAddress checks that the lock file identifies packages by version and checksum only, so that npm
// downloads them from the registry in its configuration.
func TestLockNamesNoDownloadAddress(t *testing.T) {
	t.Parallel()
	lock, err := os.ReadFile(filepath.Join("node", "package-lock.json"))
	require.NoError(t, err)
	require.False(t, bytes.Contains(lock, []byte(`"resolved"`)))
	var parsed struct {
		Packages map[string]struct {
			Integrity    string
			Dependencies map[string]string
		}
	}
	require.NoError(t, json.Unmarshal(lock, &parsed))
	for name, p := range parsed.Packages {
		if name != "" {
			require.NotEmpty(t, p.Integrity, name)
		}
		for dep, version := range p.Dependencies {
			require.NotContains(t, version, "://", "%s of %s", dep, name)
		}
	}
}
