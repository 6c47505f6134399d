package packet_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func TestPayload(t *testing.T) {
	for _, tt := range []struct {
		name string
		rev  packet.Revision
		enc  packet.Encoding
		ps   []packet.Packet
		wire string
	}{
		{"revision 4 joins packets by 1e", rev4, packet.Text,
			[]packet.Packet{text("hello"), control(packet.Ping, ""), text("world")}, "4hello\x1e2\x1e4world"},
		{"revision 4 writes binary as base64 without a type", rev4, packet.Text,
			[]packet.Packet{text("hello"), binary(1, 2, 3, 4)}, "4hello\x1ebAQIDBA=="},
		{"revision 4 with empty packets", rev4, packet.Text,
			[]packet.Packet{binary(), text(""), binary()}, "b\x1e4\x1eb"},
		{"revision 4 keeps adjacent binary packets apart", rev4, packet.Text,
			[]packet.Packet{binary(1, 2), binary(3, 4)}, "bAQI=\x1ebAwQ="},
		{"revision 3 counts UTF-16 code units and the digit", rev3, packet.Text,
			[]packet.Packet{text("hello"), text("€")}, "6:4hello2:4€"},
		{"revision 3 counts two for a surrogate pair", rev3, packet.Text,
			[]packet.Packet{text("😀"), control(packet.Ping, "")}, "3:4😀1:2"},
		{"revision 3 in one encoding", rev3, packet.Text,
			[]packet.Packet{text("é€😀")}, "5:4é€😀"},
		{"revision 3 in two encodings counts code points below 256", rev3, packet.TextDoubleUTF8,
			[]packet.Packet{text("é€😀")}, "10:4Ã©â\u0082¬ð\u009f\u0098\u0080"},
		{"revision 3 writes base64 with a type", rev3, packet.Text,
			[]packet.Packet{binary(1, 2, 3, 4)}, "10:b4AQIDBA=="},
		{"revision 3 in two encodings leaves base64 alone", rev3, packet.TextDoubleUTF8,
			[]packet.Packet{text("é"), binary(1, 2, 3, 4), text("x")}, "3:4Ã©10:b4AQIDBA==2:4x"},
		{"revision 3 keeps text apart from binary", rev3, packet.Text,
			[]packet.Packet{binary(4, 4), text("4"), binary(), text("")}, "6:b4BAQ=2:442:b41:4"},
		{"revision 3 reads digits and colons in text as text", rev3, packet.Text,
			[]packet.Packet{text("2:4x"), text(":")}, "5:42:4x2:4:"},
		{"revision 3 binary", rev3, packet.Binary,
			[]packet.Packet{text("hello"), binary(1, 2, 3, 4)}, "\x00\x06\xff4hello\x01\x05\xff\x04\x01\x02\x03\x04"},
		{"revision 3 binary counts bytes", rev3, packet.Binary,
			[]packet.Packet{text("€")}, "\x00\x04\xff4\xe2\x82\xac"},
		{"revision 3 binary writes each digit of the length as a byte", rev3, packet.Binary,
			[]packet.Packet{text("0123456789")}, "\x00\x01\x01\xff40123456789"},
		{"revision 3 binary with empty packets", rev3, packet.Binary,
			[]packet.Packet{text(""), binary(), control(packet.Noop, "")}, "\x00\x01\xff4\x01\x01\xff\x04\x00\x01\xff6"},
		{"revision 3 binary keeps adjacent binary packets apart", rev3, packet.Binary,
			[]packet.Packet{binary(0xff, 1), binary(0, 0xff)}, "\x01\x03\xff\x04\xff\x01\x01\x03\xff\x04\x00\xff"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.wire, string(packet.AppendPayload(nil, tt.rev, tt.enc, tt.ps...)))
			ps, err := packet.ParsePayload(tt.rev, tt.enc, []byte(tt.wire))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tt.ps, ps))
		})
	}
}

