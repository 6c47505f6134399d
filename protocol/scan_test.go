package protocol

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// jsonOffset returns the offset at which encoding/json finds the fault in b, which is invalid. The appended NUL, which
// is legal nowhere, marks the end of the input. The offset in the errors of encoding/json includes the faulty byte.
func jsonOffset(t *testing.T, b []byte) int {
	t.Helper()
	var syntax *json.SyntaxError
	require.ErrorAs(t, json.Unmarshal(append(bytes.Clone(b), 0), new(any)), &syntax, "%q", b)
	return int(syntax.Offset) - 1
}

// offsetOf returns the offset of err, which must be a SyntaxError.
func offsetOf(t *testing.T, err error) int {
	t.Helper()
	var syntax *SyntaxError
	require.ErrorAs(t, err, &syntax)
	return syntax.Offset
}

// nested returns n nested arrays.
func nested(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }

func TestValidJSONIsAccepted(t *testing.T) {
	for _, in := range []string{
		`0`, `-0`, `1`, `-1`, `10`, `1.5`, `0.0`, `-0.10`, `1e3`, `1E3`, `1e+3`, `1e-3`, `0e0`, `1.5e10`, `123456789012345678901234567890.5`,
		`""`, `"a"`, `"\"\\\/\b\f\n\r\t\u0000\uABcd"`, `"é€😀"`, `"` + "\x7f" + `"`, "\"\u2028\u2029\"",
		`"\ud800"`, `"\udc00"`, `"\udc00\ud800"`, `"\ud83d\ude00"`, `"\ud800x"`,
		`true`, `false`, `null`, `[]`, `{}`, `[ ]`, `{ }`, `[1]`, `[1,2]`, `[[],{}]`, `[[[]],[]]`,
		`{"a":1}`, `{"a":{"b":[{"c":[]}]}}`, `{"":0}`, `{"a":1,"a":2}`, "\t\r\n [ \t\r\n 1 \t\r\n , \t\r\n 2 \t\r\n ] \t\r\n ",
		` { "a" : [ 1 , { "b" : null } ] , "c" : "d" } `, `{"__proto__":1}`,
		`"1234567"`, `"12345678"`, `"123456789012345é"`, `"1234567\n12345678"`,
	} {
		require.True(t, json.Valid([]byte(in)), in)
		require.NoError(t, CheckPayload([]byte(in)), in)
	}
}

