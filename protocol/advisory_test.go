package protocol

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A client of Socket.IO could emit a name that the server's emitter used for its own events.
// Advisories: CVE-2024-38355
func TestEmitterNamesAreInert(t *testing.T) {
	for _, name := range []string{"error", "removeListener", "connect", "disconnect", "connection", "message", "close", "__proto__", "constructor", "toString", "_listeners"} {
		got, err := Parse([]byte(`{"event":"` + name + `","payload":{"` + name + `":1},"` + name + `":2,"eventTable":{"` + name + `":{}}}`))
		require.NoError(t, err)
		require.Empty(t, diff(Packet{Event: name, Payload: raw(`{"` + name + `":1}`), EventTable: raw(`{"` + name + `":{}}`)}, got))
		require.True(t, Relayed(name))
		table, err := ParseEventTable(got.EventTable)
		require.NoError(t, err)
		require.Equal(t, EventTable{name: true}, table)
		require.Equal(t, `{"`+name+`":1,"id":"S"}`, string(AppendWithID(nil, got.Payload, "S")))
	}
	for _, name := range []string{NameNewListener, NameHandshake, NameHello, NameUnauthorized, "mesh::x"} {
		require.False(t, Relayed(name), name)
	}
}

// A massive packet made other parsers allocate many times its size. This parser allocates almost nothing.
// Advisories: CVE-2020-36049
func TestMassivePackets(t *testing.T) {
	for _, payload := range []string{
		`"` + strings.Repeat("x", 1_000_000) + `"`, `[` + strings.Repeat("0,", 500_000) + `0]`, `{` + strings.Repeat(`"a":{},`, 140_000) + `"a":{}}`, strings.Repeat(" ", 1_000_000) + "1", strings.Repeat("9", 1_000_000), nested(MaxDepth - 1),
	} {
		in := []byte(`{"event":"x","payload":` + payload + `}`)
		require.LessOrEqual(t, testing.AllocsPerRun(3, func() { _, _ = Parse(in) }), 1.0)
	}
	for _, in := range []string{
		`{"event":"` + strings.Repeat("x", 1_000_000) + `"}`, `{"event":"` + strings.Repeat(`\u0078`, 200_000) + `"}`, strings.Repeat("[", 1_000_000), strings.Repeat(`{"event":`, 100_000),
	} {
		_, err := Parse([]byte(in))
		require.ErrorIs(t, err, ErrLimit)
		require.Less(t, testing.AllocsPerRun(3, func() { _, _ = Parse([]byte(in)) }), 4.0)
	}
}

// Other parsers did not check the types of the values that they used as a name or an index.
// Advisories: CVE-2022-2421, CVE-2023-32695
func TestFieldTypesAreChecked(t *testing.T) {
	versions := map[string]int{`5`: 5, `-1`: -1}
	for _, v := range []string{`5`, `-1`, `1e999`, `true`, `null`, `{}`, `[]`, `["x"]`, `{"toString":"x"}`, `{"split":1}`, `{"_placeholder":true,"num":-1}`} {
		_, err := Parse([]byte(`{"event":` + v + `,"payload":{}}`))
		require.ErrorIs(t, err, ErrPacket, v)

		got, err := Parse([]byte(`{"event":"x","payload":` + v + `,"from":` + v + `,"eventTable":[` + v + `],` +
			`"headers":{"auth":{"user":` + v + `,"password":` + v + `},"mesh":{"v":` + v + `,"key":` + v + `,"name":` + v + `}}}`))
		require.NoError(t, err, v)
		require.Empty(t, diff(Packet{
			Event: "x", Payload: raw(v), EventTable: raw(`[` + v + `]`), Headers: Headers{Auth: &Auth{}, Mesh: &Hello{V: versions[v]}},
		}, got))
	}
}

// A client could forge the header that names the sender to other clients.
// Advisories: CVE-2026-33246
func TestForgedIDIsReplaced(t *testing.T) {
	for _, payload := range []string{
		`{"id":"forged"}`, `{"\u0069d":"forged"}`, `{"id":"forged","i\u0064":"forged"}`, `{"a":1,"id":{"id":"forged"},"id":"forged"}`, `{"id":"hub","\u0069\u0064":"forged"}`,
	} {
		out := AppendWithID(nil, []byte(payload), "hub")
		require.Equal(t, "hub", PayloadID(out))
		require.NotContains(t, string(out), "forged")
	}
}

