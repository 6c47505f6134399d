package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

// half reports whether a valid JSON string has half a surrogate pair. encoding/json replaces it with U+FFFD and so
// reads another string.
func half(raw []byte) bool {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return false
	}
	return strings.Count(s, "\ufffd") > bytes.Count(raw, []byte("\ufffd"))+strings.Count(strings.ToLower(string(raw)), `\ufffd`)
}

// decoded returns the value of b, with numbers as they are written.
func decoded(t *testing.T, b []byte) any {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	require.NoError(t, d.Decode(&v), "%q", b)
	return v
}

// agree compares err with the verdict of encoding/json about b, and reports whether b is JSON within the limits.
func agree(t *testing.T, b []byte, err error) bool {
	t.Helper()
	switch {
	case errors.Is(err, ErrLimit):
		return false
	case !utf8.Valid(b):
		require.ErrorIs(t, err, ErrJSON, "%q", b)
		return false
	case !json.Valid(b):
		require.ErrorIs(t, err, ErrJSON, "%q", b)
		require.Equal(t, jsonOffset(t, b), offsetOf(t, err), "%q", b)
		return false
	}
	require.NotErrorIs(t, err, ErrJSON, "%q", b)
	return true
}

// FuzzParse parses any bytes as a packet, and compares the result with encoding/json.
// Advisories: CVE-2022-2421, CVE-2023-32695
func FuzzParse(f *testing.F) {
	for _, tc := range append(originals, extensions...) {
		f.Add([]byte(tc.wire))
	}
	for _, in := range []string{
		`{"\u0065vent":"\ud83d\ude00","payload":"\ud800","event":"x"}`, `{"event":5}`, `null`, `[[]]`, `{"event":"x","payload":{"é":[1e5,-0.1,true,null]}}`,
		"{\"event\":\"\xff\"}", `{"event":"x","headers":{"auth":{"user":1,"password":"\ud800"},"mesh":{"v":1e1}}}`, `{"event":"\ufffd"}`, `{"event":"x"} x`,
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		before := bytes.Clone(b)
		p, err := Parse(b)
		require.Equal(t, before, b)
		var parser Parser
		for range 2 {
			again, err2 := parser.Parse(b)
			require.Equal(t, err, err2)
			require.Empty(t, cmp.Diff(p, again))
		}
		if err != nil {
			offset := offsetOf(t, err)
			require.True(t, 0 <= offset && offset <= len(b))
			require.Zero(t, p)
		}
		if !agree(t, b, err) {
			require.Error(t, err)
			return
		}

		var want map[string]json.RawMessage
		var event *string
		if json.Unmarshal(b, &want) == nil && want != nil && len(want["event"]) > 0 && want["event"][0] == '"' && !half(want["event"]) {
			require.NoError(t, json.Unmarshal(want["event"], &event))
		}
		if event == nil || *event == "" {
			require.ErrorIs(t, err, ErrPacket)
			return
		}
		require.NoError(t, err)
		require.Equal(t, *event, p.Event)
		require.LessOrEqual(t, len(p.Event), MaxName)
		require.Equal(t, string(want["payload"]), string(p.Payload))
		if table := string(want["eventTable"]); table != "null" {
			require.Equal(t, table, string(p.EventTable))
		}

		// A packet that is written and parsed again is the same packet, also in ASCII.
		again, err := Parse(AppendPacket(nil, &p, false))
		require.NoError(t, err)
		require.Empty(t, cmp.Diff(p, again))

		ascii := AppendPacket(nil, &p, true)
		require.Less(t, bytes.IndexFunc(ascii, func(r rune) bool { return r >= utf8.RuneSelf }), 0)
		again, err = Parse(ascii)
		require.NoError(t, err)
		if p.Payload != nil {
			require.Equal(t, decoded(t, p.Payload), decoded(t, again.Payload))
		}
		require.Equal(t, string(AppendASCII(nil, p.Payload)), string(again.Payload))
		p.Payload, again.Payload, p.EventTable, again.EventTable = nil, nil, nil, nil
		require.Empty(t, cmp.Diff(p, again))
	})
}

