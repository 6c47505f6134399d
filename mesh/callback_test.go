package mesh_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// roles runs a test with a hub and with a client as n. other is the node at the other end of the connection.
func roles(t *testing.T, opts mesh.Options, test func(t *testing.T, n, other *mesh.Node)) {
	t.Run("hub", func(t *testing.T) {
		hub := listen(t, opts)
		test(t, hub, connect(t, hub, mesh.Options{}))
	})
	t.Run("client", func(t *testing.T) {
		hub := listen(t, mesh.Options{})
		test(t, connect(t, hub, opts), hub)
	})
}

func TestCallbacksRunOneAfterAnotherInTheOrderOfEvents(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		var order []byte // no lock: the race detector reports concurrent calls
		done := make(chan struct{})
		n.On("e", func(mesh.Event) { order = append(order, '1') })
		n.On("*", func(mesh.Event) { order = append(order, '2') })
		n.On("e", func(mesh.Event) { order = append(order, '3') })
		n.On("end", func(mesh.Event) { close(done) })
		flush(t, n)
		for range 100 {
			require.NoError(t, other.Emit("e", nil))
		}
		require.NoError(t, other.Emit("end", nil))
		<-done
		require.Equal(t, string(bytes.Repeat([]byte("123"), 100)), string(order[:300]), "in the order in which they were added")
	})
}

func TestCallbacksMayUseTheNode(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		replies := listenTo(t, other, "reply", "second")
		var off func()
		off = n.On("e", func(e mesh.Event) {
			off()
			n.On("second", func(mesh.Event) {})
			_ = n.Emit("reply", e.Payload)
			_ = n.Emit("second", nil)
			_ = n.Stats()
			_, _ = n.Hub()
		})
		flush(t, n)
		require.NoError(t, other.Emit("e", 1))
		require.Equal(t, "1", string(replies.Next().Payload))
		require.Equal(t, "second", replies.Next().Name)
	})
}

func TestCallbackMayCloseItsNode(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		closed := make(chan error, 1)
		calls := 0
		n.On("e", func(mesh.Event) {
			calls++
			closed <- n.Close()
			require.ErrorIs(t, n.Emit("x", nil), mesh.ErrClosed)
		})
		flush(t, n)
		for range 5 {
			_ = other.Emit("e", nil)
		}
		require.NoError(t, <-closed)
		<-n.Done()
		require.ErrorIs(t, n.Err(), mesh.ErrClosed)
		end(t, n)
		require.Equal(t, 1, calls, "queued calls are dropped")
	})
}

func TestWaitCallbackWaitsForTheCallbackThatIsRunning(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		started, release := make(chan struct{}), make(chan struct{})
		over := false // no lock: the race detector reports concurrent access
		n.On("e", func(mesh.Event) {
			close(started)
			<-release
			over = true
		})
		flush(t, n)
		require.NoError(t, other.Emit("e", nil))
		<-started
		require.NoError(t, n.Close(), "Close does not wait for the callback")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errors.New("enough"))
		require.ErrorContains(t, n.WaitCallback(ctx), "enough")
		close(release)
		require.NoError(t, n.WaitCallback(meshtest.Context(t)))
		require.True(t, over)
	})
}

func TestNoCallFollowsOffAndWaitCallback(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		for range 50 {
			over := false // no lock: the race detector reports concurrent access
			off := n.On("e", func(mesh.Event) {
				if over {
					t.Error("called after off")
				}
			})
			for range 10 {
				_ = n.Emit("e", nil)
				_ = other.Emit("e", nil)
			}
			off()
			require.NoError(t, n.WaitCallback(meshtest.Context(t)))
			over = true
		}
	})
}

// In a callback, off needs no wait: no other callback is running.
func TestNoCallFollowsOffInAnotherCallback(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		done := make(chan struct{})
		off := n.On("e", func(mesh.Event) { t.Error("called after off") })
		n.Once("first", func(mesh.Event) {
			off()
			close(done)
		})
		flush(t, n)
		require.NoError(t, other.Emit("first", nil))
		require.NoError(t, other.Emit("e", nil))
		<-done
	})
}

func TestEmitFailsAndSendsNothingWhenCallbacksAreFull(t *testing.T) {
	roles(t, mesh.Options{CallbackLimit: 2000}, func(t *testing.T, n, other *mesh.Node) {
		far := listenTo(t, other, "e", "end")
		release := make(chan struct{})
		n.On("e", func(mesh.Event) { <-release })
		sent := 0
		var err error
		for err == nil {
			if err = n.Emit("e", sent); err == nil {
				sent++
			}
		}
		require.ErrorIs(t, err, mesh.ErrQueueFull)
		require.Greater(t, sent, 5)
		require.NoError(t, n.Emit("end", nil), "an event that the node does not hear itself has room")
		close(release)
		for range sent {
			require.Equal(t, "e", far.Next().Name)
		}
		far.silentUntil("end")
	})
}

func TestAFullCallbackQueueHoldsUpTheReaderAndLosesNothing(t *testing.T) {
	roles(t, mesh.Options{CallbackLimit: 1000}, func(t *testing.T, n, other *mesh.Node) {
		const events = 2000
		release := make(chan struct{})
		done := make(chan struct{})
		got := 0
		n.On("e", func(mesh.Event) {
			<-release
			if got++; got == events {
				close(done)
			}
		})
		flush(t, n)
		for range events {
			require.NoError(t, other.Emit("e", nil))
		}
		close(release)
		select {
		case <-done:
		case <-time.After(meshtest.Patience):
			require.Fail(t, "events were lost")
		}
	})
}

func TestCallbacksOfAClosedNodeAreNotCalled(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		var calls atomic.Int32
		n.On("e", func(mesh.Event) { calls.Add(1) })
		require.NoError(t, n.Close())
		after := calls.Load()
		require.ErrorIs(t, n.Emit("e", nil), mesh.ErrClosed)
		require.ErrorIs(t, n.Flush(meshtest.Context(t)), mesh.ErrClosed)
		n.On("e", func(mesh.Event) { calls.Add(1) })()
		_ = other.Emit("e", nil)
		require.Equal(t, after, calls.Load())
	})
}

// TestPanicOfACallbackIsNotRecovered runs itself in another process, which the panic must end.
func TestPanicOfACallbackIsNotRecovered(t *testing.T) {
	if os.Getenv("MESH_TEST_PANIC") != "" {
		hub, err := mesh.Listen(meshtest.Context(t), &mesh.Options{Addr: "localhost:0"})
		if err != nil {
			return // this ends without the exit code of a panic
		}
		hub.On("e", func(mesh.Event) { panic("the callback's own panic") })
		_ = hub.Emit("e", nil)
		time.Sleep(meshtest.Patience)
		return
	}
	cmd := exec.Command(os.Args[0], "-test.run=^TestPanicOfACallbackIsNotRecovered$")
	cmd.Env = append(os.Environ(), "MESH_TEST_PANIC=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	require.ErrorAs(t, err, &exit)
	require.Equal(t, 2, exit.ExitCode())
	require.Contains(t, string(out), "panic: the callback's own panic")
}
