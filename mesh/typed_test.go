package mesh_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// returns checks that a typed listener gets the values that were emitted with the type.
func returns[T any](t *testing.T, n, other *mesh.Node, payloads ...T) {
	t.Helper()
	heard := make(chan T, len(payloads))
	off := mesh.On(n, "typed", func(v T, e mesh.Event) {
		require.Equal(t, "typed", e.Name)
		require.Equal(t, other.ID(), e.From)
		heard <- v
	})
	defer off()
	flush(t, n)
	for _, want := range payloads {
		require.NoError(t, mesh.Emit(other, "typed", want))
		select {
		case got := <-heard:
			require.Empty(t, cmp.Diff(want, got))
		case <-time.After(meshtest.Patience):
			require.FailNow(t, "no event came", "for %T", want)
		}
	}
}

type point struct {
	X    int            `json:"x"`
	Y    *int           `json:"y,omitempty"`
	Tags map[string]int `json:"tags,omitempty"`
}

func TestTypedEventsArriveAsTheyWereEmitted(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		y := 7
		returns(t, n, other, point{}, point{X: 1, Y: &y, Tags: map[string]int{"<é>": 2}})
		returns(t, n, other, &point{X: 1}, nil)
		returns(t, n, other, 0, -5)
		returns(t, n, other, "", "text")
		returns(t, n, other, true, false)
		returns(t, n, other, []string{"a"}, nil)
		returns(t, n, other, []byte("bytes"), []byte{})
		returns(t, n, other, json.RawMessage(`{"a":[1]}`))
		returns[any](t, n, other, "x", 1.5, nil)
		returns(t, n, other, time.Unix(1000, 0).UTC())
		require.Zero(t, n.Stats().Undecodable)
	})
}

func TestPayloadsThatDoNotFitAreReported(t *testing.T) {
	var log meshtest.Log
	hub := listen(t, mesh.Options{Logger: log.Logger()})
	c := connect(t, hub, mesh.Options{})
	got := make(chan point, 10)
	mesh.On(hub, "time", func(time.Time, mesh.Event) { t.Error("it does not fit") })
	mesh.On(hub, "number", func(int8, mesh.Event) { t.Error("it does not fit") })
	rest := listenTo(t, hub, "*")
	heard := func(events int) { // rest gets "next" after all listeners have processed the events before it
		t.Helper()
		require.NoError(t, c.Emit("next", nil))
		for range events + 1 {
			rest.Next()
		}
	}
	for _, misfit := range []string{`{"x":"secret"}`, `"secret"`, `[5551234]`, `{"x":5551234.5}`, `{"x":1,"y":{"secret":1}}`, `{"tags":{"secret":"secret"}}`} {
		off := mesh.On(hub, "point", func(point, mesh.Event) { t.Error("it does not fit") })
		require.NoError(t, c.Emit("point", json.RawMessage(misfit)))
		heard(1) // the other listeners also get the event
		off()
	}
	require.NoError(t, c.Emit("time", "secret"))
	const flood = 1000
	for range flood {
		require.NoError(t, c.Emit("number", 5551234))
	}
	heard(1 + flood)
	require.EqualValues(t, 7+flood, hub.Stats().Undecodable)
	require.Less(t, strings.Count(log.String(), "event=number"), 20, "a line a second")
	for _, want := range []string{
		"level=WARN", "event=point", "from=" + c.ID(), `error="string for int in x"`, `error="string for mesh_test.point"`,
		`error="array for mesh_test.point"`, `error="number for int in x"`, `error="object for int in y"`, "error=*time.ParseError", `error="number for int8"`,
	} {
		require.Contains(t, log.String(), want)
	}
	require.NotContains(t, log.String(), "secret")
	require.NotContains(t, log.String(), "5551234")

	mesh.On(hub, "point", func(p point, _ mesh.Event) { got <- p })
	// Absent and unknown members are allowed. Types can grow in this way, and Node.js hubs add an id.
	for _, fits := range []string{``, `null`, `{}`, `{"id":"x","z":1}`} {
		require.NoError(t, c.Emit("point", json.RawMessage(fits)))
		require.Equal(t, point{}, <-got)
	}
	require.EqualValues(t, 7+flood, hub.Stats().Undecodable)
	require.Panics(t, func() { mesh.On[int](hub, "e", nil) })
}

func TestBothFormsOfEmitEncodeTheSame(t *testing.T) {
	hub := listen(t, mesh.Options{})
	got := listenTo(t, hub, "e")
	for _, payload := range []any{nil, []byte("bytes"), []byte(nil), json.RawMessage(` {"a": [1.0]} `), json.RawMessage(nil), "<é>", (*point)(nil), point{X: 1}} {
		require.NoError(t, hub.Emit("e", payload))
		require.NoError(t, mesh.Emit(hub, "e", payload))
		want := got.Next()
		require.Equal(t, want, got.Next(), "%T", payload)
	}
	require.NoError(t, mesh.Emit(hub, "e", []byte("bytes")))
	require.Equal(t, `"Ynl0ZXM="`, string(got.Next().Payload), "as encoding/json writes it")
	require.NoError(t, mesh.Emit(hub, "e", json.RawMessage(`{"a": [1.0]}`)))
	require.Equal(t, `{"a": [1.0]}`, string(got.Next().Payload), "byte for byte")
}

func TestTypedRequests(t *testing.T) {
	roles(t, mesh.Options{}, func(t *testing.T, n, other *mesh.Node) {
		mesh.Reply(n, "sum", func(terms []int, e mesh.Event) (int, error) {
			if e.Name != "sum" || e.From != other.ID() {
				return 0, errors.New("not the requester's event")
			}
			sum := 0
			for _, v := range terms {
				sum += v
			}
			if sum < 0 {
				return 0, errors.New("negative")
			}
			return sum, nil
		})
		flush(t, n)
		ctx := meshtest.Context(t)
		sum, err := mesh.Request[int](ctx, other, "sum", []int{1, 2, 3})
		require.NoError(t, err)
		require.Equal(t, 6, sum)
		sum, err = mesh.Request[int](ctx, other, "sum", any(nil)) // null is the nil slice
		require.NoError(t, err)
		require.Zero(t, sum)

		var remote *mesh.RemoteError
		_, err = mesh.Request[int](ctx, other, "sum", []int{-1})
		require.ErrorAs(t, err, &remote)
		require.Equal(t, "negative", remote.Message)

		_, err = mesh.Request[int](ctx, other, "sum", []string{"secret"})
		require.ErrorAs(t, err, &remote)
		require.Equal(t, "the payload does not fit: string for int", remote.Message)
		require.EqualValues(t, 1, n.Stats().Undecodable)

		p, err := mesh.Request[point](ctx, other, "sum", []int{1})
		var wrong *json.UnmarshalTypeError
		require.ErrorAs(t, err, &wrong, "the reply is a number")
		require.Zero(t, p)

		mesh.Reply(n, "partly", func(struct{}, mesh.Event) (json.RawMessage, error) { return json.RawMessage(`{"x":1,"y":"text"}`), nil })
		flush(t, n)
		p, err = mesh.Request[point](ctx, other, "partly", struct{}{})
		require.ErrorAs(t, err, &wrong)
		require.Zero(t, p, "no part of the reply")

		_, err = mesh.Request[int](ctx, other, "product", 1)
		require.ErrorIs(t, err, mesh.ErrNoListener)
		_, err = mesh.Request[int](ctx, other, "sum", make(chan int))
		require.ErrorContains(t, err, "unsupported type")
	})
	require.Panics(t, func() { mesh.Reply[int, int](listen(t, mesh.Options{}), "e", nil) })
}
