package packet

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// utf16Len returns the number of UTF-16 code units of text, which must be valid UTF-8.
func utf16Len(text []byte) int {
	i := asciiPrefix(text)
	n := i
	for _, c := range text[i:] {
		switch {
		case c >= 0xF0: // the first byte of four, which are a surrogate pair
			n += 2
		case c < 0x80 || c >= 0xC0: // continuation bytes add nothing
			n++
		}
	}
	return n
}

// utf16Prefix returns how many bytes at the start of b make up the given number of UTF-16 code units. ok is false if b
// has fewer units or if the prefix would end inside a surrogate pair. An invalid byte counts as one unit; the parser of
// the text rejects it later. utf16Prefix reads no further than necessary, so that parsing a payload packet by packet
// takes linear time.
func utf16Prefix(b []byte, units int) (size int, ok bool) {
	if units > len(b) { // a character never has more units than bytes
		return 0, false
	}
	for units > 0 {
		n := asciiPrefix(b[size:min(size+units, len(b))])
		size, units = size+n, units-n
		if units == 0 {
			break
		}
		r, n := utf8.DecodeRune(b[size:])
		if n == 0 || utf16.RuneLen(r) > units {
			return 0, false
		}
		size, units = size+n, units-utf16.RuneLen(r)
	}
	return size, true
}

// asciiPrefix returns the number of bytes before the first byte that is not ASCII.
func asciiPrefix(b []byte) int {
	i := 0
	for len(b)-i >= 8 && binary.NativeEndian.Uint64(b[i:])&0x8080808080808080 == 0 {
		i += 8
	}
	for i < len(b) && b[i] < utf8.RuneSelf {
		i++
	}
	return i
}
