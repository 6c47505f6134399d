package interop

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// documentedLines returns the documented programs for nodes of the original mesh: the first replies to requests, and
// the second sends them.
func documentedLines(t testing.TB) (answering, asking string) {
	t.Helper()
	page, err := os.ReadFile("../docs/node-interop.md")
	require.NoError(t, err)
	section := regexp.MustCompile(`(?s)\n## Request and reply\n(.*?)\n## `).FindSubmatch(page)
	require.NotNil(t, section)
	blocks := regexp.MustCompile("(?s)```js\n(.*?)```").FindAllSubmatch(section[1], -1)
	require.Len(t, blocks, 2)
	for _, b := range blocks {
		require.LessOrEqual(t, strings.Count(string(b[1]), "\n"), 5)
	}
	return string(blocks[0][1]), string(blocks[1][1])
}

type sumOf struct {
	A int `json:"a"`
	B int `json:"b"`
}

// TestRequestsAndRepliesOfBothKinds makes each member send requests to all members, at each kind of hub. The nodes of
// the original mesh run the lines of the documentation, with another name for the event.
func TestRequestsAndRepliesOfBothKinds(t *testing.T) {
	t.Parallel()
	answering, asking := documentedLines(t)
	require.Contains(t, answering, `'sum'`)
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{nodeKind, goKind, nodeKind, goKind})
			members := append([]member{s.hub}, s.clients...)
			for i, m := range members {
				event := fmt.Sprintf("sum%d", i)
				if original, ok := m.(nodeMember); ok {
					original.runs(t, strings.ReplaceAll(answering, `'sum'`, `'`+event+`'`))
					original.runs(t, asking+`
						mesh.ask = event => request(event, { a: 1, b: 2 }, (error, data) => {
							report({ event: 'heard', name: error || 'sum', payload: data })
						})`)
					original.runs(t, fmt.Sprintf(`mesh.emitter.on('fail%d', r => mesh.emitter.emit(r.reply, { rid: r.rid, error: 'no' }))`, i))
					continue
				}
				ours := m.(goMember)
				ours.Reply(event, func(e mesh.Event) (any, error) {
					var terms sumOf
					err := e.Decode(&terms)
					return terms.A + terms.B, err
				})
				ours.Reply(fmt.Sprintf("fail%d", i), func(mesh.Event) (any, error) { return nil, errors.New("no") })
			}
			s.sync(t)
			ours := s.clients[1].(goMember)
			for _, junk := range []string{`7`, `"x"`, `{"rid":1,"reply":"fail0","data":{}}`, `{"rid":1,"reply":"fail0"}`, `null`, ``} {
				for to := range members {
					require.NoError(t, ours.Emit(fmt.Sprintf("sum%d", to), json.RawMessage(junk)), "it is no request")
				}
			}
			for _, m := range members {
				for to := range members {
					requireAnswer(t, m, fmt.Sprintf("sum%d", to), `3`, "")
					requireAnswer(t, m, fmt.Sprintf("fail%d", to), "", "no")
				}
			}
		})
	}
}

// TestRequestsAndRepliesOfPages makes each client send requests to all clients. The pages run the lines of
// docs/browser.md in Chromium.
func TestRequestsAndRepliesOfPages(t *testing.T) {
	t.Parallel()
	answering, asking := documentedLines(t)
	lines := inDocs(t, "js")
	require.Contains(t, lines[0], `'sum'`)
	eachPage(t, func(t *testing.T, b browser, client string, hub kind) {
		s := startStarFor(t, b.origin, hub, []kind{goKind, nodeKind})
		ours, original := s.clients[0].(goMember), s.clients[1].(nodeMember)
		ours.Reply("sum0", func(e mesh.Event) (any, error) {
			var terms sumOf
			err := e.Decode(&terms)
			return terms.A + terms.B, err
		})
		ours.Reply("fail", func(mesh.Event) (any, error) { return nil, errors.New("no") })
		original.runs(t, strings.ReplaceAll(answering, `'sum'`, `'sum1'`))
		original.runs(t, asking+`
			mesh.ask = event => request(event, { a: 1, b: 2 }, (error, data) => {
				report({ event: 'heard', name: error || 'sum', payload: data })
			})`)
		var pages []pageMember
		for i := range 2 {
			page := b.load(t, b.files+client)
			page.on(t, "done")
			page.connect(t, Command{Options: hubURL(s.port)})
			page.run(t, "const node = client; "+strings.ReplaceAll(lines[0], `'sum'`, fmt.Sprintf("'sum%d'", i+2))+lines[1]+"\n;client.request = request; client.waiting = waiting")
			s.clients = append(s.clients, page)
			pages = append(pages, page)
		}
		s.sync(t)
		for _, junk := range []string{`7`, `"x"`, `{"rid":1,"reply":"fail","data":{}}`, `{"rid":1,"reply":"reply-a::b","data":{}}`, `null`, ``} {
			for i := range 4 {
				require.NoError(t, ours.Emit(fmt.Sprintf("sum%d", i), json.RawMessage(junk)), "it is no request")
			}
		}
		for to := range 4 {
			event := fmt.Sprintf("sum%d", to)
			requireAnswer(t, ours, event, `3`, "")
			requireAnswer(t, original, event, `3`, "")
			for _, page := range pages {
				require.Equal(t, `3`, page.run(t, "return client.request('"+event+"', { a: 1, b: 2 })"), event)
			}
		}
		for _, page := range pages {
			require.Equal(t, `["no","no answer",0]`, page.run(t, `
				const failed = (...all) => client.request(...all).catch(error => error.message)
				return [await failed('fail'), await failed('nobody', 1, 50), client.waiting.size]`))
		}
	})
}

