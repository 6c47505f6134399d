package packet

import "unicode/utf8"

// FoldTwice reads text, decoded as if it were in UTF-8 once, as that of [TextTwice]: its code points are the bytes of
// the real text. It returns the real text and true if that makes sense: every code point is at most 0xFF, at least one
// is 0x80 or more, and the bytes are valid UTF-8. Text in ASCII is the same in both dialects, so ok is false.
func FoldTwice(text []byte) (folded []byte, ok bool) {
	size, _, bad := scanTwice(text)
	if bad >= 0 || size == len(text) {
		return nil, false
	}
	return appendFolded(make([]byte, 0, size), text), true
}

// WitnessTwice reports whether text, decoded as if it were in UTF-8 once, proves that its sender writes [TextTwice].
// It does when FoldTwice accepts it and it makes no sense as it stands, since it contains control characters of U+0080
// to U+009F. "Ã©" for "é" proves nothing, as somebody may have meant it; the "â\u0082¬" that "€" becomes does.
func WitnessTwice(text []byte) bool {
	_, c1, bad := scanTwice(text)
	return bad < 0 && c1
}

// scanTwice reads text as TextTwice. It returns the bytes that it folds to, whether it contains C1 control characters,
// and the offset of the first character that does not fold, or -1. The other results mean nothing then.
func scanTwice(text []byte) (size int, c1 bool, bad int) {
	for i := 0; ; {
		n := asciiPrefix(text[i:])
		i, size = i+n, size+n
		if i == len(text) {
			return size, c1, -1
		}
		start := i
		var seq [utf8.UTFMax]byte // one character of the real text
		for n = 0; !utf8.FullRune(seq[:n]); n++ {
			r, width := utf8.DecodeRune(text[i:])
			if r > 0xFF { // as is the error rune, at the end of text and on invalid UTF-8
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

// foldText returns the real text of TextTwice: text itself if that is ASCII. Otherwise bad is the offset of the first
// character that does not fold. It is -1 if there is none.
func foldText(text []byte) (folded []byte, bad int) {
	size, _, bad := scanTwice(text)
	if bad >= 0 || size == len(text) {
		return text, bad
	}
	return appendFolded(make([]byte, 0, size), text), -1
}

// appendFolded appends the bytes that the code points of text stand for; scanTwice has accepted it.
func appendFolded(dst, text []byte) []byte {
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= utf8.RuneSelf { // C2 or C3, whose low bits are the upper ones of the byte
			i++
			c = c<<6 | text[i]&0x3F
		}
		dst = append(dst, c)
	}
	return dst
}

// appendTwice appends each byte of text as one code point.
func appendTwice(dst, text []byte) []byte {
	for _, c := range text {
		if c < utf8.RuneSelf {
			dst = append(dst, c)
		} else {
			dst = append(dst, 0xC0|c>>6, 0x80|c&0x3F)
		}
	}
	return dst
}

// twiceLen returns the bytes that appendTwice appends.
func twiceLen(text []byte) int {
	i := asciiPrefix(text)
	n := len(text)
	for _, c := range text[i:] {
		n += int(c >> 7)
	}
	return n
}
