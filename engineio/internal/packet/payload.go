package packet

import (
	"bytes"
	"encoding/base64"
	"strconv"
	"unicode/utf8"
)

const (
	separator = 0x1E // between two packets of a revision 4 payload

	// The markers and the end of the length in a Binary payload.
	textMarker   = 0x00
	binaryMarker = 0x01
	lengthEnd    = 0xFF

	// maxLengthDigits bounds a length prefix, so that the parser rejects an endless prefix at once and no length
	// overflows. The largest such number is larger than any payload and fits into an int64.
	maxLengthDigits = 15
)

// AppendPayload appends ps as the body of a polling request or response. It writes no separator after the contents of
// dst. It appends nothing if ps is empty: a payload has at least one packet.
func AppendPayload(dst []byte, rev Revision, enc Encoding, ps ...Packet) []byte {
	for i, p := range ps {
		if rev == Revision3 {
			dst = appendFramed(dst, enc, p)
			continue
		}
		if i > 0 {
			dst = append(dst, separator)
		}
		dst = AppendText(dst, rev, p)
	}
	return dst
}

// appendFramed appends the length of p, and then p, in the forms of revision 3.
func appendFramed(dst []byte, enc Encoding, p Packet) []byte {
	n := frameLen(enc, p)
	if enc == Binary {
		return appendBinaryFramed(dst, n, p)
	}
	dst = strconv.AppendInt(dst, int64(n), 10)
	dst = append(dst, ':')
	if enc == TextDoubleUTF8 && !p.Binary {
		return AppendDoubleUTF8(append(dst, p.Type.digit()), p.Data)
	}
	return AppendText(dst, Revision3, p)
}

func appendBinaryFramed(dst []byte, n int, p Packet) []byte {
	marker := byte(textMarker)
	if p.Binary {
		marker = binaryMarker
	}
	dst = append(dst, marker)
	start := len(dst)
	dst = strconv.AppendInt(dst, int64(n), 10)
	for i := start; i < len(dst); i++ {
		dst[i] -= '0'
	}
	dst = append(dst, lengthEnd)
	if p.Binary {
		return AppendBinary(dst, Revision3, p)
	}
	return AppendText(dst, Revision3, p)
}

// frameLen returns the length that revision 3 writes before p: in bytes for Binary, otherwise in UTF-16 code units.
func frameLen(enc Encoding, p Packet) int {
	switch {
	case p.Binary && enc != Binary:
		return len("b4") + base64.StdEncoding.EncodedLen(len(p.Data))
	case enc == Binary, enc == TextDoubleUTF8: // in TextDoubleUTF8 each byte is one code point
		return 1 + len(p.Data)
	default:
		return 1 + utf16Len(p.Data)
	}
}

// EncodedLen returns exactly how many bytes p adds to a payload, with its length or separator. Revision 4 has one
// separator less than packets, so a payload there is one byte shorter than the sum.
func EncodedLen(rev Revision, enc Encoding, p Packet) int {
	if rev != Revision3 {
		if p.Binary {
			return len("\x1eb") + base64.StdEncoding.EncodedLen(len(p.Data))
		}
		return len("\x1e4") + len(p.Data)
	}
	n := frameLen(enc, p)
	prefix := decimalLen(n) + 1 // the digits, and ':' or lengthEnd
	switch {
	case enc == Binary:
		return 1 + prefix + n
	case p.Binary:
		return prefix + n
	case enc == TextDoubleUTF8:
		return prefix + 1 + doubleUTF8Len(p.Data)
	default:
		return prefix + 1 + len(p.Data)
	}
}

func decimalLen(n int) int {
	digits := 1
	for ; n >= 10; n /= 10 {
		digits++
	}
	return digits
}

// ParsePayload is the reverse of AppendPayload. It returns between one and MaxPackets packets, or no packets and a
// *SyntaxError. Data aliases b, unless it had to be decoded.
func ParsePayload(rev Revision, enc Encoding, b []byte) ([]Packet, error) {
	if len(b) == 0 {
		return nil, &SyntaxError{0, ErrEmpty}
	}
	var (
		ps   []Packet
		next = nextFramed
	)
	switch {
	case rev != Revision3:
		next = nextSeparated
		ps = make([]Packet, 0, min(1+bytes.Count(b, []byte{separator}), MaxPackets))
	case enc == Binary:
		next = nextBinaryFramed
	}
	for offset := 0; offset < len(b); {
		if len(ps) == MaxPackets {
			return nil, &SyntaxError{offset, ErrTooManyPackets}
		}
		p, n, err := next(enc, b[offset:])
		if err != nil {
			err.Offset += offset
			return nil, err
		}
		ps = append(ps, p)
		offset += n
	}
	return ps, nil
}

