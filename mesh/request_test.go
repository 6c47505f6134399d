package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/fakes"
	"github.com/bigcompany/mesh/protocol"
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
			answer, err := n.Request(fakes.Context(t), "echo", json.RawMessage(payload))
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
		answer, err := n.Request(fakes.Context(t), "sum", []int{1, 2})
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(mesh.Event{Name: "sum", Payload: json.RawMessage(`3`), From: n.ID()}, answer))
	})
}

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
			_, err := n.Request(fakes.Context(t), "fail", nil)
			var remote *mesh.RemoteError
			require.ErrorAs(t, err, &remote)
			require.Equal(t, want, remote.Message)
			require.ErrorContains(t, err, fmt.Sprintf("%q", want))
		}
	})
}

func TestReplyThatCannotBeSentIsAnError(t *testing.T) {
	var log fakes.Log
	hub := listen(t, mesh.Options{Logger: log.Logger(), MaxMessage: 10_000})
	c := connect(t, hub, mesh.Options{MaxMessage: 10_000})
	answers := map[string]any{"encode": make(chan int), "large": strings.Repeat("x", 10_000), "raw": []byte(`{"secret":`)}
	for event, answer := range answers {
		hub.Reply(event, func(mesh.Event) (any, error) { return answer, nil })
		_, err := c.Request(fakes.Context(t), event, nil)
		require.Equal(t, &mesh.RemoteError{Message: "the answer cannot be sent"}, err)
		require.Contains(t, log.String(), "event="+event)
	}
	require.Equal(t, 3, strings.Count(log.String(), "level=WARN"))
	require.NotContains(t, log.String(), "secret")
	for range 100 {
		_, err := c.Request(fakes.Context(t), "encode", nil)
		require.Error(t, err)
	}
	require.Less(t, strings.Count(log.String(), "event=encode"), 20, "a line a second")
}

