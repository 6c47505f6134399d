package mesh_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

func TestRequestsOnTheWire(t *testing.T) {
	hub := listen(t, mesh.Options{})
	hub.Reply("sum", func(e mesh.Event) (any, error) {
		if e.Payload == nil {
			return nil, errors.New("of what?")
		}
		return json.RawMessage(`{ "sum":3}`), nil
	})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(offer(testKey, ""), meshtest.Table("mesh::reply-w"))
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
	original := meshtest.Dial(t, hub.URL(), nil)
	original.Send(meshtest.Table("mesh::e", "mesh::error"), `{"event":"unheard","payload":{},"rid":"r2"}`)
	require.Empty(t, original.Received())
	w.Send(meshtest.Table("mesh::own"), `{"event":"own","rid":"r3"}`, `{"event":"error","rid":"r4"}`, `{"event":"e","rid":"r5"}`)
	require.Equal(t, []string{`{"event":"$mesh.unheard","payload":{"rid":"r3"}}`, `{"event":"$mesh.unheard","payload":{"rid":"r4"}}`}, w.Received())
	require.Equal(t, []string{`{"event":"e"}`}, original.Received())
}

func TestInvalidRequestsGetNoReply(t *testing.T) {
	hub := listen(t, mesh.Options{})
	hub.Reply("e", func(mesh.Event) (any, error) {
		t.Error("this is no request")
		return nil, nil
	})
	w := meshtest.Dial(t, hub.URL(), nil)
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

func TestRepliesOnTheWire(t *testing.T) {
	hub := listen(t, mesh.Options{})
	w := meshtest.Dial(t, hub.URL(), nil)
	w.Send(meshtest.Table("mesh::e"))
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
			answer, err := hub.Request(meshtest.Context(t), "e", nil)
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

func TestTheInboxIsAnnouncedOnceAndFirst(t *testing.T) {
	h := meshtest.StartLegacyHub(t)
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
