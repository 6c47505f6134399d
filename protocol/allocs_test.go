package protocol

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAllocations(t *testing.T) {
	guard := func(name string, most float64, f func()) {
		t.Helper()
		require.LessOrEqual(t, testing.AllocsPerRun(100, f), most, name)
	}
	var (
		parser  Parser
		buffer  = make([]byte, 0, 64<<10)
		event   = []byte(`{"event":"chat::message","payload":{"n":1}}`)
		escaped = []byte(`{"event":"caf\u00e9","payload":"\u00e9","\u0065xtra":{}}`)
		payload = []byte(`{"a":{"id":1},"b":[1,2],"\u0069d":"mine","c":"é"}`)
		big     = []byte(`{"event":"x","payload":[` + strings.Repeat(`{"k":"v","n":[1.5,null]},`, 5000) + `0]}`)
	)
	packet, err := Parse(fromNode)
	require.NoError(t, err)

	guard("Parse: the event's name", 1, func() { _, _ = Parse(event) })
	guard("Parse: name in escapes", 1, func() { _, _ = Parse(escaped) })
	guard("Parse: name and sender", 2, func() { _, _ = Parse(fromHub) })
	guard("Parse: name, user, password and the struct of both", 4, func() { _, _ = Parse(fromNode) })
	guard("Parse: nothing by size or depth", 1, func() { _, _ = Parse(big) })
	guard("Parser: no allocation for repeated parts", 0, func() { _, _ = parser.Parse(fromNode) })
	guard("Parser: nor between hubs and clients", 0, func() { _, _ = parser.Parse(fromHub) })
	guard("CheckPayload", 0, func() { _ = CheckPayload(payload) })
	guard("AppendPacket", 0, func() { buffer = AppendPacket(buffer[:0], &packet, false) })
	guard("AppendPacket in ASCII", 0, func() { buffer = AppendPacket(buffer[:0], &packet, true) })
	guard("AppendASCII", 0, func() { buffer = AppendASCII(buffer[:0], payload) })
	guard("AppendWithID", 0, func() { buffer = AppendWithID(buffer[:0], payload, "3eb1bd439947eb762998e566ccc2e099") })
	guard("PayloadID: the string", 1, func() { _ = PayloadID(payload) })
	guard("Match", 0, func() { _ = Match("a::**::b::*", "a::x::y::b::z") })
	guard("Relayed", 0, func() { _ = Relayed("a::*") })
	guard("CheckListen of a good pattern", 0, func() { _ = CheckListen("a::**::*") })
	guard("TableName", 0, func() { _ = TableName("mesh::x") })
}