func TestFirstReplyCounts(t *testing.T) {
	var log fakes.Log
	hub := listen(t, mesh.Options{})
	asking := connect(t, hub, mesh.Options{Logger: log.Logger()})
	release := make(chan struct{})
	replies(t, hub, "who", func(mesh.Event) (any, error) {
		<-release
		return "late", errors.New("late")
	})
	replies(t, connect(t, hub, mesh.Options{}), "who", func(mesh.Event) (any, error) { return "first", nil })
	for range 3 {
		answer, err := asking.Request(fakes.Context(t), "who", nil)
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

func TestRequestWithoutListenersFailsAtOnce(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		nobody := func(event string) {
			t.Helper()
			_, err := n.Request(fakes.Context(t), event, 1)
			require.ErrorIs(t, err, mesh.ErrNoListener)
		}
		answered := func(event string) {
			t.Helper()
			_, err := n.Request(fakes.Context(t), event, 1)
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

func TestAnotherClientReplies(t *testing.T) {
	hub := listen(t, mesh.Options{})
	a, b := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
	replies(t, b, "echo", echo)
	answer, err := a.Request(fakes.Context(t), "echo", 1)
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
				answer, err := n.Request(fakes.Context(t), event, "asked")
				results <- result{answer, err}
			}
		}
		other.Reply("inner", echo)
		replies(t, other, "outer", func(mesh.Event) (any, error) {
			answer, err := other.Request(fakes.Context(t), "back", "again") // n is in its callback: does it still reply?
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
				_, err := n.Request(fakes.Context(t), "own", 2)
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
					answer, err := n.Request(fakes.Context(t), fmt.Sprint("echo", to), json.RawMessage(payload))
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

func TestRequestsThatAreNotSent(t *testing.T) {
	roles(t, mesh.Options{MaxMessage: 10_000}, func(t *testing.T, n, other *mesh.Node) {
		heard := listenTo(t, other, "**")
		_, err := n.Request(fakes.Context(t), "$e", nil)
		require.ErrorIs(t, err, protocol.ErrReserved)
		_, err = n.Request(fakes.Context(t), "*", nil)
		require.ErrorIs(t, err, protocol.ErrName)
		_, err = n.Request(fakes.Context(t), "e", make(chan int))
		require.Error(t, err)
		_, err = n.Request(fakes.Context(t), "e", json.RawMessage(strings.Repeat("[", protocol.MaxDepth-1)+strings.Repeat("]", protocol.MaxDepth-1)))
		require.ErrorIs(t, err, protocol.ErrLimit)
		_, err = n.Request(fakes.Context(t), "e", strings.Repeat("x", 9_990))
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

func TestCloseEndsRequests(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		asked := make(chan struct{}, 1)
		other.On("e", func(mesh.Event) { asked <- struct{}{} })
		flush(t, other)
		failed := make(chan error, 1)
		go func() {
			_, err := n.Request(context.Background(), "e", nil)
			failed <- err
		}()
		<-asked
		require.NoError(t, n.Close())
		require.ErrorIs(t, <-failed, mesh.ErrClosed)
		_, err := n.Request(context.Background(), "e", nil)
		require.ErrorIs(t, err, mesh.ErrClosed)
	})
}

// A broken connection does not harm an open request if the request and the reply are not in flight then. The node does
// not send a request again.
func TestRequestsSurviveALostConnection(t *testing.T) {
	hub := listen(t, mesh.Options{})
	p := fakes.StartProxy(t, hub.Addr())
	c := connectTo(t, mesh.Options{Addr: p.Addr(), Transports: overWebSocket})
	asked, release := make(chan struct{}, 10), make(chan struct{})
	defer close(release)
	hub.Reply("slow", func(e mesh.Event) (any, error) {
		asked <- struct{}{}
		<-release
		return e.Payload, nil
	})
	answers := make(chan mesh.Event, 2)
	request := func(payload int) {
		answer, err := c.Request(fakes.Context(t), "slow", payload)
		if err != nil {
			t.Error(err)
		}
		answers <- answer
	}
	states := make(chan mesh.State, 100)
	c.OnState(func(s mesh.State) { states <- s })
	await := func(status mesh.Status) {
		for (<-states).Status != status {
		}
	}

	go request(1)
	<-asked
	p.Close()
	await(mesh.Disconnected)
	p.Open()
	await(mesh.Connected)
	require.ErrorIs(t, c.Flush(fakes.Context(t)), mesh.ErrUnconfirmed) // the hub knows the inbox again
	release <- struct{}{}
	require.Equal(t, "1", string((<-answers).Payload))

	p.Close()
	await(mesh.Disconnected)
	go request(2) // while there is no hub
	p.Open()
	<-asked
	release <- struct{}{}
	require.Equal(t, "2", string((<-answers).Payload))
	flush(t, c)
	require.Empty(t, asked, "each request came once")
}

func TestRequestsOnTheWire(t *testing.T) {
	hub := listen(t, mesh.Options{})
	hub.Reply("sum", func(e mesh.Event) (any, error) {
		if e.Payload == nil {
			return nil, errors.New("of what?")
		}
		return json.RawMessage(`{ "sum":3}`), nil
	})
	w := fakes.Dial(t, hub.URL(), nil)
	w.Send(offer(testKey, ""), fakes.Table("mesh::reply-w"))
	require.Contains(t, w.Next(), "$mesh.hello")
	w.Send(`{"event":"sum","payload":{"rid":"r1","reply":"reply-w","data":[1,2]},"rid":"r1"}`)
	require.Equal(t, `{"event":"reply-w","payload":{"rid":"r1","data":{ "sum":3}},"from":"`+hub.ID()+`","n":1}`, w.Next())
	w.Send(`{"event":"sum","payload":{"rid":[1, {}],"reply":"reply-w"}}`)
	require.Equal(t, `{"event":"reply-w","payload":{"rid":[1, {}],"error":"of what?"},"from":"`+hub.ID()+`","n":2}`, w.Next())

	w.Send(`{"event":"unheard","payload":{},"rid":"r2"}`, `{"event":"$mesh.unheard","payload":{},"rid":"r2"}`, `{"event":"unheard","payload":{}}`,
		`{"event":"unheard","payload":{},"rid":""}`, `{"event":"unheard","payload":{},"rid":5}`, `{"event":"unheard","rid":"`+strings.Repeat("x", 200)+`"}`)
	require.Equal(t, []string{`{"event":"$mesh.unheard","payload":{"rid":"r2"}}`}, w.Received())

	// Clients that do not offer the extensions get no report. Their listeners of the name error, and a sender's own
	// listeners, do not count as listeners.
	original := fakes.Dial(t, hub.URL(), nil)
	original.Send(fakes.Table("mesh::e", "mesh::error"), `{"event":"unheard","payload":{},"rid":"r2"}`)
	require.Empty(t, original.Received())
	w.Send(fakes.Table("mesh::own"), `{"event":"own","rid":"r3"}`, `{"event":"error","rid":"r4"}`, `{"event":"e","rid":"r5"}`)
	require.Equal(t, []string{`{"event":"$mesh.unheard","payload":{"rid":"r3"}}`, `{"event":"$mesh.unheard","payload":{"rid":"r4"}}`}, w.Received())
	require.Equal(t, []string{`{"event":"e"}`}, original.Received())
}

// A node replies only to valid requests, and only under the names of inboxes, so that no peer can make it emit another
// event.
func TestInvalidRequestsGetNoReply(t *testing.T) {
	hub := listen(t, mesh.Options{})
	hub.Reply("e", func(mesh.Event) (any, error) {
		t.Error("this is no request")
		return nil, nil
	})
	w := fakes.Dial(t, hub.URL(), nil)
	w.Send(offer(testKey, ""))
	for _, payload := range []string{
		`null`, `5`, `"x"`, `[]`, `[{"rid":"r","reply":"reply-w"}]`, `{}`, `{"rid":"r"}`, `{"reply":"reply-w"}`, `{"rid":"r","reply":5}`, `{"rid":"r","reply":null}`,
		`{"rid":"r","reply":"shutdown"}`, `{"rid":"r","reply":"reply-a::b"}`, `{"rid":"r","reply":"reply-*"}`, `{"rid":"r","reply":""}`, `{"RID":"r","Reply":"reply-w"}`,
		`{"rid":"r","reply":"$mesh.hello"}`, `{"rid":"r","reply":"reply-` + strings.Repeat("x", 600) + `"}`,
	} {
		w.Send(`{"event":"e","payload":` + payload + `}`)
	}
	w.Send(`{"event":"e"}`)
	w.Barrier()
	require.EqualValues(t, 18, hub.Stats().Received)
	end := listenTo(t, hub, "end")
	require.NoError(t, hub.Emit("end", nil))
	end.Next()
}

// The replies of other programs may have any content.
func TestRepliesOnTheWire(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := fakes.Dial(t, hub.URL(), nil)
	w.Send(fakes.Table("mesh::e"))
	w.Barrier()
	type request struct {
		Payload struct{ RID, Reply string }
	}
	for _, tt := range []struct {
		members string // after rid
		want    string
		failure string
	}{
		{`"data":3`, `3`, ""},
		{`"data":null`, `null`, ""},
		{`"other":1`, ``, ""},
		{`"data":3,"error":null`, `3`, ""},
		{`"error":"no"`, "", "no"},
		{`"data":3,"error":{"code":5}`, "", `{"code":5}`},
		{`"error":"` + strings.Repeat("x", 2000) + `"`, "", strings.Repeat("x", 1000)},
	} {
		done := make(chan struct{})
		go func() {
			defer close(done)
			answer, err := hub.Request(fakes.Context(t), "e", nil)
			if tt.failure != "" {
				var remote *mesh.RemoteError
				if !errors.As(err, &remote) || remote.Message != tt.failure {
					t.Errorf("%s: %v", tt.members, err)
				}
			} else if err != nil || string(answer.Payload) != tt.want {
				t.Errorf("%s: %q, %v", tt.members, answer.Payload, err)
			}
		}()
		var r request
		require.NoError(t, json.Unmarshal([]byte(w.Next()), &r))
		require.Equal(t, "reply-"+hub.ID(), r.Payload.Reply)
		rid := `"rid":"` + r.Payload.RID + `"`
		for _, garbage := range []string{`5`, `{}`, `{"rid":5}`, `{"rid":"unknown","data":1}`, `{"RID":"` + r.Payload.RID + `"}`, `["` + r.Payload.RID + `"]`} {
			w.Send(`{"event":"` + r.Payload.Reply + `","payload":` + garbage + `}`)
		}
		w.Send(`{"event":"` + r.Payload.Reply + `","payload":{` + rid + `,` + tt.members + `}}`)
		for range 3 { // further replies must not block the reader
			w.Send(`{"event":"` + r.Payload.Reply + `","payload":{` + rid + `,"data":"later"}}`)
		}
		<-done
		w.Barrier()
	}
}

// A node announces one inbox, with its first request and before it.
func TestTheInboxIsAnnouncedOnceAndFirst(t *testing.T) {
	h := fakes.StartLegacyHub(t)
	c := connectTo(t, mesh.Options{Addr: h.URL})
	inbox := "reply-" + c.ID()
	c.Reply("e", echo)
	flush(t, c)
	require.NotContains(t, strings.Join(h.Received("handshake"), ""), "reply-")
	before := len(h.Received("handshake"))
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		_, err := c.Request(ctx, "nobody", json.RawMessage(`[1]`))
		require.ErrorIs(t, err, context.DeadlineExceeded, "a Node.js hub does not report this")
		cancel()
	}
	flush(t, c)
	handshakes := h.Received("handshake")
	require.Len(t, handshakes, before+1)
	require.Contains(t, handshakes[before], `"mesh::`+inbox+`":{"remote":true}`)
	requests := h.Received("nobody")
	require.Len(t, requests, 3)
	for _, packet := range requests {
		require.Contains(t, packet, `"reply":"`+inbox+`","data":[1]},"headers"`, "and no rid for the hub")
	}
	require.Equal(t, []string{handshakes[before], requests[0]}, h.Packets()[len(h.Packets())-4:len(h.Packets())-2])
}

// A request that waits while the hub is dead goes to the next hub, even if that is this node itself.
func TestRequestsWhileANodeTakesOver(t *testing.T) {
	addr := stableAddr(t)
	first := start(t, mesh.Options{Addr: addr})
	nodes := []*mesh.Node{start(t, mesh.Options{Addr: addr}), start(t, mesh.Options{Addr: addr})}
	for i, n := range nodes {
		replies(t, n, fmt.Sprint("echo", i), echo)
	}
	lost := []<-chan mesh.State{states(nodes[0]), states(nodes[1])}
	require.NoError(t, first.Close())
	var wg sync.WaitGroup
	for i, n := range nodes {
		awaitStatus(t, lost[i], mesh.Disconnected)
		wg.Go(func() {
			_, err := n.Request(fakes.Context(t), "nobody", nil)
			if !errors.Is(err, mesh.ErrNoListener) {
				t.Errorf("node %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	for _, n := range nodes {
		flush(t, n)
	}
	require.NotEqual(t, nodes[0].Role(), nodes[1].Role())
	for i, n := range nodes {
		answer, err := n.Request(fakes.Context(t), fmt.Sprint("echo", 1-i), i)
		require.NoError(t, err)
		require.Equal(t, nodes[1-i].ID(), answer.From)
	}
}

// A subscriber that Permit blocks is not a listener. An event that the hub rejects has no listeners.
func TestListenersWithoutPermissionDoNotCount(t *testing.T) {
	hub := listen(t, mesh.Options{Permit: func(p mesh.PeerInfo, a mesh.Action, event string) bool {
		return a == mesh.ActionEmit && event != "refused" || a == mesh.ActionListen && event != "withheld"
	}})
	a, b := connect(t, hub, mesh.Options{}), connect(t, hub, mesh.Options{})
	replies(t, b, "**", echo)
	for _, n := range []*mesh.Node{hub, a} {
		_, err := n.Request(fakes.Context(t), "permitted", nil)
		require.NoError(t, err)
		_, err = n.Request(fakes.Context(t), "withheld", nil)
		require.ErrorIs(t, err, mesh.ErrNoListener)
	}
	_, err := a.Request(fakes.Context(t), "refused", nil)
	require.ErrorIs(t, err, mesh.ErrNoListener)
}

// TestReplyWithoutPermissionIsNotDelivered checks that a request needs permissions for its reply, too.
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
		ctx, cancel := context.WithCancel(fakes.Context(t))
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

// TestThiefOfReplies has a node that subscribes to everything and to another node's inbox, replies to requests of
// others, and floods the inbox. Permit can reserve an inbox for its node. From shows that another node sent the first
// reply.
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
				answer, err := victim.Request(fakes.Context(t), "secret", nil)
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
			answer, err := victim.Request(fakes.Context(t), "secret", nil)
			require.NoError(t, err)
			require.Equal(t, thief.ID(), answer.From)
		})
	}
}
