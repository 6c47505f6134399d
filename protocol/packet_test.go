package protocol

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"
)

func credentials(user, password string) Headers {
	return Headers{Auth: &Auth{User: user, Password: password, HasUser: true, HasPassword: true}}
}

// originals holds packets recorded from processes of the original, and the expected results of Parse.
var originals = []struct {
	name, wire string
	want       Packet
}{
	{"handshake of a client",
		`{"event":"handshake","payload":{},"eventTable":{},"headers":{"auth":{"user":"u","password":"p"}}}`,
		Packet{Event: "handshake", Payload: raw(`{}`), EventTable: raw(`{}`), Headers: credentials("u", "p")}},
	{"a listener was added",
		`{"event":"newListener","payload":"pong1","eventTable":{},"headers":{"auth":{"user":"u","password":"p"}}}`,
		Packet{Event: "newListener", Payload: raw(`"pong1"`), EventTable: raw(`{}`), Headers: credentials("u", "p")}},
	{"handshake with a table",
		`{"event":"handshake","payload":{},"eventTable":{"mesh::pong1":{"remote":true}},"headers":{"auth":{"user":"u","password":"p"}}}`,
		Packet{Event: "handshake", Payload: raw(`{}`), EventTable: raw(`{"mesh::pong1":{"remote":true}}`), Headers: credentials("u", "p")}},
	{"event of a client",
		`{"event":"ping1","payload":{"bar":1},"eventTable":{"mesh::pong1":{"remote":true}},"headers":{"auth":{"user":"u","password":"p"}}}`,
		Packet{Event: "ping1", Payload: raw(`{"bar":1}`), EventTable: raw(`{"mesh::pong1":{"remote":true}}`), Headers: credentials("u", "p")}},
	{"client without credentials",
		`{"event":"x","payload":0,"eventTable":{},"headers":{"auth":{}}}`,
		Packet{Event: "x", Payload: raw(`0`), EventTable: raw(`{}`), Headers: Headers{Auth: &Auth{}}}},
	{"event of a hub",
		`{"event":"pong1","payload":{"n":1}}`,
		Packet{Event: "pong1", Payload: raw(`{"n":1}`)}},
	{"event of a hub without payload",
		`{"event":"pong3"}`,
		Packet{Event: "pong3"}},
}

// extensions holds packets with the fields that the original does not have.
var extensions = []struct {
	name, wire string
	want       Packet
}{
	{"handshake with an offer",
		`{"event":"handshake","payload":{},"eventTable":{},"headers":{"auth":{},"mesh":{"v":1,"key":"0123456789abcdef0123456789abcdef","name":"n"}}}`,
		Packet{Event: "handshake", Payload: raw(`{}`), EventTable: raw(`{}`), Headers: Headers{
			Auth: &Auth{}, Mesh: &Hello{V: 1, Key: "0123456789abcdef0123456789abcdef", Name: "n"}}}},
	{"hub to a peer that offered",
		`{"event":"x","payload":[1, 2],"from":"3eb1bd439947eb762998e566ccc2e099"}`,
		Packet{Event: "x", Payload: raw(`[1, 2]`), From: "3eb1bd439947eb762998e566ccc2e099"}},
	{"numbered",
		`{"event":"x","payload":1,"from":"3eb1bd439947eb762998e566ccc2e099","n":9007199254740991}`,
		Packet{Event: "x", Payload: raw(`1`), From: "3eb1bd439947eb762998e566ccc2e099", N: MaxNumber}},
	{"request",
		`{"event":"x","payload":{},"rid":"5c0d9fc5a8a74f7b2d1d1d9a4b6e7f80"}`,
		Packet{Event: "x", Payload: raw(`{}`), RID: "5c0d9fc5a8a74f7b2d1d1d9a4b6e7f80"}},
	{"nobody listens",
		`{"event":"$mesh.unheard","payload":{"rid":"5c0d9fc5a8a74f7b2d1d1d9a4b6e7f80"}}`,
		Packet{Event: NameUnheard, Payload: raw(`{"rid":"5c0d9fc5a8a74f7b2d1d1d9a4b6e7f80"}`)}},
	{"answer to an offer",
		`{"event":"$mesh.hello","payload":{"v":1,"id":"a","hub":"b","name":"c"}}`,
		Packet{Event: NameHello, Payload: raw(`{"v":1,"id":"a","hub":"b","name":"c"}`)}},
	{"refusal",
		`{"event":"$mesh.unauthorized","payload":{"message":"…"}}`,
		Packet{Event: NameUnauthorized, Payload: raw(`{"message":"…"}`)}},
	{"offer without name or credentials",
		`{"event":"handshake","headers":{"mesh":{"v":1,"key":"k"}}}`,
		Packet{Event: "handshake", Headers: Headers{Mesh: &Hello{V: 1, Key: "k"}}}},
}

