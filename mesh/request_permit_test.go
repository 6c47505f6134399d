package mesh_test

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestListenersWithoutPermissionDoNotCount(t *testing.T) {
	hub := listen(t, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		return a == mesh.ActionEmit && event != "refused" || a == mesh.ActionListen && event != "withheld"
	}})
	a, b := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
	replies(t, b, "**", echo)
	for _, n := range []*mesh.Node{hub, a} {
		_, err := n.Request(meshtest.Context(t), "permitted", nil)
		require.NoError(t, err)
		_, err = n.Request(meshtest.Context(t), "withheld", nil)
		require.ErrorIs(t, err, mesh.ErrNoListener)
	}
	_, err := a.Request(meshtest.Context(t), "refused", nil)
	require.ErrorIs(t, err, mesh.ErrNoListener)
}

func TestReplyWithoutPermissionIsNotDelivered(t *testing.T) {
	for _, refused := range []mesh.Action{mesh.ActionEmit, mesh.ActionListen, 0} {
		hub := listen(t, mesh.Options{Permit: func(_ mesh.PeerInfo, a mesh.Action, event string) bool {
			return a != refused || !strings.HasPrefix(event, "reply-")
		}})
		asking, answering := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
		answered := make(chan struct{})
		replies(t, answering, "echo", func(e mesh.Event) (any, error) {
			defer close(answered)
			return e.Payload, nil
		})
		ctx, cancel := context.WithCancel(meshtest.Context(t))
		if refused != 0 {
			go func() {
				<-answered
				for hub.Stats().NotPermitted+hub.Stats().Withheld == 0 && ctx.Err() == nil {
					time.Sleep(time.Millisecond)
				}
				cancel() // the hub has rejected the reply
			}()
		}
		_, err := asking.Request(ctx, "echo", 1)
		if refused == 0 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, context.Canceled)
		}
		cancel()
	}
}

func TestThiefOfReplies(t *testing.T) {
	own := func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		return a != mesh.ActionListen || !strings.HasPrefix(event, "reply-") || event == "reply-"+p.ID
	}
	for name, permit := range map[string]func(mesh.PeerInfo, mesh.Action, string) bool{"without": nil, "with a Permit": own} {
		t.Run(name, func(t *testing.T) {
			hub := listen(t, mesh.Options{Permit: permit})
			victim, server, thief := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
			replies(t, server, "secret", func(mesh.Event) (any, error) { return "s3cret", nil })
			stolen := listenTo(t, thief, "**", "reply-"+victim.ID())
			ctx, cancel := context.WithCancel(t.Context())
			var wg sync.WaitGroup
			wg.Go(func() {
				guesses := []string{
					`{"rid":"` + strings.Repeat("0", 32) + `","data":"forged"}`, `{"rid":null,"error":"forged"}`, `{"rid":["x"]}`, `{"__proto__":1}`, `null`, `[]`, `"x"`,
					`{"rid":"x","data":"` + strings.Repeat("x", 100_000) + `"}`,
				}
				for i := 0; ctx.Err() == nil; i++ {
					_ = thief.Emit("reply-"+victim.ID(), json.RawMessage(guesses[i%len(guesses)])) // an event without room is not sent
					_ = thief.Flush(ctx)
				}
			})
			for range 20 {
				answer, err := victim.Request(meshtest.Context(t), "secret", nil)
				require.NoError(t, err)
				require.Equal(t, `"s3cret"`, string(answer.Payload))
				require.Equal(t, server.ID(), answer.From)
			}
			cancel()
			wg.Wait()
			flush(t, thief)
			require.NoError(t, hub.Emit("end", nil))
			heard := slices.ContainsFunc(stolen.payloads("end"), func(payload string) bool { return strings.Contains(payload, "s3cret") })
			require.Equal(t, permit == nil, heard, "every subscriber to an inbox, or to all events, gets the replies")

			// A node that receives a request can reply to it.
			replies(t, thief, "secret", func(mesh.Event) (any, error) { return "forged", nil })
			server.Close()
			answer, err := victim.Request(meshtest.Context(t), "secret", nil)
			require.NoError(t, err)
			require.Equal(t, thief.ID(), answer.From)
		})
	}
}