// Whole returns the complete packets at the beginning of a payload, as a payload, and the bytes after them. Invalid
// bytes count as incomplete. When rest is complete, parse whole and rest with ParsePayload, each separately.
func Whole(rev Revision, enc Encoding, beginning []byte) (whole, rest []byte) {
	if rev != Revision3 {
		i := bytes.LastIndexByte(beginning, separator)
		if i < 0 {
			return nil, beginning
		}
		return beginning[:i:i], beginning[i+1:]
	}
	next, b := nextBinaryFramed, beginning
	if enc != Binary {
		next, b = nextFramed, fullRunes(beginning)
	}
	end := 0
	for end < len(b) {
		_, n, err := next(enc, b[end:])
		if err != nil {
			break
		}
		end += n
	}
	return beginning[:end:end], beginning[end:]
}

// fullRunes returns b without an incomplete character at its end.
func fullRunes(b []byte) []byte {
	for i := len(b) - 1; i >= max(0, len(b)-utf8.UTFMax); i-- {
		if utf8.RuneStart(b[i]) {
			if !utf8.FullRune(b[i:]) {
				return b[:i]
			}
			break
		}
	}
	return b
}

// nextSeparated parses the first packet of b, a payload of revision 4, and returns the number of bytes of the packet
// and its separator.
func nextSeparated(_ Encoding, b []byte) (Packet, int, *SyntaxError) {
	end := bytes.IndexByte(b, separator)
	if end < 0 {
		p, err := parseText(Revision4, b, false)
		return p, len(b), err
	}
	p, err := parseText(Revision4, b[:end:end], false)
	if err == nil && end+1 == len(b) {
		// A packet must follow a separator, but the caller would only see that b has ended.
		err = &SyntaxError{end + 1, ErrEmpty}
	}
	return p, end + 1, err
}

// nextFramed parses the first packet of b, a Text or TextDoubleUTF8 payload of revision 3, and returns the packet's
// number of bytes.
func nextFramed(enc Encoding, b []byte) (Packet, int, *SyntaxError) {
	units, start, err := parseLength(b, '0', ':')
	if err != nil {
		return Packet{}, 0, err
	}
	size, ok := utf16Prefix(b[start:], units)
	if !ok {
		return Packet{}, 0, &SyntaxError{0, ErrLength}
	}
	p, err := parseText(Revision3, b[start:start+size:start+size], enc == TextDoubleUTF8)
	if err != nil {
		err.Offset += start
	}
	return p, start + size, err
}

// nextBinaryFramed parses the first packet of b, a Binary payload, and returns the packet's number of bytes.
func nextBinaryFramed(_ Encoding, b []byte) (Packet, int, *SyntaxError) {
	marker := b[0]
	if marker > binaryMarker {
		return Packet{}, 0, &SyntaxError{0, ErrMarker}
	}
	size, start, err := parseLength(b[1:], 0, lengthEnd)
	if err != nil {
		err.Offset++
		return Packet{}, 0, err
	}
	start++
	if size > len(b)-start {
		return Packet{}, 0, &SyntaxError{1, ErrLength}
	}
	end := start + size
	body := b[start:end:end]
	var p Packet
	if marker == binaryMarker {
		p, err = parseBinary(Revision3, body)
	} else {
		p, err = parseText(Revision3, body, false)
	}
	if err != nil {
		err.Offset += start
	}
	return p, end, err
}

// parseLength parses the decimal length at the start of b. zero is the byte of the digit 0, and the length ends with
// the byte end. It returns the length and the number of bytes read, with end. A length that is too large for an int is
// an error.
func parseLength(b []byte, zero, end byte) (length, size int, err *SyntaxError) {
	var n int64
	for i, c := range b {
		if c == end && i > 0 {
			if int64(int(n)) != n {
				return 0, 0, &SyntaxError{0, ErrLength}
			}
			return int(n), i + 1, nil
		}
		digit := c - zero
		if digit > 9 || i == maxLengthDigits {
			return 0, 0, &SyntaxError{i, ErrLength}
		}
		n = n*10 + int64(digit)
	}
	return 0, 0, &SyntaxError{len(b), ErrLength}
}