func raw(s string) json.RawMessage { return json.RawMessage(s) }

func TestPacketsOnTheWireRoundTrip(t *testing.T) {
	for _, tc := range append(originals, extensions...) {
		t.Run(tc.name, func(t *testing.T) {
			var parser Parser
			for range 3 {
				got, err := parser.Parse([]byte(tc.wire))
				require.NoError(t, err)
				require.Empty(t, diff(tc.want, got))
			}
			got, err := Parse([]byte(tc.wire))
			require.NoError(t, err)
			require.Empty(t, diff(tc.want, got))
			require.Equal(t, tc.wire, string(AppendPacket(nil, &got, false)))
			require.Equal(t, "before"+tc.wire, string(AppendPacket([]byte("before"), &tc.want, false)))
		})
	}
}

// diff compares field by field, because %v hides the fields of types with credentials.
func diff(want, got Packet) string { return cmp.Diff(want, got) }

func TestParseKeepsThePayloadByteForByte(t *testing.T) {
	for _, payload := range []string{
		`null`, `0`, `-0`, `""`, `false`, `[]`, `{}`, `1e400`, `0.1000`, `12345678901234567890`, `"\u00e9\/\ud800"`, `"é"`,
		`{ "b" : 1 , "a" : [ 1,2 ] , "b":2}`, "{\n\t\"x\": 1\r\n}", nested(100),
	} {
		for _, space := range []string{"", " ", "\r\n\t "} {
			wire := `{"event":"x","payload":` + space + payload + space + `,"eventTable":null}`
			got, err := Parse([]byte(wire))
			require.NoError(t, err, wire)
			require.Equal(t, payload, string(got.Payload))
			require.Nil(t, got.EventTable)
		}
	}
}

func TestParseTakesTheLastOfDuplicates(t *testing.T) {
	got, err := Parse([]byte(`{"event":5,"payload":1,"from":1,"eventTable":{"a":{}},"headers":{"auth":{"user":"u"}},` +
		`"event":"x","payload":2,"from":"f","eventTable":null,"headers":{"auth":{"user":"a"},"auth":{"user":"b","user":"c","password":"p","password":1}}}`))
	require.NoError(t, err)
	require.Empty(t, diff(Packet{Event: "x", Payload: raw(`2`), From: "f", Headers: Headers{Auth: &Auth{User: "c", HasUser: true}}}, got))

	got, err = Parse([]byte(`{"event":"x","headers":{"auth":{"user":"u"}},"headers":null,"from":"f","from":null}`))
	require.NoError(t, err)
	require.Empty(t, diff(Packet{Event: "x"}, got))

	_, err = Parse([]byte(`{"event":"x","event":5}`))
	require.ErrorIs(t, err, ErrPacket)
}

func TestParseKnowsKeysWrittenWithEscapes(t *testing.T) {
	got, err := Parse([]byte(`{"\u0065vent":"x","p\u0061yload":1,"eventTabl\u0065":{},"\u0068eaders":{"\u0061uth":{"us\u0065r":"u"}},"fro\u006D":"f"}`))
	require.NoError(t, err)
	require.Empty(t, diff(Packet{Event: "x", Payload: raw(`1`), EventTable: raw(`{}`), From: "f", Headers: Headers{Auth: &Auth{User: "u", HasUser: true}}}, got))

	for _, key := range []string{`Event`, `EVENT`, `\u0045vent`, `event\u0000`, `even`, `events`, `\nevent`, `e\ud800vent`, `\u0065ven`, `event\u00e9`, ``} {
		_, err := Parse([]byte(`{"` + key + `":"x"}`))
		require.ErrorIs(t, err, ErrPacket, key)
	}
}