func TestPayloadFormsThatAreOnlyRead(t *testing.T) {
	for _, tt := range []struct {
		name string
		rev  packet.Revision
		enc  packet.Encoding
		wire string
		want []packet.Packet
	}{
		{"unpadded base64", rev4, packet.Text, "bAQIDBA\x1e4x", []packet.Packet{binary(1, 2, 3, 4), text("x")}},
		{"unpadded base64 in revision 3", rev3, packet.Text, "8:b4AQIDBA2:4x", []packet.Packet{binary(1, 2, 3, 4), text("x")}},
		{"base64 in a binary payload", rev3, packet.Binary, "\x00\x06\xffb4AQID", []packet.Packet{binary(1, 2, 3)}},
		{"a length with leading zeros", rev3, packet.Text, "002:4x", []packet.Packet{text("x")}},
		{"a length with leading zeros in a binary payload", rev3, packet.Binary, "\x00\x00\x02\xff4x", []packet.Packet{text("x")}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ps, err := packet.ParsePayload(tt.rev, tt.enc, []byte(tt.wire))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tt.want, ps))
		})
	}
}

func TestMalformedPayload(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rev    packet.Revision
		enc    packet.Encoding
		wire   string
		cause  error
		offset int
	}{
		{"revision 4: nothing", rev4, packet.Text, "", packet.ErrEmpty, 0},
		{"revision 4: a separator alone", rev4, packet.Text, "\x1e", packet.ErrEmpty, 0},
		{"revision 4: a separator first", rev4, packet.Text, "\x1e4a", packet.ErrEmpty, 0},
		{"revision 4: a separator last", rev4, packet.Text, "4a\x1e", packet.ErrEmpty, 3},
		{"revision 4: two separators", rev4, packet.Text, "4a\x1e\x1e4b", packet.ErrEmpty, 3},
		{"revision 4: an unknown type", rev4, packet.Text, "4a\x1e7x", packet.ErrType, 3},
		{"revision 4: invalid base64", rev4, packet.Text, "4a\x1ebAQ*D\x1e4b", packet.ErrBase64, 6},
		{"revision 4: invalid UTF-8", rev4, packet.Text, "4a\x1e4\xff", packet.ErrUTF8, 4},
		{"revision 4: a character torn by a separator", rev4, packet.Text, "4\xe2\x1e4\x82\xac", packet.ErrUTF8, 1},

		{"revision 3: nothing", rev3, packet.Text, "", packet.ErrEmpty, 0},
		{"revision 3: no length", rev3, packet.Text, "hello", packet.ErrLength, 0},
		{"revision 3: a colon alone", rev3, packet.Text, ":", packet.ErrLength, 0},
		{"revision 3: no length before the colon", rev3, packet.Text, ":4x", packet.ErrLength, 0},
		{"revision 3: a length alone", rev3, packet.Text, "12", packet.ErrLength, 2},
		{"revision 3: a negative length", rev3, packet.Text, "-1:4x", packet.ErrLength, 0},
		{"revision 3: a signed length", rev3, packet.Text, "+2:4x", packet.ErrLength, 0},
		{"revision 3: a spaced length", rev3, packet.Text, " 2:4x", packet.ErrLength, 0},
		{"revision 3: a hexadecimal length", rev3, packet.Text, "0x2:4x", packet.ErrLength, 1},
		{"revision 3: a length in exponents", rev3, packet.Text, "2e0:4x", packet.ErrLength, 1},
		{"revision 3: a fraction", rev3, packet.Text, "2.0:4x", packet.ErrLength, 1},
		{"revision 3: a length of nothing", rev3, packet.Text, "0:", packet.ErrEmpty, 2},
		{"revision 3: a length of nothing, then a packet", rev3, packet.Text, "0:2:4x", packet.ErrEmpty, 2},
		{"revision 3: a length past the end", rev3, packet.Text, "3:4x", packet.ErrLength, 0},
		{"revision 3: a later length past the end", rev3, packet.Text, "2:4x9:4y", packet.ErrLength, 4},
		{"revision 3: a length in bytes where units count", rev3, packet.Text, "4:4€", packet.ErrLength, 0},
		{"revision 3: a length in code points where units count", rev3, packet.Text, "2:4😀", packet.ErrLength, 0},
		{"revision 3: a length that leaves something over", rev3, packet.Text, "2:4xy", packet.ErrLength, 4},
		{"revision 3: a length beyond an int", rev3, packet.Text, "99999999999999999999:4x", packet.ErrLength, 15},
		{"revision 3: the longest length", rev3, packet.Text, "999999999999999:4x", packet.ErrLength, 0},
		{"revision 3: the longest length and no colon", rev3, packet.Text, "999999999999999", packet.ErrLength, 15},
		{"revision 3: an unknown type", rev3, packet.Text, "2:4x2:7x", packet.ErrType, 6},
		{"revision 3: base64 without a type", rev3, packet.Text, "1:b", packet.ErrType, 3},
		{"revision 3: invalid base64", rev3, packet.Text, "2:4x5:b4A*A", packet.ErrBase64, 9},
		{"revision 3: invalid UTF-8", rev3, packet.Text, "3:4a\xff", packet.ErrUTF8, 4},
		{"revision 3: a character torn by a length", rev3, packet.Text, "2:4\xe22:4\x82", packet.ErrUTF8, 3},
		{"revision 3: revision 4", rev3, packet.Text, "4hello\x1e2", packet.ErrLength, 1},
		{"revision 3: a binary payload read as text", rev3, packet.Text, "\x00\x06\xff4hello", packet.ErrLength, 0},

		{"twice: text encoded once", rev3, packet.TextDoubleUTF8, "5:4é€😀", packet.ErrUTF8, 3},
		{"twice: a code point beyond a byte", rev3, packet.TextDoubleUTF8, "3:4x€", packet.ErrUTF8, 4},
		{"twice: a lone continuation byte", rev3, packet.TextDoubleUTF8, "3:4x\u0080", packet.ErrUTF8, 4},
		{"twice: a character cut short", rev3, packet.TextDoubleUTF8, "5:4é\u00e2\u0082x", packet.ErrUTF8, 3},
		{"twice: a character cut short at the end", rev3, packet.TextDoubleUTF8, "5:4xÃ©\u00e2", packet.ErrUTF8, 8},
		{"twice: an unpaired surrogate", rev3, packet.TextDoubleUTF8, "4:4\u00ed\u00a0\u0080", packet.ErrUTF8, 3},
		{"twice: a byte that starts nothing", rev3, packet.TextDoubleUTF8, "2:4é", packet.ErrUTF8, 3},
		{"twice: a type beyond ASCII", rev3, packet.TextDoubleUTF8, "2:\u0664x", packet.ErrType, 2},
		{"twice: invalid base64", rev3, packet.TextDoubleUTF8, "4:b4Ã©", packet.ErrBase64, 4},

		{"binary: nothing", rev3, packet.Binary, "", packet.ErrEmpty, 0},
		{"binary: a marker alone", rev3, packet.Binary, "\x00", packet.ErrLength, 1},
		{"binary: an unknown marker", rev3, packet.Binary, "\x02\x01\xff4", packet.ErrMarker, 0},
		{"binary: an unknown marker later", rev3, packet.Binary, "\x00\x01\xff4\xff", packet.ErrMarker, 4},
		{"binary: a text payload", rev3, packet.Binary, "6:4hello", packet.ErrMarker, 0},
		{"binary: no length", rev3, packet.Binary, "\x00\xff4x", packet.ErrLength, 1},
		{"binary: an unfinished length", rev3, packet.Binary, "\x00\x01\x02", packet.ErrLength, 3},
		{"binary: a length in ASCII", rev3, packet.Binary, "\x00" + "2\xff4x", packet.ErrLength, 1},
		{"binary: a digit above 9", rev3, packet.Binary, "\x00\x01\x0a\xff4x", packet.ErrLength, 2},
		{"binary: a length of nothing", rev3, packet.Binary, "\x00\x00\xff", packet.ErrEmpty, 3},
		{"binary: a length of nothing in binary", rev3, packet.Binary, "\x01\x00\xff", packet.ErrEmpty, 3},
		{"binary: a length past the end", rev3, packet.Binary, "\x00\x03\xff4x", packet.ErrLength, 1},
		{"binary: a length past the end in binary", rev3, packet.Binary, "\x00\x01\xff4\x01\x03\xff\x04x", packet.ErrLength, 5},
		{"binary: a length beyond an int", rev3, packet.Binary, "\x00" + strings.Repeat("\x09", 20) + "\xff4x", packet.ErrLength, 16},
		{"binary: the longest length", rev3, packet.Binary, "\x00" + strings.Repeat("\x09", 15) + "\xff4x", packet.ErrLength, 1},
		{"binary: a length in units where bytes count", rev3, packet.Binary, "\x00\x02\xff4€", packet.ErrUTF8, 4},
		{"binary: an ASCII type in a binary packet", rev3, packet.Binary, "\x01\x05\xff4\x01\x02\x03\x04", packet.ErrType, 3},
		{"binary: no type in a binary packet", rev3, packet.Binary, "\x01\x04\xff\x01\x02\x03\x04", packet.ErrType, 3},
		{"binary: a binary ping", rev3, packet.Binary, "\x01\x02\xff\x02x", packet.ErrType, 3},
		{"binary: a raw type in text", rev3, packet.Binary, "\x00\x02\xff\x04x", packet.ErrType, 3},
		{"binary: invalid base64", rev3, packet.Binary, "\x00\x04\xffb4A*", packet.ErrBase64, 6},
		{"binary: invalid UTF-8", rev3, packet.Binary, "\x00\x03\xff4x\xff", packet.ErrUTF8, 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ps, err := packet.ParsePayload(tt.rev, tt.enc, []byte(tt.wire))
			requireSyntaxError(t, err, tt.cause, tt.offset)
			require.Nil(t, ps)
		})
	}
}

