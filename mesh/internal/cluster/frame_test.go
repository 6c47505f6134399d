package cluster

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

func alike(name, from string, payloads ...string) (events []wire.Event) {
	for i, payload := range payloads {
		events = append(events, wire.Event{Name: name, Payload: json.RawMessage(payload), From: from, N: uint64(i) * protocol.MaxNumber / uint64(len(payloads))})
	}
	return events
}

// The events are the same at the other hub, in any number of frames.
func TestFramesCarryEvents(t *testing.T) {
	many, tiny := make([]string, 5000), make([]string, 5000)
	for i := range many {
		many[i] = `{"text":"` + strings.Repeat("é", i%700) + `"}`
	}
	for name, tc := range map[string]struct {
		events []wire.Event
		frames int
	}{
		"one":               {alike("a::b", "sender", `{"x":[1,null]}`), 1},
		"of nobody":         {alike("é", "", "1", "null", `""`), 1},
		"without payload":   {alike("e", "sender", "", "1", ""), 1},
		"the longest names": {alike(strings.Repeat("n", protocol.MaxName), strings.Repeat("i", protocol.MaxID), "1", "2"), 1},
		"larger than one":   {alike("e", "sender", "1", `"`+strings.Repeat("x", 2*maxFrame)+`"`, "2"), 3},
		"many":              {alike("e", "sender", many...), 64},
		"many of nothing":   {alike("e", "sender", tiny...), 10},
	} {
		t.Run(name, func(t *testing.T) {
			var got []wire.Event
			frames := 0
			for rest := tc.events; len(rest) > 0; frames++ {
				frame, n := newFrame(rest)
				require.LessOrEqual(t, n, maxFrameEvents)
				require.EqualValues(t, frameEvents, frame[0])
				events, malformed := readFrame(nil, frame[1:])
				require.Zero(t, malformed)
				require.Len(t, events, n)
				got, rest = append(got, events...), rest[n:]
			}
			require.Empty(t, cmp.Diff(tc.events, got, cmp.AllowUnexported(wire.Event{}), cmp.Transformer("text", func(b json.RawMessage) string { return string(b) })))
			require.Equal(t, tc.frames, frames)
		})
	}
}

// A frame with too many events costs no more than a frame with the maximum.
func TestFrameOfTooMany(t *testing.T) {
	frame, _ := newFrame(alike("e", "sender", "1"))
	frame = append(frame[1:], make([]byte, 1<<20)...) // every two bytes are an event without a payload
	events, malformed := readFrame(nil, frame)
	require.Len(t, events, maxFrameEvents)
	require.Equal(t, 1, malformed)
}

func FuzzReadFrame(f *testing.F) {
	for _, events := range [][]wire.Event{
		alike("e", "sender", "1", `{"a":[]}`), alike("a::b", "", "", `"x"`), alike("mesh::x", "s", "1"), alike("e", "s", "{"),
	} {
		frame, _ := newFrame(events)
		f.Add(frame[1:])
	}
	f.Add([]byte("\x01e\x01s\x80"))
	f.Fuzz(func(t *testing.T, frame []byte) {
		events, malformed := readFrame(nil, frame)
		require.True(t, malformed > 0 || len(events) > 0)
		require.LessOrEqual(t, len(events), maxFrameEvents)
		for i := range events {
			require.NoError(t, protocol.CheckEmit(events[i].Name))
			require.LessOrEqual(t, len(events[i].From), protocol.MaxID)
			require.LessOrEqual(t, events[i].N, uint64(protocol.MaxNumber))
			if len(events[i].Payload) > 0 {
				require.NoError(t, protocol.CheckPayload(events[i].Payload))
			}
		}
		if len(events) > 0 { // a new frame can carry the events
			again, n := newFrame(events)
			back, bad := readFrame(nil, again[1:])
			require.Zero(t, bad)
			require.Len(t, back, n)
		}
	})
}