// Characters in names broke the syntax of the text around the names.
// Advisories: secnote 2026-22
func TestHostileNamesRoundTrip(t *testing.T) {
	seen := map[string]string{}
	for _, name := range []string{"a\r\nb", "a b", "a\x00b", "a>", "a.b", "a\"b", `a\b`, `a\u0000b`, "a\u2028b", "a\x7fb", "\ufeffa", "a", "A", "é", "e\u0301", "a\x1eb", "\ufffd", `","event":"b`} {
		require.NoError(t, CheckEmit(name), "%q", name)
		for _, ascii := range []bool{false, true} {
			out := AppendPacket(nil, &Packet{Event: name, From: name, Payload: raw(`1`)}, ascii)
			require.Zero(t, bytes.Count(out, []byte("\n"))+bytes.Count(out, []byte("\x1e")))
			got, err := Parse(out)
			require.NoError(t, err)
			require.Equal(t, Packet{Event: name, From: name, Payload: raw(`1`)}, got)
			require.True(t, Match(name, got.Event))
			if other, ok := seen[string(out)]; ok {
				require.Equal(t, name, other, "two names look the same")
			}
			seen[string(out)] = name
		}
	}
}

// Errors are logged, so an error may not contain a peer's input, which can hold a password.
// Advisories: CVE-2026-33247
func TestErrorsQuoteNoInput(t *testing.T) {
	wire := `{"event":"secret","payload":"secret","eventTable":{"secret":{}},"headers":{"auth":{"user":"secret","password":"secret"},"mesh":{"key":"secret"}}}`
	for i := range wire {
		_, err := Parse([]byte(wire[:i]))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "secret")
		require.NotContains(t, fmt.Sprintf("%+v %#v", err, err), "secret")
	}
}

// The test prints, logs and marshals every value that holds a secret, in all the ways that a program might.
// Advisories: CVE-2026-33247
func TestSecretsAreNotPrinted(t *testing.T) {
	const user, password, key = "5ecretUser", "5ecretPass", "5ecretKey"
	auth := Auth{User: user, Password: password, HasUser: true, HasPassword: true}
	hello := Hello{V: 1, Key: key, Name: "name"}
	headers := Headers{Auth: &auth, Mesh: &hello}
	packet := Packet{Event: "x", Headers: headers}

	for _, v := range []any{auth, &auth, hello, &hello, headers, &headers, packet, &packet, []Auth{auth}, map[string]Hello{"a": hello}, struct{ A Auth }{auth}} {
		outputs := []string{}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X", "%t", "%o", "%U", "%c", "%e"} {
			outputs = append(outputs, fmt.Sprintf(verb, v))
		}
		outputs = append(outputs, fmt.Sprint(v), fmt.Errorf("wrapped: %v", v).Error())
		if b, err := json.Marshal(v); err == nil {
			outputs = append(outputs, string(b))
		}
		var log bytes.Buffer
		for _, h := range []slog.Handler{slog.NewTextHandler(&log, nil), slog.NewJSONHandler(&log, nil)} {
			slog.New(h).Info("refused", "value", v, slog.Group("group", slog.Any("inner", v)))
		}
		outputs = append(outputs, log.String())
		for _, out := range outputs {
			require.NotContains(t, strings.ToLower(out), "5ecret", "%T", v)
			require.NotContains(t, out, fmt.Sprintf("%x", "5ecret"), "%T", v)
			require.NotContains(t, out, fmt.Sprintf("%d", []byte("5ecret"))[1:18], "%T", v)
		}
	}
	require.Equal(t, `{auth: {user: present, password: present}, mesh: {v: 1, key: present, name: "name"}}`, headers.String())
	require.Equal(t, `{auth: absent, mesh: absent}`, Headers{}.String())
	require.Equal(t, `{user: absent, password: absent}`, Auth{}.String())
	require.Equal(t, `{v: 0, key: absent, name: ""}`, Hello{}.String())
	require.Contains(t, string(AppendPacket(nil, &packet, false)), password, "the wire has it")
}