func TestEveryCutOfAPayloadIsAnErrorOrWholePackets(t *testing.T) {
	ps := []packet.Packet{text("é€😀"), binary(everyByte()...), control(packet.Ping, "probe"), text("")}
	for _, form := range forms {
		wire := packet.AppendPayload(nil, form.rev, form.enc, ps...)
		for end := range wire {
			got, err := packet.ParsePayload(form.rev, form.enc, wire[:end])
			if err != nil {
				require.Empty(t, got)
				continue
			}
			// Revision 4 has no lengths, so a parser notices a cut only if it breaks a character or a group of base64.
			if form.rev == rev3 {
				require.Empty(t, cmp.Diff(ps[:len(got)], got), "%s cut at %d", form.name, end)
			}
		}
	}
}

// forms has every form of a payload.
var forms = []struct {
	name string
	rev  packet.Revision
	enc  packet.Encoding
}{
	{"revision 4", rev4, packet.Text},
	{"revision 3 text", rev3, packet.Text},
	{"revision 3 text twice", rev3, packet.TextDoubleUTF8},
	{"revision 3 binary", rev3, packet.Binary},
}

func TestEncodingIsIgnoredInRevision4(t *testing.T) {
	for _, enc := range []packet.Encoding{packet.Text, packet.TextDoubleUTF8, packet.Binary} {
		wire := packet.AppendPayload(nil, rev4, enc, text("é"), binary(1))
		require.Equal(t, "4é\x1ebAQ==", string(wire))
		ps, err := packet.ParsePayload(rev4, enc, wire)
		require.NoError(t, err)
		require.Empty(t, cmp.Diff([]packet.Packet{text("é"), binary(1)}, ps))
	}
}

