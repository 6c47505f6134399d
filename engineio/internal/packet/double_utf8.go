package packet

import (
	"bytes"
	"strings"
	"unicode/utf8"
)

// DecodeDoubleUTF8 decodes text a second time. text was decoded from UTF-8 once and may come from a peer that writes
// [TextDoubleUTF8]; its code points are then the bytes of the real text. DecodeDoubleUTF8 returns the real text and
// true if every code point is at most 0xFF, at least one is 0x80 or more, and the bytes are valid UTF-8. ASCII text is
// the same in both dialects, so ok is false for it.
func DecodeDoubleUTF8(text []byte) (folded []byte, ok bool) {
	size, _, bad := scanDoubleUTF8(text)
	if bad >= 0 || size == len(text) {
		return nil, false
	}
	return appendDecoded(make([]byte, 0, size), text), true
}

// IsDoubleUTF8 reports whether text, which was decoded from UTF-8 once, shows that its sender writes [TextDoubleUTF8].
// It does if DecodeDoubleUTF8 accepts it and people do not write such text: it contains control characters from U+0080
// to U+009F ("â\u0082¬" for "€"), or combinations of letters and symbols that real text does not have ("ZÃ¼rich" for
// "Zürich"). "100 Å³" shows nothing, although it folds to "100 ų".
func IsDoubleUTF8(text []byte) bool {
	size, c1, bad := scanDoubleUTF8(text)
	return bad < 0 && size < len(text) && (c1 || !readsAsWritten(text))
}

// IsSingleUTF8 reports whether text, which was decoded from UTF-8 once, shows that its sender writes [Text]: text is
// not ASCII and does not fold.
func IsSingleUTF8(text []byte) bool {
	_, c1, bad := scanDoubleUTF8(text)
	return bad >= 0 && !c1 // parser 1.x writes unpaired surrogates, which do not fold and may contain control characters
}

// readsAsWritten reports whether text, which folds and has no control characters, may be the text that its sender
// meant. This is so if it folds to a single character, which has no context. It is also so if all letters and symbols
// have the order of real text: symbols only at the end of a word ("QUALITÉ\u00a0:", "MÜ®"), not twice in a row, and no
// capital after a lower-case letter. Â and Ã are excluded: nearly all text with one of these letters and a symbol is a
// twice encoded symbol or letter of a western European language.
func readsAsWritten(text []byte) bool {
	if isOneCharacter(text) {
		return true
	}
	for i := 0; ; {
		i += asciiPrefix(text[i:])
		if i == len(text) {
			return true
		}
		letter, size := utf8.DecodeRune(text[i:])
		capital := letter <= 'Þ'
		if letter == 'Â' || letter == 'Ã' || capital && i > 0 && 'a' <= text[i-1] && text[i-1] <= 'z' {
			return false
		}
		for i += size; i < len(text) && text[i] >= utf8.RuneSelf; i += size {
			var symbol rune
			if symbol, size = utf8.DecodeRune(text[i:]); !strings.ContainsRune(wordEnds, symbol) {
				return false
			}
		}
		if i < len(text) && isLetter(text[i]) {
			return false
		}
	}
}

// isOneCharacter reports whether text folds to one character that is not ASCII.
func isOneCharacter(text []byte) bool {
	_, size := utf8.DecodeRune(text)
	another := func(r rune) bool { return r < utf8.RuneSelf || r >= 'À' } // ASCII, or the first byte of another character
	return text[0] >= utf8.RuneSelf && !bytes.ContainsFunc(text[size:], another)
}

// wordEnds are the symbols between U+00A0 and U+00BF that follow a letter in real text.
const wordEnds = "\u00a0ª«®°±²³´·¹º»"

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

// scanDoubleUTF8 reads text as TextDoubleUTF8. It returns the number of bytes of the folded text, whether text contains
// C1 control characters, and the offset of the first character that does not fold, or -1. If there is such a character,
// the other results are meaningless.
func scanDoubleUTF8(text []byte) (size int, c1 bool, bad int) {
	for i := 0; ; {
		n := asciiPrefix(text[i:])
		i, size = i+n, size+n
		if i == len(text) {
			return size, c1, -1
		}
		start := i
		var seq [utf8.UTFMax]byte // the UTF-8 bytes of one character of the folded text
		for n = 0; !utf8.FullRune(seq[:n]); n++ {
			r, width := utf8.DecodeRune(text[i:])
			if r > 0xFF { // also true for the error rune, at the end of text and for invalid UTF-8
				return size, c1, start
			}
			c1 = c1 || 0x80 <= r && r <= 0x9F
			seq[n] = byte(r)
			i += width
		}
		if r, width := utf8.DecodeRune(seq[:n]); r == utf8.RuneError && width == 1 {
			return size, c1, start
		}
		size += n
	}
}

// decodeDoubleUTF8 returns the real text of TextDoubleUTF8, which is text itself if that is ASCII. bad is the offset of
// the first character that does not fold, or -1.
func decodeDoubleUTF8(text []byte) (folded []byte, bad int) {
	size, _, bad := scanDoubleUTF8(text)
	if bad >= 0 || size == len(text) {
		return text, bad
	}
	return appendDecoded(make([]byte, 0, size), text), -1
}

// appendDecoded appends the bytes that the code points of text encode. scanDoubleUTF8 must have accepted text.
func appendDecoded(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= utf8.RuneSelf { // the byte is C2 or C3, whose low bits are the upper bits of the real byte
			i++
			c = c<<6 | text[i]&0x3F
		}
		dst = append(dst, c)
	}
	return dst
}

// AppendDoubleUTF8 appends text encoded in UTF-8 twice: it encodes each byte as one code point.
func AppendDoubleUTF8(dst, text []byte) []byte {
	for _, c := range text {
		if c < utf8.RuneSelf {
			dst = append(dst, c)
		} else {
			dst = append(dst, 0xC0|c>>6, 0x80|c&0x3F)
		}
	}
	return dst
}

// doubleUTF8Len returns the number of bytes that AppendDoubleUTF8 appends.
func doubleUTF8Len(text []byte) int {
	i := asciiPrefix(text)
	n := len(text)
	for _, c := range text[i:] {
		n += int(c >> 7)
	}
	return n
}