func TestParseDecodesNames(t *testing.T) {
	for in, want := range map[string]string{
		`a::b`: "a::b", `\u0061`: "a", `é`: "é", `\u00e9`: "é", `\u00E9`: "é", `\ud83d\ude00`: "😀", `😀`: "😀", `\"\\\/\b\f\n\r\t`: "\"\\/\b\f\n\r\t",
		`\u0000`: "\x00", `x\u0061x`: "xax", `\uFFFD`: "\ufffd", ` `: " ", `\ue000`: "\ue000", `$mesh.hello`: "$mesh.hello",
		strings.Repeat("x", MaxName): strings.Repeat("x", MaxName), strings.Repeat(`\u0078`, MaxName): strings.Repeat("x", MaxName),
	} {
		for _, parse := range []func([]byte) (Packet, error){Parse, new(Parser).Parse} {
			got, err := parse([]byte(`{"event":"` + in + `","from":"` + in + `","rid":"` + in + `"}`))
			require.NoError(t, err, in)
			require.Equal(t, want, got.Event)
			id := want
			if len(id) > MaxID {
				id = ""
			}
			require.Equal(t, id, got.From)
			require.Equal(t, id, got.RID)
		}
	}
}

func TestParseTakesNumbersOfEventsOnly(t *testing.T) {
	for in, want := range map[string]uint64{
		`1`: 1, `42`: 42, `9007199254740991`: MaxNumber, // the rest are not valid numbers:
		`0`: 0, `-1`: 0, `1.0`: 0, `1e3`: 0, `9007199254740992`: 0, `18446744073709551617`: 0, `"1"`: 0, `null`: 0, `[1]`: 0, `{}`: 0,
	} {
		p, err := Parse([]byte(`{"event":"x","n":` + in + `}`))
		require.NoError(t, err, in)
		require.Equal(t, want, p.N, in)
	}
}

func TestParseRefusesWhatIsNoPacket(t *testing.T) {
	long := strings.Repeat("x", MaxName+1)
	for _, tc := range []struct {
		name, in string
		kind     error
		offset   int
	}{
		{"nothing", ``, ErrJSON, 0},
		{"null", `null`, ErrPacket, 0},
		{"number", ` 5`, ErrPacket, 1},
		{"string", `"s"`, ErrPacket, 0},
		{"array", `[{"event":"x"}]`, ErrPacket, 0},
		{"numbers", `00`, ErrJSON, 1},
		{"invalid array", `[}`, ErrJSON, 1},
		{"brace", `{`, ErrJSON, 1},
		{"two packets", `{"event":"x"}{"event":"x"}`, ErrJSON, 13},
		{"no event", `{"payload":{}}`, ErrPacket, 13},
		{"empty object", `{ } `, ErrPacket, 2},
		{"event null", `{"event":null}`, ErrPacket, 9},
		{"event number", `{"event": 5}`, ErrPacket, 10},
		{"event object", `{"event":{"a":1}}`, ErrPacket, 9},
		{"event array", `{"event":["x"]}`, ErrPacket, 9},
		{"event true", `{"event":true}`, ErrPacket, 9},
		{"event empty", `{"event":""}`, ErrPacket, 9},
		{"event too long", `{"event":"` + long + `"}`, ErrLimit, 9},
		{"event too long with an escape", `{"event":"\n` + long[1:] + `"}`, ErrLimit, 9},
		{"event too long in escapes", `{"event":"` + strings.Repeat(`\u0078`, MaxName+1) + `"}`, ErrLimit, 9},
		{"event too long beyond ASCII", `{"event":"` + strings.Repeat(`é`, MaxName/2+1) + `"}`, ErrLimit, 9},
		{"event with the first half of a pair", `{"event":"\ud800"}`, ErrPacket, 9},
		{"event with the second half of a pair", `{"event":"a\udc00"}`, ErrPacket, 9},
		{"event with halves in the wrong order", `{"event":"\ude00\ud83d"}`, ErrPacket, 9},
		{"event with a half before another escape", `{"event":"\ud83d\u0041"}`, ErrPacket, 9},
		{"invalid payload", `{"event":"x","payload":tru}`, ErrJSON, 26},
		{"payload cut short", `{"event":"x","payload":{"a":1`, ErrJSON, 29},
		{"payload without value", `{"event":"x","payload":}`, ErrJSON, 23},
		{"unknown field that is invalid", `{"event":"x","z":[1,]}`, ErrJSON, 20},
		{"comma at the end", `{"event":"x",}`, ErrJSON, 13},
		{"comma missing", `{"event":"x" "payload":1}`, ErrJSON, 13},
		{"byte order mark", "\ufeff{\"event\":\"x\"}", ErrJSON, 0},
		{"NUL behind", "{\"event\":\"x\"}\x00", ErrJSON, 13},
		{"bad UTF-8 in the event", "{\"event\":\"x\xff\"}", ErrJSON, 11},
		{"bad UTF-8 in the payload", "{\"event\":\"x\",\"payload\":{\"a\":\"\xe2\x28\"}}", ErrJSON, 29},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var parser Parser
			for _, parse := range []func([]byte) (Packet, error){Parse, parser.Parse} {
				got, err := parse([]byte(tc.in))
				require.ErrorIs(t, err, tc.kind)
				require.Equal(t, tc.offset, offsetOf(t, err))
				require.Zero(t, got)
			}
		})
	}
}

