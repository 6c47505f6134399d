package mesh_test

import (
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// TestSlowCallbackOfAHubDelaysNoOtherNode checks that other receivers of events from other hubs do not wait for the
// callback.
func TestSlowCallbackOfAHubDelaysNoOtherNode(t *testing.T) {
	t.Parallel() // it waits for a timer
	const events = 100
	var logs meshtest.Log
	b := new(mesh.LocalBackplane)
	one := listen(t, mesh.Options{Backplane: b})
	two := listen(t, mesh.Options{Backplane: b, CallbackLimit: 2000, Logger: logs.Logger()})
	client, far := connect(t, two, mesh.Options{}), connect(t, one, mesh.Options{})
	released := make(chan struct{})
	release := sync.OnceFunc(func() { close(released) })
	t.Cleanup(release)
	own := make(chan mesh.Event, events)
	two.On("e", func(e mesh.Event) {
		<-released
		own <- e
	})
	two.OnPresence(func(mesh.Presence) {})
	far.Reply("question", func(mesh.Event) (any, error) { return "answer", nil })
	flush(t, far)
	heard := listenTo(t, client, "e")
	flush(t, client)
	flush(t, two)

	for i := range events {
		require.NoError(t, one.Emit("e", i))
	}
	for i := range events {
		require.JSONEq(t, strconv.Itoa(i), string(heard.Next().Payload), "its clients hear all")
	}
	e, err := two.Request(meshtest.Context(t), "question", nil)
	require.NoError(t, err, "answers do not wait")
	require.Equal(t, `"answer"`, string(e.Payload))
	missed := two.Stats().Missed
	require.Positive(t, missed)
	require.Less(t, missed, uint64(events))
	late := connect(t, one, mesh.Options{})
	eventually(t, "who comes at the other hub is missed as well", func() bool { return two.Stats().Missed == missed+1 })

	require.Never(t, func() bool { return two.Stats().Hubs != 1 || one.Stats().Hubs != 1 }, 3500*time.Millisecond, 100*time.Millisecond,
		"a hub was given up that is there")
	lines := strings.Count(logs.String(), "callbacks are slow")
	require.Positive(t, lines)
	require.Less(t, lines, 10, "they are bundled")
	require.NoError(t, late.Close())
	release()
	for i := range events - int(missed) {
		require.JSONEq(t, strconv.Itoa(i), string((<-own).Payload), "and the hub itself the events for which there was room")
	}
}
