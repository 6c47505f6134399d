package protocol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAppendWithID(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty object", `{}`, `{"id":"S"}`},
		{"empty object with space", `{ }`, `{"id":"S" }`},
		{"appended", `{"a":1}`, `{"a":1,"id":"S"}`},
		{"appended before the space", "{\n  \"a\": 1\n}", "{\n  \"a\": 1,\"id\":\"S\"\n}"},
		{"keeps its place at the front", `{"id":"mine","a":1}`, `{"id":"S","a":1}`},
		{"keeps its place in between", `{"a":1,"id":5,"b":2}`, `{"a":1,"id":"S","b":2}`},
		{"keeps its place at the end", `{"a":1, "id" : {"id":[1]} }`, `{"a":1, "id" : "S" }`},
		{"null", `{"id":null}`, `{"id":"S"}`},
		{"escaped", `{"\u0069d":1}`, `{"\u0069d":"S"}`},
		{"escaped wholly", `{"\u0069\u0064":1,"a":2}`, `{"\u0069\u0064":"S","a":2}`},
		{"duplicates", `{"id":1,"a":2,"id":3,"b":4}`, `{"id":"S","a":2,"b":4}`},
		{"duplicates only", `{"id":1,"id":2,"i\u0064":3}`, `{"id":"S"}`},
		{"duplicates at the end", `{"a":0, "id":1, "b":2, "id":3 , "\u0069d":4 }`, `{"a":0, "id":"S", "b":2 }`},
		{"nested ids stay", `{"a":{"id":1},"b":[{"id":2}]}`, `{"a":{"id":1},"b":[{"id":2}],"id":"S"}`},
		{"other keys", `{"ID":1,"Id":2,"id ":3,"idd":4,"i":5,"":6}`, `{"ID":1,"Id":2,"id ":3,"idd":4,"i":5,"":6,"id":"S"}`},
		{"strings that look like it", `{"a":"\"id\":1}","b":"{"}`, `{"a":"\"id\":1}","b":"{","id":"S"}`},
		{"array", `[{"id":1}]`, `[{"id":1}]`},
		{"string", `"id"`, `"id"`},
		{"number", `0`, `0`},
		{"null payload", `null`, `null`},
		{"nothing", ``, ``},
		{"not JSON", `{"a":1`, `{"a":1`},
		{"not JSON behind an id", `{"id":1,"a":}`, `{"id":1,"a":}`},
		{"not JSON behind the object", `{"id":1}}`, `{"id":1}}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, "before"+tc.want, string(AppendWithID([]byte("before"), []byte(tc.in), "S")))
			if strings.HasPrefix(tc.in, "{") && CheckPayload([]byte(tc.in)) == nil {
				require.Equal(t, "S", PayloadID([]byte(tc.want)))
				require.Equal(t, tc.want, string(AppendWithID(nil, []byte(tc.want), "S")), "a second time changes nothing")
			}
		})
	}
	require.Equal(t, `{"id":"\"\n\\é"}`, string(AppendWithID(nil, []byte(`{}`), "\"\n\\é")))
}

func TestPayloadID(t *testing.T) {
	for in, want := range map[string]string{
		`{"id":"a"}`: "a", `{"id":"a","id":"b"}`: "b", `{"\u0069d":"a"}`: "a", `{"id":"\u0061"}`: "a", `{ "x":{"id":"n"}, "id" : "a" }`: "a",
		`{"id":"a","id":5}`: "", `{"id":5}`: "", `{"id":null}`: "", `{"id":""}`: "", `{"id":"\ud800"}`: "", `{"id":["a"]}`: "",
		`{}`: "", `{"x":{"id":"n"}}`: "", `[{"id":"a"}]`: "", `"id"`: "", `5`: "", `null`: "", ``: "", `{"ID":"a"}`: "",
		`{"id":"` + strings.Repeat("x", MaxID) + `"}`: strings.Repeat("x", MaxID), `{"id":"` + strings.Repeat("x", MaxID+1) + `"}`: "",
	} {
		require.Equal(t, want, PayloadID([]byte(in)), in)
	}
}
