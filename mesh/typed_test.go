package mesh_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/fakes"
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
		case <-time.After(fakes.Patience):
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
		returns(t, n, other, []byte("bytes"), []byte{}) // Node.Emit would treat it as JSON
		returns(t, n, other, json.RawMessage(`{"a":[1]}`))
		returns[any](t, n, other, "x", 1.5, nil)
		returns(t, n, other, time.Unix(1000, 0).UTC())
		require.Zero(t, n.Stats().Undecodable)
	})
}

func TestPayloadsThatDoNotFitAreReported(t *testing.T) {
	var log fakes.Log
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