func TestInvalidJSONIsRefusedWhereItGoesWrong(t *testing.T) {
	for _, tc := range []struct {
		in     string
		offset int
	}{
		{``, 0}, {`   `, 3}, {`x`, 0}, {` x`, 1}, {`1 2`, 2}, {`{} {}`, 3}, {`[]]`, 2}, {`{}}`, 2}, {"1\v", 1}, {"\u00a01", 0},
		{`tru`, 3}, {`trxe`, 2}, {`fals`, 4}, {`falsy`, 4}, {`nul`, 3}, {`nxll`, 1}, {`truee`, 4}, {`True`, 0}, {`NaN`, 0}, {`undefined`, 0},
		{`-`, 1}, {`-x`, 1}, {`+1`, 0}, {`01`, 1}, {`-01`, 2}, {`1.`, 2}, {`1.x`, 2}, {`.5`, 0}, {`1e`, 2}, {`1e+`, 3}, {`1ex`, 2}, {`1e+x`, 3}, {`0x1`, 1}, {`1_0`, 1}, {`Infinity`, 0}, {`-Infinity`, 1},
		{`"`, 1}, {`"a`, 2}, {`"12345678`, 9}, {`"\`, 2}, {`"\x"`, 2}, {`"\u"`, 3}, {`"\u12"`, 5}, {`"\u12g4"`, 5}, {`"\u`, 3}, {`"\u123`, 6}, {`"\U0041"`, 2}, {`"\'"`, 2},
		{"\"\n\"", 1}, {"\"a\x00\"", 2}, {"\"1234567\x1f\"", 8}, {"\"123456789\t\"", 10}, {`'a'`, 0},
		{`[`, 1}, {`[1`, 2}, {`[1,`, 3}, {`[1,]`, 3}, {`[,1]`, 1}, {`[1 2]`, 3}, {`[1}`, 2}, {`[}`, 1}, {`[1:2]`, 2}, {`[[]`, 3}, {`[[}`, 2},
		{`{`, 1}, {`{a:1}`, 1}, {`{1:1}`, 1}, {`{"a"`, 4}, {`{"a"}`, 4}, {`{"a":`, 5}, {`{"a":}`, 5}, {`{"a":1`, 6}, {`{"a":1,`, 7}, {`{"a":1,}`, 7}, {`{,}`, 1}, {`{"a" 1}`, 5},
		{`{"a":1]`, 6}, {`{"a":1 "b":2}`, 7}, {`{]`, 1}, {`{"a":[1}`, 7}, {`{"a":{"b":1]}`, 11}, {`[{"a":1}`, 8}, {`{"a":1,,}`, 7}, {`[1,,2]`, 3}, {`[1]/**/`, 3},
	} {
		require.Equal(t, jsonOffset(t, []byte(tc.in)), tc.offset, "the case itself: %q", tc.in)
		err := CheckPayload([]byte(tc.in))
		require.ErrorIs(t, err, ErrJSON, "%q", tc.in)
		require.Equal(t, tc.offset, offsetOf(t, err), "%q", tc.in)
	}
}

func TestInvalidUTF8IsRefusedWhereItStarts(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		offset   int
	}{
		{"lone continuation byte", "\"a\x80\"", 2},
		{"two bytes for ASCII", "\"\xc0\xaf\"", 1},
		{"cut short by the quote", "\"ab\xe2\x82\"", 3},
		{"cut short by the end", "\"\xf0\x9f\x98", 1},
		{"surrogate in three bytes", "\"1234567890\xed\xa0\x80\"", 11},
		{"beyond U+10FFFF", "\"\xf4\x90\x80\x80\"", 1},
		{"byte that UTF-8 has not", "\"\xff\"", 1},
		{"in a key", "{\"\xff\":1}", 2},
		{"after good characters", "\"é\xc3\"", 3},
		{"outside of strings", "[\xff]", 1},
		{"byte order mark", "\ufeff1", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			err := CheckPayload([]byte(tc.in))
			require.ErrorIs(t, err, ErrJSON)
			require.Equal(t, tc.offset, offsetOf(t, err))
		})
	}
}

func TestEveryCutAndEveryFlippedByteAgreesWithEncodingJSON(t *testing.T) {
	seed := []byte(`{"event":"a\u00e9b","payload":[1.5e-3,{"k":null,"é":[true,false]},"1234567890"],"headers":{}}`)
	check := func(in []byte) {
		err := CheckPayload(in)
		if !utf8.Valid(in) {
			require.Error(t, err, "%q", in)
			return
		}
		if json.Valid(in) {
			require.NoError(t, err, "%q", in)
			return
		}
		require.Equal(t, jsonOffset(t, in), offsetOf(t, err), "%q", in)
	}
	for i := range seed {
		check(seed[:i])
		for _, c := range []byte("\x00 \t\"\\{}[]:,0-+.eEtu\x7f\x80\xc3") {
			in := append([]byte(nil), seed...)
			in[i] = c
			check(in)
		}
	}
}

func TestDepthIsBoundedWithoutRecursion(t *testing.T) {
	objects := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	require.NoError(t, CheckPayload([]byte(nested(MaxDepth-1))))
	require.NoError(t, CheckPayload([]byte(objects(MaxDepth-1))))

	err := CheckPayload([]byte(nested(MaxDepth)))
	require.ErrorIs(t, err, ErrLimit)
	require.Equal(t, MaxDepth-1, offsetOf(t, err), "the bracket that is one too many")
	err = CheckPayload([]byte(objects(MaxDepth)))
	require.ErrorIs(t, err, ErrLimit)
	require.Equal(t, 5*(MaxDepth-1), offsetOf(t, err))

	_, err = Parse([]byte(`{"event":"x","payload":` + nested(MaxDepth-1) + `}`))
	require.NoError(t, err)
	_, err = Parse([]byte(`{"event":"x","payload":` + nested(MaxDepth) + `}`))
	require.ErrorIs(t, err, ErrLimit)
	require.Equal(t, len(`{"event":"x","payload":`)+MaxDepth-1, offsetOf(t, err))

	// Breadth is not depth, and the scanner distinguishes arrays from objects at any depth.
	require.NoError(t, CheckPayload([]byte("["+strings.Repeat("[],", 5000)+"[]]")))
	mixed := strings.Repeat(`[{"a":`, 200) + "[]" + strings.Repeat("}]", 200)
	require.NoError(t, CheckPayload([]byte(mixed)))
	require.Error(t, CheckPayload([]byte(strings.Replace(mixed, "}]}]", "]}}]", 1))))

	// A million brackets take no more stack than a few.
	err = CheckPayload([]byte(strings.Repeat("[", 1_000_000)))
	require.ErrorIs(t, err, ErrLimit)
}

func TestSizeIsBounded(t *testing.T) {
	big := make([]byte, MaxPacket+1) // never touched, so that it costs no memory
	_, err := Parse(big)
	require.ErrorIs(t, err, ErrLimit)
	require.Equal(t, MaxPacket, offsetOf(t, err))
	require.ErrorIs(t, CheckPayload(big), ErrLimit)
	_, err = ParseEventTable(big)
	require.ErrorIs(t, err, ErrLimit)
}

func TestErrorsSayWhereAndNeverQuoteTheInput(t *testing.T) {
	_, err := Parse([]byte(`{"event":"x","headers":{"auth":{"password":"s3cret"x`))
	require.EqualError(t, err, "protocol: expected a comma or the object's end at offset 51")
	require.NotContains(t, err.Error(), "s3cret")
	require.ErrorIs(t, err, ErrJSON)
	require.NotErrorIs(t, err, ErrLimit)
}