func TestParseIgnoresUnknownFieldsAndWrongTypes(t *testing.T) {
	for _, in := range []string{
		`{"event":"x","extra":1,"":2,"__proto__":{"auth":1},"constructor":null}`,
		`{"event":"x","from":5}`, `{"event":"x","from":""}`, `{"event":"x","from":{"id":"f"}}`, `{"event":"x","from":"\udc00"}`, `{"event":"x","from":"` + strings.Repeat("f", MaxID+1) + `"}`,
		`{"event":"x","headers":null}`, `{"event":"x","headers":5}`, `{"event":"x","headers":"auth"}`, `{"event":"x","headers":[{"auth":{}}]}`, `{"event":"x","headers":{}}`,
		`{"event":"x","headers":{"auth":null,"mesh":null}}`, `{"event":"x","headers":{"auth":5,"mesh":"v"}}`, `{"event":"x","headers":{"auth":[],"mesh":[1]}}`,
		`{"event":"x","headers":{"Auth":{},"other":{"auth":{}}}}`, `{"event":"x","eventTable":null}`,
		" \r\n\t{ \"event\" : \"x\" } \r\n",
	} {
		got, err := Parse([]byte(in))
		require.NoError(t, err, in)
		require.Empty(t, diff(Packet{Event: "x"}, got), in)
	}
}

func TestParseReturnsAnyTableAsItIs(t *testing.T) {
	for _, table := range []string{`{}`, `{"a":null}`, `[]`, `"s"`, `5`, `true`, `{ "a" : {} }`} {
		got, err := Parse([]byte(`{"event":"x","eventTable":` + table + ` }`))
		require.NoError(t, err)
		require.Equal(t, table, string(got.EventTable))
	}
}

func TestAppendingToAParsedSliceLeavesThePacketAlone(t *testing.T) {
	wire := []byte(`{"event":"x","payload":1,"eventTable":{},"headers":{}}`)
	before := string(wire)
	got, err := Parse(wire)
	require.NoError(t, err)
	_ = append(got.Payload, "overwritten"...)
	_ = append(got.EventTable, "overwritten"...)
	require.Equal(t, before, string(wire))
}

func TestParserForgetsNothingThatDiffers(t *testing.T) {
	var parser Parser
	big := strings.Repeat("p", maxRemembered)
	for _, tc := range []struct{ event, from, user, password string }{
		{"a", "f", "u", "p"}, {"a", "f", "u", "q"}, {"b", "g", "u", "p"}, {"b", "", "v", "p"}, {`\u0062`, "g", "u", "p"}, {"b", "g", "u", big}, {"b", "g", "u", "p"},
	} {
		want, err := Parse([]byte(`{"event":"` + tc.event + `","from":"` + tc.from + `","headers":{"auth":{"user":"` + tc.user + `","password":"` + tc.password + `"}}}`))
		require.NoError(t, err)
		got, err := parser.Parse([]byte(`{"event":"` + tc.event + `","from":"` + tc.from + `","headers":{"auth":{"user":"` + tc.user + `","password":"` + tc.password + `"}}}`))
		require.NoError(t, err)
		require.Empty(t, diff(want, got))
		require.Equal(t, tc.password, got.Headers.Auth.Password)

		_, err = parser.Parse([]byte(`{"event":`))
		require.Error(t, err)
	}
	got, err := parser.Parse([]byte(`{"event":"a"}`))
	require.NoError(t, err)
	require.Empty(t, diff(Packet{Event: "a"}, got), "headers are those of the packet, not of the one before")
}

