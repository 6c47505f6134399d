package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// echo replies to each request with its payload.

func echo(e mesh.Event) (any, error) { return e.Payload, nil }

// replies adds a replier to a node, and waits until its hub knows it.

func replies(t testing.TB, n *mesh.Node, event string, fn func(mesh.Event) (any, error)) (off func()) {
	t.Helper()
	off = n.Reply(event, fn)
	flush(t, n)
	return off
}

func TestRequestGetsAReply(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		var from string
		replies(t, other, "echo", func(e mesh.Event) (any, error) {
			require.Equal(t, "echo", e.Name)
			from = e.From
			return e.Payload, nil
		})
		for _, payload := range []string{
			`{"id":"mine","n":1}`, `[1, 2]`, `"text é😀 <&>"`, `0`, `-0.0`, `12345678901234567890.123`, `true`, `false`, `null`, `{}`, `[]`, `""`,
			`"\ud800"`, `{"rid":"x","reply":"reply-x","data":1}`, `{"error":"none"}`, ``,
		} {
			answer, err := n.Request(meshtest.Context(t), "echo", json.RawMessage(payload))
			require.NoError(t, err)
			want := mesh.Event{Name: "echo", From: other.ID()}
			if payload != "" {
				want.Payload = json.RawMessage(payload)
			}
			require.Empty(t, cmp.Diff(want, answer))
			require.Equal(t, n.ID(), from)
		}
	})
}

func TestNodeRepliesToItself(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		n.Reply("sum", func(e mesh.Event) (any, error) {
			var terms []int
			if err := e.Decode(&terms); err != nil {
				return nil, err
			}
			return terms[0] + terms[1], nil
		})
		answer, err := n.Request(meshtest.Context(t), "sum", []int{1, 2})
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(mesh.Event{Name: "sum", Payload: json.RawMessage(`3`), From: n.ID()}, answer))
	})
}

func TestFirstReplyCounts(t *testing.T) {
	var log meshtest.Log
	hub := listen(t, mesh.Options{})
	asking := connect(t, hub, mesh.Options{Logger: log.Logger()})
	release := make(chan struct{})
	replies(t, hub, "who", func(mesh.Event) (any, error) {
		<-release
		return "late", errors.New("late")
	})
	replies(t, connect(t, hub, mesh.Options{}), "who", func(mesh.Event) (any, error) { return "first", nil })
	for range 3 {
		answer, err := asking.Request(meshtest.Context(t), "who", nil)
		require.NoError(t, err)
		require.Equal(t, `"first"`, string(answer.Payload))
	}
	close(release)
	end := listenTo(t, asking, "end")
	flush(t, asking)
	require.NoError(t, hub.Emit("end", nil))
	end.Next()
	require.NotContains(t, log.String(), "WARN")
	require.Zero(t, asking.Stats().Malformed)
}

func TestAnotherClientReplies(t *testing.T) {
	hub := listen(t, mesh.Options{})
	a, b := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
	replies(t, b, "echo", echo)
	answer, err := a.Request(meshtest.Context(t), "echo", 1)
	require.NoError(t, err)
	require.Equal(t, b.ID(), answer.From)
}

func TestRequestsInCallbacks(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		type result struct {
			answer mesh.Event
			err    error
		}
		results := make(chan result, 1)
		ask := func(event string) func(mesh.Event) {
			return func(mesh.Event) {
				answer, err := n.Request(meshtest.Context(t), event, "asked")
				results <- result{answer, err}
			}
		}
		other.Reply("inner", echo)
		replies(t, other, "outer", func(mesh.Event) (any, error) {
			answer, err := other.Request(meshtest.Context(t), "back", "again") // n is in its callback: does it still reply?
			return answer.Payload, err
		})
		n.On("ask", ask("inner"))
		n.On("ask outer", ask("outer"))
		n.On("ask nobody", ask("nobody"))
		flush(t, n)
		flush(t, other)
		for _, from := range []*mesh.Node{n, other} {
			require.NoError(t, from.Emit("ask", nil))
			got := <-results
			require.NoError(t, got.err)
			require.Equal(t, `"asked"`, string(got.answer.Payload))

			require.NoError(t, from.Emit("ask nobody", nil))
			require.ErrorIs(t, (<-results).err, mesh.ErrNoListener)

			require.NoError(t, from.Emit("ask outer", nil))
			got = <-results
			var remote *mesh.RemoteError
			require.ErrorAs(t, got.err, &remote)
			require.Equal(t, mesh.ErrNoListener.Error(), remote.Message)
		}
	})
}

// A node's own Reply function runs after the callback that requests it. It does run then, as for any other event. The
// callback can request it in another goroutine.
func TestARequestInACallbackToTheNodeItself(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		replied := make(chan string, 2)
		n.Reply("own", func(e mesh.Event) (any, error) {
			replied <- string(e.Payload)
			return e.Payload, nil
		})
		failed := make(chan error)
		n.On("block", func(mesh.Event) {
			ctx, cancel := context.WithTimeoutCause(context.Background(), 20*time.Millisecond, errors.New("enough"))
			defer cancel()
			_, err := n.Request(ctx, "own", 1)
			failed <- err
		})
		n.On("start", func(mesh.Event) {
			go func() {
				_, err := n.Request(meshtest.Context(t), "own", 2)
				failed <- err
			}()
		})
		flush(t, n)
		require.NoError(t, other.Emit("block", nil))
		require.ErrorContains(t, <-failed, "enough")
		require.Equal(t, "1", <-replied)
		require.NoError(t, other.Emit("start", nil))
		require.NoError(t, <-failed)
		require.Equal(t, "2", <-replied)
	})
}

func TestManyRequestsAtOnce(t *testing.T) {
	hub := listen(t, mesh.Options{})
	nodes := []*mesh.Node{hub, connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})}
	for i, n := range nodes {
		replies(t, n, fmt.Sprint("echo", i), echo)
	}
	var wg sync.WaitGroup
	for i, n := range nodes {
		for g := range 10 {
			wg.Go(func() {
				for k := range 20 {
					payload := fmt.Sprintf(`"%d %d %d"`, i, g, k)
					to := (i + g + k) % len(nodes)
					answer, err := n.Request(meshtest.Context(t), fmt.Sprint("echo", to), json.RawMessage(payload))
					if err != nil || string(answer.Payload) != payload || answer.From != nodes[to].ID() {
						t.Errorf("%s: %v, %v", payload, answer, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

// A broken connection does not harm an open request if the request and the reply are not in flight then. The node does

// not send a request again.

// A node replies only to valid requests, and only under the names of inboxes, so that no peer can make it emit another

// event.

// The replies of other programs may have any content.

// A node announces one inbox, with its first request and before it.

// A request that waits while the hub is dead goes to the next hub, even if that is this node itself.

// A subscriber that Permit blocks is not a listener. An event that the hub rejects has no listeners.

// TestReplyWithoutPermissionIsNotDelivered checks that a request needs permissions for its reply, too.

// TestThiefOfReplies has a node that subscribes to everything and to another node's inbox, replies to requests of

// others, and floods the inbox. Permit can reserve an inbox for its node. From shows that another node sent the first

// reply.
