package packet_test

import (
	"testing"

	"github.com/bigcompany/mesh/engineio/packet"
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
