package packet

import (
	"encoding/binary"
	"unicode/utf16"
	"unicode/utf8"
)

// utf16Len returns the UTF-16 code units of text, which is valid UTF-8.
func utf16Len(text []byte) int {
	i := asciiPrefix(text)
	n := i
	for _, c := range text[i:] {
		switch {
		case c >= 0xF0: // four bytes are a surrogate pair
			n += 2
		case c < 0x80 || c >= 0xC0: // continuation bytes add nothing
			n++
		}
	}
	return n
}

// utf16Prefix returns the bytes at the start of b that make up units UTF-16 code units, and false if b has fewer or a
// surrogate pair would be cut. An invalid byte counts one unit; whoever parses the text refuses it. It reads no further
// than it has to, so that walking through a payload packet by packet takes linear time.
func utf16Prefix(b []byte, units int) (size int, ok bool) {
	if units > len(b) { // a character has no more units than bytes
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

// asciiPrefix returns the number of bytes before the first that is not ASCII.
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
