package packet_test

import (
	"strings"
	"testing"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func BenchmarkAppendPayload(b *testing.B) {
	ps := samplePackets()
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			dst := packet.AppendPayload(nil, form.rev, form.enc, ps...)
			b.SetBytes(int64(len(dst)))
			b.ReportAllocs()
			for b.Loop() {
				dst = packet.AppendPayload(dst[:0], form.rev, form.enc, ps...)
			}
		})
	}
}

func BenchmarkParsePayload(b *testing.B) {
	ps := samplePackets()
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			wire := packet.AppendPayload(nil, form.rev, form.enc, ps...)
			b.SetBytes(int64(len(wire)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := packet.ParsePayload(form.rev, form.enc, wire); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPacket encodes and parses the content of most WebSocket frames.
func BenchmarkPacket(b *testing.B) {
	p := text(strings.Repeat("x", 128))
	wire := packet.AppendText(nil, rev4, p)
	b.Run("append", func(b *testing.B) {
		b.SetBytes(int64(len(wire)))
		b.ReportAllocs()
		dst := []byte(nil)
		for b.Loop() {
			dst = packet.AppendText(dst[:0], rev4, p)
		}
	})
	b.Run("parse", func(b *testing.B) {
		b.SetBytes(int64(len(wire)))
		b.ReportAllocs()
		for b.Loop() {
			if _, err := packet.ParseText(rev4, wire); err != nil {
				b.Fatal(err)
			}
		}
	})
}
