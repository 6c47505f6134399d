package packet_test

import (
	"bytes"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func samplePackets() []packet.Packet {
	return []packet.Packet{
		text("hello"), text(strings.Repeat("é€😀", 100)), binary(everyByte()...), control(packet.Ping, "probe"), binary(), text(""),
	}
}

func TestEncodersDoNotAllocate(t *testing.T) {
	ps := samplePackets()
	dst := make([]byte, 0, 16<<10)
	requireAllocs := func(t *testing.T, want float64, fn func()) {
		t.Helper()
		require.Equal(t, want, testing.AllocsPerRun(100, fn))
	}
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			requireAllocs(t, 0, func() { packet.AppendPayload(dst, form.rev, form.enc, ps...) })
			requireAllocs(t, 0, func() { packet.AppendPayload(dst, form.rev, form.enc, ps[0], ps[2]) })
			for _, p := range ps {
				requireAllocs(t, 0, func() { packet.AppendText(dst, form.rev, p) })
				requireAllocs(t, 0, func() { packet.EncodedLen(form.rev, form.enc, p) })
				if p.Binary {
					requireAllocs(t, 0, func() { packet.AppendBinary(dst, form.rev, p) })
				}
			}
		})
	}
}

func TestParsersAllocateOnlyWhatTheyDecode(t *testing.T) {
	for _, tt := range []struct {
		name string
		want float64
		fn   func()
	}{
		{"text", 0, parsing(packet.ParseText, rev4, "4é€😀")},
		{"base64", 1, parsing(packet.ParseText, rev4, "bAQIDBA==")},
		{"empty base64", 0, parsing(packet.ParseText, rev3, "b4")},
		{"binary", 0, parsing(packet.ParseBinary, rev3, "\x04\x01\x02")},
		{"an error", 1, parsing(packet.ParseText, rev4, "4\xff")},
		{"a witness that folds", 0, func() { packet.IsDoubleUTF8([]byte("â\u0082¬")) }},
		{"text that folds", 1, func() { packet.DecodeDoubleUTF8([]byte("â\u0082¬")) }},
		{"text that does not fold", 0, func() { packet.DecodeDoubleUTF8([]byte("é")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.want, testing.AllocsPerRun(100, tt.fn))
		})
	}
}

var sink packet.Packet

func parsing(parse func(packet.Revision, []byte) (packet.Packet, error), rev packet.Revision, wire string) func() {
	b := []byte(wire)
	return func() { sink, _ = parse(rev, b) }
}

// allocated returns the number of bytes that fn allocates. It includes the allocations of other goroutines.
func allocated(fn func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	fn()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// The parser allocates no memory for a length before it has the bytes.
// Advisories: CVE-2020-36049
func TestClaimedLengthOfPackets(t *testing.T) {
	for _, wire := range []struct {
		enc packet.Encoding
		b   string
	}{
		{packet.Text, "999999999:4x"},
		{packet.TextDoubleUTF8, "999999999:4Ã©"},
		{packet.Text, "999999999:b4AQID"},
		{packet.Binary, "\x00\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff4x"},
		{packet.Binary, "\x01\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff\x04x"},
	} {
		n := allocated(func() {
			_, err := packet.ParsePayload(rev3, wire.enc, []byte(wire.b))
			require.ErrorIs(t, err, packet.ErrLength)
		})
		require.Less(t, n, uint64(64<<10), "%q", wire.b)
	}
}

// A body with very many tiny packets made engine.io slow. The parser rejects it at the first packet beyond MaxPackets,
// before it reads the remaining bytes.
// Advisories: CVE-2020-36048
func TestTooManyTinyPackets(t *testing.T) {
	const size = 1_000_000
	for _, form := range forms {
		tiny := packet.AppendPayload(nil, form.rev, form.enc, control(packet.Ping, ""), control(packet.Ping, ""))
		one := packet.EncodedLen(form.rev, form.enc, control(packet.Ping, ""))
		wire := bytes.Repeat(tiny[:one], size/one)
		n := allocated(func() {
			_, err := packet.ParsePayload(form.rev, form.enc, wire)
			requireSyntaxError(t, err, packet.ErrTooManyPackets, packet.MaxPackets*one)
		})
		require.Less(t, n, uint64(2<<20), form.name)
	}
}

// The offset shows that the parser stops at the first digit that no correct peer sends.
// Advisories: CVE-2020-36048
func TestEndlessLength(t *testing.T) {
	for _, digit := range []string{"0", "1", "9"} {
		_, err := packet.ParsePayload(rev3, packet.Text, []byte(strings.Repeat(digit, 1_000_000)))
		requireSyntaxError(t, err, packet.ErrLength, 15)
	}
	for _, digit := range []string{"\x00", "\x01", "\x09"} {
		_, err := packet.ParsePayload(rev3, packet.Binary, []byte("\x00"+strings.Repeat(digit, 1_000_000)))
		requireSyntaxError(t, err, packet.ErrLength, 16)
	}
}
