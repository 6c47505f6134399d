package packet_test

import (
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

func TestTwiceEncodedText(t *testing.T) {
	for _, tt := range []struct {
		name    string
		text    string
		folded  string
		ok      bool
		witness bool
	}{
		{"without a context é may be a peer's Ã©", "Ã©", "é", true, false},
		{"é of a word", "cafÃ©", "café", true, true},
		{"ü in a word", "ZÃ¼rich", "Zürich", true, true},
		{"à among words", "je vais Ã\u00a0 Paris", "je vais à Paris", true, true},
		{"ù at the end of a word", "OÃ¹", "Où", true, true},
		{"the sign of a degree", "20 Â°C", "20 °C", true, true},
		{"ź before a letter", "Åºle", "źle", true, true},
		{"ų after a lower-case letter", "vaikÅ³", "vaikų", true, true},
		{"letters in a row", "x: Ð°Ð±", "x: аб", true, true},
		{"ż has a symbol that ends no word", "Å¼ x", "ż x", true, true},
		{"頻 would be a closing quotation mark in French", "le café\u00a0»", "le caf頻", true, false},
		{"ɠ would be a colon in French", "QUALITÉ\u00a0: 5", "QUALITɠ: 5", true, false},
		{"ų would be a volume", "100 Å³", "100 ų", true, false},
		{"ܮ would be a trade mark", "a MÜ®", "a Mܮ", true, false},
		{"€ leaves a control character", "â\u0082¬", "€", true, true},
		{"😀 leaves three", "ð\u009f\u0098\u0080", "😀", true, true},
		{"à leaves a no-break space, which is no control character", "Ã\u00a0", "à", true, false},
		{"É leaves a control character", "Ã\u0089", "É", true, true},
		{"all of them among ASCII", `{"a":"Ã©â` + "\u0082¬" + `"}`, `{"a":"é€"}`, true, true},
		{"the result may be a control character", "Â\u0085", "\u0085", true, true},
		{"twice encoded text that was meant", "Ã\u0083Â©", "Ã©", true, true},

		{"nothing", "", "", false, false},
		{"ASCII is the same in both dialects", "hello", "", false, false},
		{"long ASCII", `{"event":"x","payload":"0123456789"}`, "", false, false},
		{"once encoded é", "é", "", false, false},
		{"once encoded €", "€", "", false, false},
		{"once encoded 😀", "😀", "", false, false},
		{"one code point beyond a byte", "Ã©€", "", false, false},
		{"one code point that does not fold", "â\u0082¬é", "", false, false},
		{"a lone control character", "a\u0085b", "", false, false},
		{"a character cut short", "Ã©â\u0082", "", false, false},
		{"an overlong character", "À\u0080", "", false, false},
		{"an unpaired surrogate", "í\u00a0\u0080", "", false, false},
		{"invalid UTF-8", "Ã©\xc3", "", false, false},
		{"the bytes themselves", "\x82", "", false, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			folded, ok := packet.DecodeDoubleUTF8([]byte(tt.text))
			require.Equal(t, tt.ok, ok)
			require.Equal(t, tt.folded, string(folded))
			require.Equal(t, tt.witness, packet.IsDoubleUTF8([]byte(tt.text)))
		})
	}
}

// A server reads a payload as Text, finds that it is encoded twice, and decodes the text again.
func TestFoldingWhatWasReadAsText(t *testing.T) {
	wire := packet.AppendPayload(nil, rev3, packet.TextDoubleUTF8, text("é€😀"))
	ps, err := packet.ParsePayload(rev3, packet.Text, wire)
	require.NoError(t, err)
	require.True(t, packet.IsDoubleUTF8(ps[0].Data))
	folded, ok := packet.DecodeDoubleUTF8(ps[0].Data)
	require.True(t, ok)
	require.Equal(t, "é€😀", string(folded))
}

func TestEveryCodePointTwice(t *testing.T) {
	for r := rune(0); r <= utf8.MaxRune; r++ {
		if !utf8.ValidRune(r) || (r > 0x3000 && r%7 != 0) { // a sample of the many code points with the same code path
			continue
		}
		want := string([]rune{'a', r})
		wire := packet.AppendPayload(nil, rev3, packet.TextDoubleUTF8, text(want))
		ps, err := packet.ParsePayload(rev3, packet.TextDoubleUTF8, wire)
		if err != nil || string(ps[0].Data) != want {
			require.Fail(t, "does not survive", "%U: %v", r, err)
		}
	}
}
