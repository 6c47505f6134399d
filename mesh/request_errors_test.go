package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
	"github.com/bigcompany/mesh/protocol"
)

func TestErrorOfAReplierIsReturned(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		var failure error
		replies(t, other, "fail", func(mesh.Event) (any, error) { return "not this", failure })
		for text, want := range map[string]string{
			"no such user":            "no such user",
			"":                        "",
			strings.Repeat("é", 1000): strings.Repeat("é", 500),
			"\xff<\"\x00>":            "<\"\x00>",
		} {
			failure = errors.New(text)
			_, err := n.Request(meshtest.Context(t), "fail", nil)
			var remote *mesh.RemoteError
			require.ErrorAs(t, err, &remote)
			require.Equal(t, want, remote.Message)
			require.ErrorContains(t, err, fmt.Sprintf("%q", want))
		}
	})
}

func TestReplyThatCannotBeSentIsAnError(t *testing.T) {
	var log meshtest.Log
	hub := listen(t, mesh.Options{Logger: log.Logger(), MaxMessage: 10_000})
	c := connect(t, hub, mesh.Options{MaxMessage: 10_000})
	answers := map[string]any{"encode": make(chan int), "large": strings.Repeat("x", 10_000), "raw": json.RawMessage(`{"secret":`)}
	for event, answer := range answers {
		hub.Reply(event, func(mesh.Event) (any, error) { return answer, nil })
		_, err := c.Request(meshtest.Context(t), event, nil)
		require.Equal(t, &mesh.RemoteError{Message: "the answer cannot be sent"}, err)
		require.Contains(t, log.String(), "event="+event)
	}
	require.Equal(t, 3, strings.Count(log.String(), "level=WARN"))
	require.NotContains(t, log.String(), "secret")
	for range 100 {
		_, err := c.Request(meshtest.Context(t), "encode", nil)
		require.Error(t, err)
	}
	require.Less(t, strings.Count(log.String(), "event=encode"), 20, "a line a second")
}

func TestRequestWithoutListenersFailsAtOnce(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		nobody := func(event string) {
			t.Helper()
			_, err := n.Request(meshtest.Context(t), event, 1)
			require.ErrorIs(t, err, mesh.ErrNoListener)
		}
		answered := func(event string) {
			t.Helper()
			_, err := n.Request(meshtest.Context(t), event, 1)
			require.NoError(t, err)
		}
		nobody("sum")
		nobody("ns::sum")
		for _, pattern := range []string{"sum", "*", "**"} {
			off := replies(t, other, pattern, echo)
			answered("sum")
			off()
			flush(t, other)
			nobody("sum")
		}
		off := n.Reply("sum", echo)
		answered("sum")
		off()
		flush(t, n)
		nobody("sum")

		r := other.Resource("creature")
		defer r.Method("talk", func(mesh.Event) { t.Error("it is not remote") })()
		flush(t, other)
		nobody("creature::talk")

		// A listener that does not reply counts as a listener.
		offOrdinary := other.On("sum", func(mesh.Event) {})
		flush(t, other)
		ctx, cancel := context.WithTimeoutCause(t.Context(), 20*time.Millisecond, errors.New("enough"))
		defer cancel()
		_, err := n.Request(ctx, "sum", nil)
		require.ErrorContains(t, err, "enough")
		require.ErrorContains(t, err, `"sum"`)
		offOrdinary()
	})
}

func TestRequestsThatAreNotSent(t *testing.T) {
	roles(t, mesh.Options{MaxMessage: 10_000}, func(t *testing.T, n, other *mesh.Node) {
		heard := listenTo(t, other, "**")
		_, err := n.Request(meshtest.Context(t), "$e", nil)
		require.ErrorIs(t, err, protocol.ErrReserved)
		_, err = n.Request(meshtest.Context(t), "*", nil)
		require.ErrorIs(t, err, protocol.ErrName)
		_, err = n.Request(meshtest.Context(t), "e", make(chan int))
		require.Error(t, err)
		_, err = n.Request(meshtest.Context(t), "e", json.RawMessage(strings.Repeat("[", protocol.MaxDepth-1)+strings.Repeat("]", protocol.MaxDepth-1)))
		require.ErrorIs(t, err, protocol.ErrLimit)
		_, err = n.Request(meshtest.Context(t), "e", strings.Repeat("x", 9_990))
		require.ErrorIs(t, err, mesh.ErrTooLarge)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err = n.Request(ctx, "e", nil)
		require.ErrorIs(t, err, context.Canceled)
		require.NoError(t, n.Emit("end", nil))
		heard.silentUntil("end")
		require.Panics(t, func() { n.Reply("e", nil) })
		require.Panics(t, func() { n.Reply("$e", echo) })
	})
}
