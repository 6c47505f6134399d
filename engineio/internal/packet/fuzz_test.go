package packet_test

import (
	"slices"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func revision(three bool) packet.Revision {
	if three {
		return rev3
	}
	return rev4
}

// checkError checks that err is an error that the parsers may return for an input of n bytes.
func checkError(t *testing.T, err error, n int) {
	t.Helper()
	var syntax *packet.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.True(t, slices.Contains([]error{
		packet.ErrEmpty, packet.ErrType, packet.ErrBase64, packet.ErrLength, packet.ErrMarker, packet.ErrUTF8,
		packet.ErrTooManyPackets,
	}, syntax.Err), "%v", syntax.Err)
	require.GreaterOrEqual(t, syntax.Offset, 0)
	require.LessOrEqual(t, syntax.Offset, n)
}

// checkPacket checks that p, which was found in n bytes, is a valid packet.
func checkPacket(t *testing.T, p packet.Packet, n int) {
	t.Helper()
	require.LessOrEqual(t, p.Type, packet.Noop)
	require.LessOrEqual(t, len(p.Data), n)
	if p.Binary {
		require.Equal(t, packet.Message, p.Type)
	} else {
		require.True(t, utf8.Valid(p.Data))
	}
}

func seedPackets(f *testing.F, add func(rev packet.Revision, p packet.Packet)) {
	f.Helper()
	for _, rev := range []packet.Revision{rev3, rev4} {
		for _, p := range samplePackets() {
			add(rev, p)
		}
	}
}

func FuzzParseText(f *testing.F) {
	seedPackets(f, func(rev packet.Revision, p packet.Packet) { f.Add(rev == rev3, packet.AppendText(nil, rev, p)) })
	f.Add(true, []byte("b"))
	f.Add(false, []byte("bA=\n"))
	f.Fuzz(func(t *testing.T, three bool, b []byte) {
		rev := revision(three)
		p, err := packet.ParseText(rev, b)
		if err != nil {
			checkError(t, err, len(b))
			return
		}
		checkPacket(t, p, len(b))
		again, err := packet.ParseText(rev, packet.AppendText(nil, rev, p))
		require.NoError(t, err)
		require.True(t, samePacket(p, again))
	})
}

func FuzzParseBinary(f *testing.F) {
	seedPackets(f, func(rev packet.Revision, p packet.Packet) { f.Add(rev == rev3, packet.AppendBinary(nil, rev, p)) })
	f.Fuzz(func(t *testing.T, three bool, b []byte) {
		rev := revision(three)
		p, err := packet.ParseBinary(rev, b)
		if err != nil {
			checkError(t, err, len(b))
			return
		}
		checkPacket(t, p, len(b))
		require.Equal(t, string(b), string(packet.AppendBinary(nil, rev, p)))
	})
}

func FuzzParsePayload(f *testing.F) {
	for i, form := range forms {
		f.Add(uint8(i), packet.AppendPayload(nil, form.rev, form.enc, samplePackets()...))
	}
	f.Add(uint8(0), []byte("4a\x1e"))
	f.Add(uint8(1), []byte("99999999999999999999:4"))
	f.Add(uint8(1), []byte("2:4😀"))
	f.Add(uint8(2), []byte("4:4Ã©x"))
	f.Add(uint8(3), []byte("\x01\x01\x02\xff4"))
	f.Fuzz(func(t *testing.T, i uint8, b []byte) {
		form := forms[int(i)%len(forms)]
		ps, err := packet.ParsePayload(form.rev, form.enc, b)
		if err != nil {
			require.Nil(t, ps)
			checkError(t, err, len(b))
			return
		}
		require.NotEmpty(t, ps)
		require.LessOrEqual(t, len(ps), min(len(b), packet.MaxPackets))
		data, encoded := 0, 0
		for _, p := range ps {
			checkPacket(t, p, len(b))
			data += len(p.Data)
			encoded += packet.EncodedLen(form.rev, form.enc, p)
		}
		if form.rev == rev4 {
			encoded--
		}
		require.LessOrEqual(t, data+len(ps), len(b)) // each packet has at least a type

		wire := packet.AppendPayload(nil, form.rev, form.enc, ps...)
		require.Len(t, wire, encoded)
		again, err := packet.ParsePayload(form.rev, form.enc, wire)
		require.NoError(t, err)
		require.True(t, slices.EqualFunc(ps, again, samePacket))
	})
}

func FuzzDecodeDoubleUTF8(f *testing.F) {
	for _, s := range []string{"", "hello", "Ã©", "â\u0082¬", "é€😀", "Ã©\xc3", "í\u00a0\u0080", "{\"a\":\"ð\u009f\u0098\u0080\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		folded, ok := packet.DecodeDoubleUTF8(b)
		witness := packet.IsDoubleUTF8(b)
		if !ok {
			require.Nil(t, folded)
			require.False(t, witness)
			return
		}
		require.False(t, packet.IsSingleUTF8(b))
		require.Less(t, len(folded), len(b))
		require.True(t, utf8.Valid(folded))
		var c1 bool
		for _, r := range string(b) {
			c1 = c1 || 0x80 <= r && r <= 0x9f
		}
		require.True(t, witness || !c1)

		// Encoding the bytes of the folded text once more restores the input.
		var twice []rune
		for _, c := range folded {
			twice = append(twice, rune(c))
		}
		require.Equal(t, string(b), string(twice))
	})
}