// requireAnswer makes a member send a request. It requires a reply with data, or an error if failure is not empty.
func requireAnswer(t *testing.T, m member, event, data, failure string) {
	t.Helper()
	if original, ok := m.(nodeMember); ok {
		original.runs(t, `mesh.ask('`+event+`')`)
		got := original.MustAwait(t, "heard")
		if failure != "" {
			require.Equal(t, failure, got.Name, event)
			return
		}
		require.Equal(t, "sum", got.Name, event)
		require.Equal(t, data, string(got.Payload), event)
		return
	}
	ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
	defer cancel()
	answer, err := m.(goMember).Request(ctx, event, sumOf{1, 2})
	if failure != "" {
		require.Equal(t, &mesh.RemoteError{Message: failure}, err, event)
		return
	}
	require.NoError(t, err, event)
	require.Equal(t, data, string(answer.Payload), event)
}

// TestPayloadsOfRequestsSurviveANodeHub checks that the payloads of requests and replies arrive unchanged, although a
// Node.js hub writes an ID into the events that carry them.
func TestPayloadsOfRequestsSurviveANodeHub(t *testing.T) {
	t.Parallel()
	s := startStar(t, nodeKind, []kind{goKind, goKind, nodeKind})
	a, b := s.clients[0].(goMember), s.clients[1].(goMember)
	original := s.clients[2].(nodeMember)
	b.Reply("echo", func(e mesh.Event) (any, error) { return e.Payload, nil })
	b.flush(t)
	original.runs(t, `mesh.emitter.on('echo at node', r => mesh.emitter.emit(r.reply, { rid: r.rid, data: r.data }))`)
	s.sync(t)
	ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
	defer cancel()
	for _, event := range []string{"echo", "echo at node"} {
		for _, payload := range []string{`{"id":"mine","n":1}`, `[1,2]`, `"text é😀"`, `""`, `7`, `0`, `true`, `false`, `null`, ``} {
			answer, err := a.Request(ctx, event, json.RawMessage(payload))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(payload, string(answer.Payload)))
			require.NotEmpty(t, answer.From, "the ID that the hub wrote")
		}
	}
}

// TestNobodyListeningOnBothHubs sends a request without a subscriber. At a Go hub the request fails. At a Node.js hub
// it waits until its context ends.
func TestNobodyListeningOnBothHubs(t *testing.T) {
	t.Parallel()
	for _, hub := range []kind{nodeKind, goKind} {
		t.Run(fmt.Sprintf("%s hub", hub), func(t *testing.T) {
			t.Parallel()
			s := startStar(t, hub, []kind{goKind, nodeKind})
			c := s.clients[0].(goMember)
			ctx, cancel := context.WithTimeout(t.Context(), AwaitTimeout)
			defer cancel()
			failed := make(chan error, 1)
			asked := make(chan struct{})
			c.OnAny(func(e mesh.Event) {
				if e.Name == "nobody" {
					close(asked)
				}
			})
			go func() {
				_, err := c.Request(ctx, "nobody", nil)
				failed <- err
			}()
			<-asked
			if hub == goKind {
				require.ErrorIs(t, <-failed, mesh.ErrNoListener)
				return
			}
			s.sync(t) // the hub has handled the request
			s.settle(t, c)
			require.Empty(t, failed)
			cancel()
			require.ErrorIs(t, <-failed, context.Canceled)
		})
	}
}
