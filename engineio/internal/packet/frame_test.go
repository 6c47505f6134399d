package packet_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func TestPacketAsText(t *testing.T) {
	for _, tt := range []struct {
		name string
		rev  packet.Revision
		p    packet.Packet
		wire string
	}{
		{"text", rev4, text("hello"), "4hello"},
		{"text in revision 3", rev3, text("hello"), "4hello"},
		{"unicode is encoded once in both", rev3, text("é€😀"), "4é€😀"},
		{"empty text", rev4, text(""), "4"},
		{"empty text in revision 3", rev3, text(""), "4"},
		{"open", rev4, control(packet.Open, `{"sid":"x"}`), `0{"sid":"x"}`},
		{"close", rev4, control(packet.Close, ""), "1"},
		{"ping", rev3, control(packet.Ping, ""), "2"},
		{"probe", rev4, control(packet.Ping, "probe"), "2probe"},
		{"pong", rev4, control(packet.Pong, "probe"), "3probe"},
		{"upgrade", rev4, control(packet.Upgrade, ""), "5"},
		{"noop", rev3, control(packet.Noop, ""), "6"},
		{"a probe sent as text is no probe", rev4, text("2probe"), "42probe"},
		{"a probe sent as text is no probe in revision 3", rev3, text("2probe"), "42probe"},
		{"text that looks like base64", rev4, text("bAQIDBA=="), "4bAQIDBA=="},
		{"text that looks like base64 in revision 3", rev3, text("b4AQIDBA=="), "4b4AQIDBA=="},
		{"text that looks like a packet", rev3, text("4hello"), "44hello"},
		{"the separator is text in a frame", rev4, text("a\x1eb"), "4a\x1eb"},
		{"binary has no type digit in revision 4", rev4, binary(1, 2, 3, 4), "bAQIDBA=="},
		{"binary has one in revision 3", rev3, binary(1, 2, 3, 4), "b4AQIDBA=="},
		{"base64 that starts with 4 is not the digit of revision 3", rev4, binary(0xe2, 0x18, 0x65, 0x96), "b4hhllg=="},
		{"base64 that starts with 4 after the digit", rev3, binary(0xe2, 0x18, 0x65, 0x96), "b44hhllg=="},
		{"empty binary", rev4, binary(), "b"},
		{"empty binary in revision 3", rev3, binary(), "b4"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.wire, string(packet.AppendText(nil, tt.rev, tt.p)))
			p, err := packet.ParseText(tt.rev, []byte(tt.wire))
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tt.p, p))
		})
	}
}

func TestBase64PaddingIsOptional(t *testing.T) {
	for wire, want := range map[string]packet.Packet{
		"AQIDBA==": binary(1, 2, 3, 4),
		"AQIDBA":   binary(1, 2, 3, 4),
		"AQIDBAU=": binary(1, 2, 3, 4, 5),
		"AQIDBAU":  binary(1, 2, 3, 4, 5),
		"AQID":     binary(1, 2, 3),
		"+/8=":     binary(0xfb, 0xff),
		"+/8":      binary(0xfb, 0xff),
	} {
		for rev, prefix := range map[packet.Revision]string{rev3: "b4", rev4: "b"} {
			p, err := packet.ParseText(rev, []byte(prefix+wire))
			require.NoError(t, err, wire)
			require.Empty(t, cmp.Diff(want, p), wire)
		}
	}
}

func TestMalformedText(t *testing.T) {
	for _, tt := range []struct {
		name   string
		rev    packet.Revision
		wire   string
		cause  error
		offset int
	}{
		{"nothing", rev4, "", packet.ErrEmpty, 0},
		{"nothing in revision 3", rev3, "", packet.ErrEmpty, 0},
		{"a type beyond the last", rev4, "7x", packet.ErrType, 0},
		{"a type before the first", rev3, "/", packet.ErrType, 0},
		{"a letter for a type", rev4, "abc", packet.ErrType, 0},
		{"a type as a raw byte", rev3, "\x04hello", packet.ErrType, 0},
		{"a type beyond ASCII", rev4, "\u0664x", packet.ErrType, 0},
		{"the separator alone", rev4, "\x1e", packet.ErrType, 0},
		{"base64 without a type in revision 3", rev3, "b", packet.ErrType, 1},
		{"base64 as revision 4 writes it, read in revision 3", rev3, "bAQIDBA==", packet.ErrType, 1},
		{"a binary ping", rev3, "b2AQIDBA==", packet.ErrType, 1},
		{"a binary packet of no type", rev3, "b7AQIDBA==", packet.ErrType, 1},
		{"a byte that is not base64", rev4, "bAQ!D", packet.ErrBase64, 3},
		{"a byte that is not base64 in revision 3", rev3, "b4AQ!D", packet.ErrBase64, 4},
		{"a byte that is not base64 far in", rev4, "b" + strings.Repeat("AAAA", 100) + "A*AA", packet.ErrBase64, 402},
		{"base64 of the URL alphabet", rev4, "bAQID-_8=", packet.ErrBase64, 5},
		{"one base64 digit", rev4, "bA", packet.ErrBase64, 1},
		{"half a base64 group", rev4, "bAAAAA", packet.ErrBase64, 5},
		{"padding alone", rev4, "b=", packet.ErrBase64, 1},
		{"too little padding", rev4, "bAA=", packet.ErrBase64, 4},
		{"too much padding", rev4, "bAAA==", packet.ErrBase64, 5},
		{"padding inside", rev4, "bAA==AA==", packet.ErrBase64, 5},
		{"a line break in base64", rev4, "bAQID\nBA==", packet.ErrBase64, 5},
		{"a line break behind base64", rev3, "b4AQIDBA==\r\n", packet.ErrBase64, 10},
		{"a stray continuation byte", rev4, "4ab\x80", packet.ErrUTF8, 3},
		{"a character cut short", rev3, "4a\xe2\x82", packet.ErrUTF8, 2},
		{"an overlong character", rev4, "4\xc0\xaf", packet.ErrUTF8, 1},
		{"an unpaired surrogate", rev4, "4é\xed\xa0\x80", packet.ErrUTF8, 3},
		{"a code point too high", rev4, "4\xf4\x90\x80\x80", packet.ErrUTF8, 1},
		{"invalid text in a ping", rev4, "2\xff", packet.ErrUTF8, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := packet.ParseText(tt.rev, []byte(tt.wire))
			requireSyntaxError(t, err, tt.cause, tt.offset)
			require.Zero(t, p)
		})
	}
}

