package protocol

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestParseEventTable(t *testing.T) {
	name := strings.Repeat("n", MaxName)
	for _, tc := range []struct {
		name, in string
		want     EventTable
	}{
		{"empty", `{}`, EventTable{}},
		{"null", ` null `, nil},
		{"of a client", `{"mesh::pong1":{"remote":true}}`, EventTable{"mesh::pong1": true}},
		{"of a client with resources", `{"mesh::listen":{"remote":false},"http::listen":{"remote":false},"creature::talk":{"remote":true}}`,
			EventTable{"mesh::listen": false, "http::listen": false, "creature::talk": true}},
		{"remote missing", `{"a":{},"b":{"local":false}}`, EventTable{"a": true, "b": true}},
		{"remote of another type", `{"a":{"remote":null},"b":{"remote":0},"c":{"remote":"false"},"d":{"remote":[]},"e":{"remote":{"remote":false}}}`,
			EventTable{"a": true, "b": true, "c": true, "d": true, "e": true}},
		{"remote twice", `{"a":{"remote":true,"remote":false},"b":{"remote":false,"remot\u0065":true}}`, EventTable{"a": false, "b": true}},
		{"no objects", `{"a":null,"b":5,"c":"s","d":true,"e":{}}`, EventTable{"e": true}},
		{"arrays", `{"a":[],"b":[false]}`, EventTable{"a": true, "b": true}},
		{"the last duplicate", `{"a":{"remote":false},"a":{},"b":{},"b":{"remote":false},"c":{},"\u0063":null,"d":null,"d":{}}`, EventTable{"a": true, "b": false, "d": true}},
		{"keys with escapes", `{"m\u0065sh::\u00e9":{}}`, EventTable{"mesh::é": true}},
		{"patterns", `{"mesh::**":{},"wild::*":{}}`, EventTable{"mesh::**": true, "wild::*": true}},
		{"keys that no event has", `{"":{},"mesh::":{},"\ud800":{},"` + name + `n":{},"mesh::` + name + `n":{},"mesh::` + name + `":{},"` + name + `":{}}`, EventTable{"mesh::" + name: true, name: true}},
		{"names of object members", `{"__proto__":{},"constructor":{"remote":false}}`, EventTable{"__proto__": true, "constructor": false}},
		{"space", " {\n \"a\" : { \"remote\" : false } , \"b\":{} } \n", EventTable{"a": false, "b": true}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := ParseEventTable([]byte(tc.in))
			require.NoError(t, err)
			require.Equal(t, tc.want, got)
			if got != nil {
				again, err := ParseEventTable(got.AppendTo(nil))
				require.NoError(t, err)
				require.Equal(t, got, again)
			}
		})
	}
}

func TestParseEventTableRefusesWhatIsNone(t *testing.T) {
	for _, tc := range []struct {
		in     string
		kind   error
		offset int
	}{
		{``, ErrJSON, 0}, {`{`, ErrJSON, 1}, {`{"a"}`, ErrJSON, 4}, {`{"a":{}`, ErrJSON, 7}, {`{"a":{"remote":tru}}`, ErrJSON, 18}, {`{}x`, ErrJSON, 2}, {`null x`, ErrJSON, 5}, {"{\"\xff\":{}}", ErrJSON, 2},
		{`[]`, ErrPacket, 0}, {` 5`, ErrPacket, 1}, {`"mesh::x"`, ErrPacket, 0}, {`true`, ErrPacket, 0},
	} {
		got, err := ParseEventTable([]byte(tc.in))
		require.ErrorIs(t, err, tc.kind, tc.in)
		require.Equal(t, tc.offset, offsetOf(t, err), tc.in)
		require.Nil(t, got)
	}
}

func TestTablesAreBounded(t *testing.T) {
	entries := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `,"mesh::e%d":{}`, i)
		}
		return "{" + b.String()[1:] + "}"
	}
	got, err := ParseEventTable([]byte(entries(MaxTableEntries)))
	require.NoError(t, err)
	require.Len(t, got, MaxTableEntries)
	_, err = ParseEventTable([]byte(entries(MaxTableEntries + 1)))
	require.ErrorIs(t, err, ErrLimit)
	require.Equal(t, strings.LastIndex(entries(MaxTableEntries+1), "{}"), offsetOf(t, err))
	_, err = ParseEventTable([]byte(`{` + strings.Repeat(`"a":null,`, MaxTableEntries) + `"a":{}}`))
	require.ErrorIs(t, err, ErrLimit, "entries without effect count too")

	_, err = ParseEventTable([]byte(strings.Repeat(" ", MaxTableBytes-2) + `{}`))
	require.NoError(t, err)
	_, err = ParseEventTable([]byte(strings.Repeat(" ", MaxTableBytes-1) + `{}`))
	require.ErrorIs(t, err, ErrLimit)
	require.Equal(t, MaxTableBytes, offsetOf(t, err))
}

func TestAppendToIsSortedAndValid(t *testing.T) {
	table := EventTable{"mesh::b": true, "mesh::a": false, "a::b": true, "mesh::\"é\n": true}
	out := table.AppendTo([]byte("x"))
	require.Equal(t, `x{"a::b":{"remote":true},"mesh::\"é\n":{"remote":true},"mesh::a":{"remote":false},"mesh::b":{"remote":true}}`, string(out))
	require.True(t, json.Valid(out[1:]))
	require.Equal(t, `{}`, string(EventTable{}.AppendTo(nil)))
	require.Equal(t, `{}`, string(EventTable(nil).AppendTo(nil)))
}

func TestTableName(t *testing.T) {
	for key, want := range map[string]string{
		"mesh::x": "x", "mesh::a::b": "a::b", "a::b": "a::b", "x": "x", "mesh": "mesh", "mesh:x": "mesh:x", "mesh::": "", "mesh::mesh::x": "mesh::x", "mesh::*": "*", "": "",
	} {
		require.Equal(t, want, TableName(key), key)
	}
}

func TestStepsCountsTheWorkOfPatterns(t *testing.T) {
	many := func(format string, n int) EventTable {
		t := EventTable{}
		for i := range n {
			t["mesh::"+fmt.Sprintf(format, i)] = true
		}
		return t
	}
	for want, tables := range map[int][]EventTable{
		0:  {nil, {"a": true, "mesh::a::b::c": true, "mesh::x::*::y": false, "mesh::a*::b::c": true, "mesh::mesh::*::x": true}},
		2:  {{"*": true}, {"mesh::**": true}, {"mesh::*": true, "*": true}},
		3:  {{"mesh::a::*": true}, {"*::b": true, "mesh::*::b": true}, {"mesh::**": true, "*": true}},
		4:  {{"mesh::**::b": true}, {"mesh::a::*::b": true}, many("a::*::%d", 4000), many("%d::*::b", 4000)},
		6:  {{"**::*::**::x": true}, {"mesh::**::a": true, "**::b": true}},
		66: {many("**::%d", 32), many("**::%d", 4000)},
		98: {many("**::%d::*", 4000)},
	} {
		for _, table := range tables {
			require.Equal(t, want, table.Steps(), "%v", table)
		}
	}
}

// TestTableOfHostilePatterns has the table of an attacker: a hundred of them kept both cores of a hub busy.
func TestTableOfHostilePatterns(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	table := EventTable{}
	for len(table) < 64 {
		p := "mesh::**"
		for range 15 {
			p += [...]string{"::a", "::*"}[rnd.IntN(2)]
		}
		table[p] = true
	}
	require.Greater(t, table.Steps(), MaxTableSteps)
}