// FuzzParseEventTable parses any bytes as an event table, and compares the result with encoding/json.
// Advisories: unlimited tables
func FuzzParseEventTable(f *testing.F) {
	for _, in := range []string{
		`{}`, `null`, `{"mesh::pong1":{"remote":true},"creature::talk":{"remote":false}}`, `{"a":{},"a":null,"b":[],"c":5}`, `{"\u0061":{"remote":false,"remote":1}}`, `[]`, `{"\ud800":{}}`,
	} {
		f.Add([]byte(in))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseEventTable(b)
		if !agree(t, b, err) {
			require.Error(t, err)
			require.Nil(t, got)
			return
		}
		var entries map[string]json.RawMessage
		if json.Unmarshal(b, &entries) != nil {
			require.ErrorIs(t, err, ErrPacket)
			return
		}
		require.NoError(t, err)
		if entries == nil {
			require.Nil(t, got)
			return
		}
		if bytes.Contains(b, []byte(`\u`)) {
			// Half a surrogate pair in a key: encoding/json reads another key.
			for key := range entries {
				if strings.Contains(key, "\ufffd") {
					return
				}
			}
		}
		want := EventTable{}
		for key, raw := range entries {
			if name := TableName(key); name == "" || len(name) > MaxName {
				continue
			}
			var members map[string]json.RawMessage
			switch raw[0] {
			case '[':
				want[key] = true
			case '{':
				require.NoError(t, json.Unmarshal(raw, &members))
				want[key] = string(members["remote"]) != "false"
			}
		}
		require.Equal(t, want, got)

		again, err := ParseEventTable(got.AppendTo(nil))
		require.NoError(t, err)
		require.Equal(t, got, again)
	})
}

func FuzzAppendWithID(f *testing.F) {
	for _, in := range []string{
		`{}`, `{ }`, `{"id":1,"a":2,"id":3,"b":4}`, `{"\u0069d":{"id":1}}`, `[{"id":1}]`, `"id"`, `{"a":{"id":1}} `, `{"id":1`, ` {}`, `{"\ud800":1,"i\u0064":2}`,
	} {
		f.Add([]byte(in), "S")
	}
	f.Add([]byte(`{}`), "\"\xff\n😀")
	f.Fuzz(func(t *testing.T, payload []byte, id string) {
		before := bytes.Clone(payload)
		PayloadID(payload)
		got := AppendWithID([]byte("x"), payload, id)
		require.Equal(t, before, payload)
		require.Equal(t, byte('x'), got[0])
		got = got[1:]

		if err := CheckPayload(payload); err != nil || payload[0] != '{' {
			if !errors.Is(err, ErrLimit) {
				require.Equal(t, string(payload), string(got))
			}
			return
		}
		quoted, err := json.Marshal(id)
		require.NoError(t, err)
		want := decoded(t, payload).(map[string]any)
		want["id"] = decoded(t, quoted)
		require.Equal(t, want, decoded(t, got))

		order, count := keys(t, payload)
		if count["id"] == 0 {
			order = append(order, "id")
		}
		count["id"] = 1
		gotOrder, gotCount := keys(t, got)
		require.Equal(t, order, gotOrder)
		require.Equal(t, count, gotCount)
		if utf8.ValidString(id) && len(id) <= MaxID {
			require.Equal(t, id, PayloadID(got))
		}
	})
}

// keys returns the keys of an object in the order of their first occurrence, and the number of occurrences of each.
func keys(t *testing.T, b []byte) (order []string, count map[string]int) {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(b))
	_, err := d.Token()
	require.NoError(t, err)
	count = map[string]int{}
	for d.More() {
		key, err := d.Token()
		require.NoError(t, err)
		if count[key.(string)]++; count[key.(string)] == 1 {
			order = append(order, key.(string))
		}
		require.NoError(t, d.Decode(new(json.RawMessage)))
	}
	return order, count
}

// matches implements Match by its definition.
func matches(pattern, name []string) bool {
	// row[j] reports whether the rest of pattern matches name[j:].
	row := make([]bool, len(name)+1)
	row[len(name)] = true
	for _, p := range slices.Backward(pattern) {
		next := make([]bool, len(name)+1)
		for j := len(name); j >= 0; j-- {
			switch {
			case p == "**":
				next[j] = row[j] || j < len(name) && next[j+1]
			case j < len(name):
				next[j] = row[j+1] && (p == "*" || p == name[j])
			}
		}
		row = next
	}
	return row[0]
}

func FuzzMatch(f *testing.F) {
	for _, seed := range [][2]string{
		{"a::**::b", "a::x::b::b"}, {"**::*", "x"}, {"a::**", "a"}, {"*::", "::"}, {"**::a::**::b::*", "a::a::b::b::b"}, {"a:::b", "a:::b"}, {"a*", "a*"}, {"", ""},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, pattern, name string) {
		want := matches(strings.Split(pattern, "::"), strings.Split(name, "::"))
		require.Equal(t, want, Match(pattern, name), "%q %q", pattern, name)
		if !IsPattern(pattern) {
			require.Equal(t, want, pattern == name)
		}
		if CheckEmit(name) == nil {
			require.NoError(t, CheckListen(name))
			require.True(t, Match(name, name))
			require.True(t, Relayed(name))
			require.False(t, Reserved(name) || IsPattern(name))
		}
	})
}