func TestNoPacketsAreNoPayload(t *testing.T) {
	for _, form := range forms {
		require.Empty(t, packet.AppendPayload(nil, form.rev, form.enc))
	}
}

func TestPacketsAPayloadAreBounded(t *testing.T) {
	for _, form := range forms {
		t.Run(form.name, func(t *testing.T) {
			ps := make([]packet.Packet, packet.MaxPackets, packet.MaxPackets+1)
			for i := range ps {
				ps[i] = text(fmt.Sprint(i))
			}
			wire := packet.AppendPayload(nil, form.rev, form.enc, ps...)
			got, err := packet.ParsePayload(form.rev, form.enc, wire)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(ps, got))

			start := len(wire)
			if form.rev == rev4 {
				start++
			}
			wire = packet.AppendPayload(nil, form.rev, form.enc, append(ps, text("x"))...)
			got, err = packet.ParsePayload(form.rev, form.enc, wire)
			requireSyntaxError(t, err, packet.ErrTooManyPackets, start)
			require.Nil(t, got)
		})
	}
}

func TestEncodedLenIsExact(t *testing.T) {
	var ps []packet.Packet
	for _, n := range []int{0, 1, 2, 3, 7, 8, 9, 10, 98, 99, 100, 998, 999, 1000, 9998, 9999} {
		ps = append(ps, text(strings.Repeat("a", n)), binary(make([]byte, n)...),
			text(strings.Repeat("é", n)), text(strings.Repeat("€", n)), text(strings.Repeat("a😀", n)))
	}
	ps = append(ps, control(packet.Ping, "probe"), control(packet.Noop, ""), binary(everyByte()...))
	for _, form := range forms {
		sum := 0
		for _, p := range ps {
			n := packet.EncodedLen(form.rev, form.enc, p)
			sum += n
			if form.rev == rev4 {
				n--
			}
			wire := packet.AppendPayload(nil, form.rev, form.enc, p)
			require.Len(t, wire, n, form.name)
			got, err := packet.ParsePayload(form.rev, form.enc, wire)
			require.NoError(t, err)
			require.Len(t, got, 1)
			require.True(t, samePacket(p, got[0]), form.name)
		}
		if form.rev == rev4 {
			sum--
		}
		require.Len(t, packet.AppendPayload(nil, form.rev, form.enc, ps...), sum, form.name)
	}
}

