package protocol

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// fromNode is a packet that a hub receives from a client of the original, with the whole table and credentials.
var fromNode = []byte(`{"event":"chat::message","payload":{"room":"lobby","text":"hello, world","n":[1,2,3],"at":1795394813200},` +
	`"eventTable":{"mesh::listen":{"remote":false},"mesh::connect":{"remote":false},"mesh::start":{"remote":false},"http::listen":{"remote":false},"mesh::pong1":{"remote":true}},` +
	`"headers":{"auth":{"user":"u","password":"p"}}}`)

// fromHub is an event that a hub delivers to a negotiated client.
var fromHub = []byte(`{"event":"chat::message","payload":{"room":"lobby","text":"hello, world","n":[1,2,3],"at":1795394813200},"from":"3eb1bd439947eb762998e566ccc2e099"}`)

func BenchmarkParse(b *testing.B) {
	for _, bc := range []struct {
		name string
		in   []byte
	}{
		{"event", []byte(`{"event":"x","payload":{"n":1}}`)},
		{"from a Node.js client", fromNode},
		{"from a hub", fromHub},
		{"64 KB of text", []byte(`{"event":"x","payload":"` + strings.Repeat("a quick brown fox ", 3640) + `"}`)},
		{"64 KB of non-ASCII text", []byte(`{"event":"x","payload":"` + strings.Repeat("zażółć gęślą ", 3000) + `"}`)},
		{"64 KB of structure", []byte(`{"event":"x","payload":[` + strings.Repeat(`{"k":"v","n":[1.5,null]},`, 2600) + `0]}`)},
	} {
		b.Run(bc.name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(bc.in)))
			for b.Loop() {
				if _, err := Parse(bc.in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("from a Node.js client, repeated", func(b *testing.B) {
		var parser Parser
		b.ReportAllocs()
		b.SetBytes(int64(len(fromNode)))
		for b.Loop() {
			if _, err := parser.Parse(fromNode); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("from a Node.js client, with encoding/json", func(b *testing.B) {
		b.ReportAllocs()
		b.SetBytes(int64(len(fromNode)))
		for b.Loop() {
			var p struct {
				Event               string
				Payload, EventTable json.RawMessage
				Headers             struct {
					Auth struct{ User, Password string }
				}
			}
			if err := json.Unmarshal(fromNode, &p); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkAppendPacket(b *testing.B) {
	p, err := Parse(fromHub)
	require.NoError(b, err)
	for _, ascii := range []bool{false, true} {
		b.Run(fmt.Sprintf("ascii=%v", ascii), func(b *testing.B) {
			var buffer []byte
			b.ReportAllocs()
			b.SetBytes(int64(len(fromHub)))
			for b.Loop() {
				buffer = AppendPacket(buffer[:0], &p, ascii)
			}
		})
	}
}

func BenchmarkAppendWithID(b *testing.B) {
	p, err := Parse(fromHub)
	require.NoError(b, err)
	var buffer []byte
	b.ReportAllocs()
	b.SetBytes(int64(len(p.Payload)))
	for b.Loop() {
		buffer = AppendWithID(buffer[:0], p.Payload, p.From)
	}
}

func BenchmarkParseEventTable(b *testing.B) {
	p, err := Parse(fromNode)
	require.NoError(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseEventTable(p.EventTable); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkMatch(b *testing.B) {
	for _, bc := range [][2]string{
		{"chat::message", "chat::message"}, {"chat::*", "chat::message"}, {"**", "chat::message"}, {"a::**::b::*", "a::x::y::b::z"},
		{"worst", ""},
	} {
		pattern, name := bc[0], bc[1]
		if pattern == "worst" {
			pattern, name = strings.Repeat("**::a::", 70)+"b", strings.Repeat("a::", 170)+"c"
		}
		b.Run(bc[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				Match(pattern, name)
			}
		})
	}
}