func TestAppendPacketEscapesAsJSONStringifyDoes(t *testing.T) {
	p := Packet{Event: "\x00\x1f\b\f\n\r\t\"\\/<>&\x7fé\u2028😀", From: "ü"}
	require.Equal(t, `{"event":"\u0000\u001f\b\f\n\r\t\"\\/<>&`+"\x7fé\u2028😀"+`","from":"ü"}`, string(AppendPacket(nil, &p, false)))
	require.Equal(t, `{"event":"\u0000\u001f\b\f\n\r\t\"\\/<>&`+"\x7f"+`\u00e9\u2028\ud83d\ude00","from":"\u00fc"}`, string(AppendPacket(nil, &p, true)))

	p = Packet{Event: "a\xffb\xed\xa0\x80\ufffd"}
	for _, ascii := range []bool{false, true} {
		got, err := Parse(AppendPacket(nil, &p, ascii))
		require.NoError(t, err)
		require.Equal(t, "a\ufffdb\ufffd\ufffd\ufffd\ufffd", got.Event)
	}
}

func TestAppendPacketInASCII(t *testing.T) {
	p := Packet{
		Event: "é", Payload: raw(`{"€":"😀\ud800é","n":[1]}`), From: "ü", EventTable: raw(`{"mesh::ö":{"remote":true}}`),
		Headers: Headers{Auth: &Auth{User: "ä", Password: "ß😀", HasUser: true, HasPassword: true}, Mesh: &Hello{V: 1, Key: "k", Name: "ñ", Moves: true}},
	}
	require.Equal(t, `{"event":"\u00e9","payload":{"\u20ac":"\ud83d\ude00\ud800\u00e9","n":[1]},"from":"\u00fc",`+
		`"eventTable":{"mesh::\u00f6":{"remote":true}},"headers":{"auth":{"user":"\u00e4","password":"\u00df\ud83d\ude00"},`+
		`"mesh":{"v":1,"key":"k","name":"\u00f1","moves":true}}}`, string(AppendPacket(nil, &p, true)))
}

func TestAppendPacketLeavesOutWhatIsEmpty(t *testing.T) {
	require.Equal(t, `{"event":"x"}`, string(AppendPacket(nil, &Packet{Event: "x", Payload: raw(""), EventTable: raw("")}, false)))
	require.Equal(t, `{"event":"x","payload":null}`, string(AppendPacket(nil, &Packet{Event: "x", Payload: raw("null")}, false)))
	require.Equal(t, `{"event":"x","headers":{"auth":{"user":""}}}`, string(AppendPacket(nil, &Packet{Event: "x", Headers: Headers{Auth: &Auth{HasUser: true}}}, false)))
	require.Equal(t, `{"event":"x","headers":{"auth":{"password":"p"}}}`, string(AppendPacket(nil, &Packet{Event: "x", Headers: Headers{Auth: &Auth{Password: "p"}}}, false)))
}

func TestAppendASCII(t *testing.T) {
	for in, want := range map[string]string{
		``: ``, `{}`: `{}`, `"a"`: `"a"`, `"é"`: `"\u00e9"`, `"aéb€c😀d"`: `"a\u00e9b\u20acc\ud83d\ude00d"`, `"\u00e9"`: `"\u00e9"`,
		`"` + "\U0010ffff\ue000\u0080" + `"`: `"\udbff\udfff\ue000\u0080"`, "\"\xff\"": `"\ufffd"`,
	} {
		require.Equal(t, "before"+want, string(AppendASCII([]byte("before"), []byte(in))))
	}
}