// Whole splits no packet, at whatever byte a payload is cut, and it finds all complete packets at the beginning.
func TestWhole(t *testing.T) {
	packets := []packet.Packet{
		{Type: packet.Message, Data: []byte("plain")},
		{Type: packet.Ping, Data: []byte("x")},
		{Type: packet.Message, Data: []byte("Zürich €😀")},
		{Type: packet.Message, Data: []byte{0, 1, 0xFF, 58}, Binary: true},
		{Type: packet.Message, Data: []byte("é")},
	}
	for _, c := range []struct {
		rev packet.Revision
		enc packet.Encoding
	}{{packet.Revision4, packet.Text}, {packet.Revision3, packet.Text}, {packet.Revision3, packet.Binary}} {
		payload := packet.AppendPayload(nil, c.rev, c.enc, packets...)
		for cut := range payload {
			whole, rest := packet.Whole(c.rev, c.enc, payload[:cut])
			var got []packet.Packet
			if len(whole) > 0 {
				var err error
				got, err = packet.ParsePayload(c.rev, c.enc, whole)
				require.NoError(t, err, "revision %d, cut at %d", c.rev, cut)
			}
			full := packet.AppendPayload(nil, c.rev, c.enc, packets[:len(got)+1]...)
			if c.rev == packet.Revision4 {
				full = append(full, 0x1E)
			}
			require.Less(t, cut, len(full), "revision %d: the next packet is whole too", c.rev)
			more, err := packet.ParsePayload(c.rev, c.enc, append(bytes.Clone(rest), payload[cut:]...))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(packets, append(got, more...)))
		}
	}
}
