package protocol

import "unicode/utf8"

const hexDigits = "0123456789abcdef"

// AppendASCII appends rawJSON to dst with every character beyond ASCII written as \uXXXX, as a surrogate pair above
// U+FFFF. The result is the same JSON, since such characters occur in strings only. Invalid UTF-8 becomes U+FFFD.
func AppendASCII(dst, rawJSON []byte) []byte {
	start := 0
	for i := 0; i < len(rawJSON); {
		if rawJSON[i] < utf8.RuneSelf {
			i++
			continue
		}
		dst = append(dst, rawJSON[start:i]...)
		r, n := utf8.DecodeRune(rawJSON[i:])
		dst = appendEscaped(dst, r)
		i += n
		start = i
	}
	return append(dst, rawJSON[start:]...)
}

// appendString appends s as a JSON string, as JSON.stringify writes it. Invalid UTF-8 becomes U+FFFD.
func appendString(dst []byte, s string, ascii bool) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		r, n := rune(c), 1
		if c >= utf8.RuneSelf {
			if r, n = utf8.DecodeRuneInString(s[i:]); !ascii && (r != utf8.RuneError || n > 1) {
				i += n
				continue
			}
		}
		dst = append(dst, s[start:i]...)
		i += n
		start = i
		switch r {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = appendEscaped(dst, r)
		}
	}
	return append(append(dst, s[start:]...), '"')
}

// appendEscaped appends r as \uXXXX, above U+FFFF as the two escapes of a surrogate pair.
func appendEscaped(dst []byte, r rune) []byte {
	if r >= 0x10000 {
		r -= 0x10000
		dst = appendEscaped(dst, highHalf+r>>10)
		r = lowHalf + r&0x3ff
	}
	return append(dst, '\\', 'u', hexDigits[r>>12], hexDigits[r>>8&0xf], hexDigits[r>>4&0xf], hexDigits[r&0xf])
}