func TestReplacementCharacterIsText(t *testing.T) {
	p, err := packet.ParseText(rev4, []byte("4\ufffd"))
	require.NoError(t, err)
	require.Equal(t, "\ufffd", string(p.Data))
}

func TestPacketAsBinary(t *testing.T) {
	for _, tt := range []struct {
		name string
		rev  packet.Revision
		p    packet.Packet
		wire []byte
	}{
		{"revision 4 adds nothing", rev4, binary(1, 2, 3, 4), []byte{1, 2, 3, 4}},
		{"revision 3 adds the type as a raw byte, and nothing else", rev3, binary(1, 2, 3, 4), []byte{4, 1, 2, 3, 4}},
		{"bytes that look like the type byte stay", rev4, binary(4, 4), []byte{4, 4}},
		{"bytes that look like the type byte stay in revision 3", rev3, binary(4, 4), []byte{4, 4, 4}},
		{"empty", rev4, binary(), nil},
		{"empty in revision 3", rev3, binary(), []byte{4}},
		{"invalid UTF-8 is data", rev4, binary(0xff, 0x1e), []byte{0xff, 0x1e}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			require.Equal(t, tt.wire, packet.AppendBinary(nil, tt.rev, tt.p))
			p, err := packet.ParseBinary(tt.rev, tt.wire)
			require.NoError(t, err)
			require.Empty(t, cmp.Diff(tt.p, p))
		})
	}
}

func TestMalformedBinary(t *testing.T) {
	for _, tt := range []struct {
		name  string
		wire  []byte
		cause error
	}{
		{"nothing", nil, packet.ErrEmpty},
		{"the type as a digit", []byte("4hello"), packet.ErrType},
		{"a ping", []byte{2, 1}, packet.ErrType},
		{"a type beyond the last", []byte{7}, packet.ErrType},
		{"the highest byte", []byte{0xff}, packet.ErrType},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p, err := packet.ParseBinary(rev3, tt.wire)
			requireSyntaxError(t, err, tt.cause, 0)
			require.Zero(t, p)
		})
	}
}

func TestEncodersAppend(t *testing.T) {
	require.Equal(t, "x4y", string(packet.AppendText([]byte("x"), rev4, text("y"))))
	require.Equal(t, "xbeQ==", string(packet.AppendText([]byte("x"), rev4, binary('y'))))
	require.Equal(t, "x\x04y", string(packet.AppendBinary([]byte("x"), rev3, binary('y'))))
	require.Equal(t, "x2:4y1:2", string(packet.AppendPayload([]byte("x"), rev3, packet.Text, text("y"), control(packet.Ping, ""))))
	require.Equal(t, "x4y\x1e2", string(packet.AppendPayload([]byte("x"), rev4, packet.Text, text("y"), control(packet.Ping, ""))))
}

func TestDataAliasesInputAndNotItsNeighbour(t *testing.T) {
	for _, tt := range []struct {
		name string
		rev  packet.Revision
		enc  packet.Encoding
		wire string
	}{
		{"revision 4", rev4, packet.Text, "4one\x1e4two"},
		{"revision 3", rev3, packet.Text, "4:4one4:4two"},
		{"revision 3, ASCII in the twice-encoded dialect", rev3, packet.TextDoubleUTF8, "4:4one4:4two"},
		{"revision 3, text in a binary payload", rev3, packet.Binary, "\x00\x04\xff4one\x00\x04\xff4two"},
		{"revision 3, binary payload", rev3, packet.Binary, "\x01\x04\xff\x04one\x01\x04\xff\x04two"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			wire := []byte(tt.wire)
			ps, err := packet.ParsePayload(tt.rev, tt.enc, wire)
			require.NoError(t, err)
			require.Len(t, ps, 2)

			_ = append(ps[0].Data, "overwritten"...)
			require.Equal(t, tt.wire, string(wire))

			wire[bytes.IndexByte(wire, 'o')] = 'O'
			require.Equal(t, "One", string(ps[0].Data))
		})
	}
}
