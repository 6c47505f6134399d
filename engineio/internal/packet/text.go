package packet

import (
	"bytes"
	"encoding/base64"
	"errors"
	"unicode/utf8"
)

// base64Mark is the first byte of a binary packet in text form. No packet type has this byte.
const base64Mark = 'b'

// AppendText appends p in the form of a WebSocket text frame: the digit of its type and its text. A binary message is
// "b" (revision 4) or "b4" (revision 3) and base64.
func AppendText(dst []byte, rev Revision, p Packet) []byte {
	if !p.Binary {
		dst = append(dst, p.Type.digit())
		return append(dst, p.Data...)
	}
	dst = append(dst, base64Mark)
	if rev == Revision3 {
		dst = append(dst, Message.digit())
	}
	return base64.StdEncoding.AppendEncode(dst, p.Data)
}

// ParseText is the reverse of AppendText. Text aliases b. Base64 may lack its padding.
// Any error is a *SyntaxError.
func ParseText(rev Revision, b []byte) (Packet, error) {
	p, err := parseText(rev, b, false)
	if err != nil {
		return Packet{}, err
	}
	return p, nil
}

// parseText parses one packet in its text form. If twice is true, its text is encoded as in TextDoubleUTF8.
func parseText(rev Revision, b []byte, twice bool) (Packet, *SyntaxError) {
	if len(b) == 0 {
		return Packet{}, &SyntaxError{0, ErrEmpty}
	}
	if b[0] == base64Mark {
		return parseBase64(rev, b)
	}
	t, ok := typeOf(b[0])
	if !ok {
		return Packet{}, &SyntaxError{0, ErrType}
	}
	text := rest(b, 1)
	if twice {
		folded, bad := decodeDoubleUTF8(text)
		if bad >= 0 {
			return Packet{}, &SyntaxError{1 + bad, ErrUTF8}
		}
		text = folded
	} else if bad := invalidUTF8(text); bad >= 0 {
		return Packet{}, &SyntaxError{1 + bad, ErrUTF8}
	}
	return Packet{Type: t, Data: text}, nil
}

// parseBase64 parses a packet that starts with base64Mark.
func parseBase64(rev Revision, b []byte) (Packet, *SyntaxError) {
	start := 1
	// In revision 4 a '4' here belongs to the base64. In revision 3 it is the type, which is required.
	if rev == Revision3 {
		if len(b) < 2 || b[1] != Message.digit() {
			return Packet{}, &SyntaxError{1, ErrType}
		}
		start = 2
	}
	data, bad := decodeBase64(b[start:])
	if bad >= 0 {
		return Packet{}, &SyntaxError{start + bad, ErrBase64}
	}
	return Packet{Type: Message, Binary: true, Data: data}, nil
}

// decodeBase64 decodes src. bad is the offset of the first fault, or -1.
func decodeBase64(src []byte) (data []byte, bad int) {
	if len(src) == 0 {
		return nil, -1
	}
	enc := base64.RawStdEncoding
	if src[len(src)-1] == '=' {
		enc = base64.StdEncoding
	}
	if i := bytes.IndexAny(src, "\r\n"); i >= 0 { // encoding/base64 ignores line breaks
		return nil, i
	}
	data = make([]byte, enc.DecodedLen(len(src)))
	n, err := enc.Decode(data, src)
	if err != nil {
		var corrupt base64.CorruptInputError // Decode returns no other error
		errors.As(err, &corrupt)
		return nil, int(corrupt)
	}
	return data[:n], -1
}

func (t Type) digit() byte { return '0' + byte(t) }

// typeOf returns the type of an ASCII digit.
func typeOf(digit byte) (t Type, ok bool) {
	return Type(digit - '0'), '0' <= digit && digit <= Noop.digit()
}

// rest returns b[from:], with a capacity that ends with b, or nil if it is empty.
func rest(b []byte, from int) []byte {
	if from == len(b) {
		return nil
	}
	return b[from:len(b):len(b)]
}

// invalidUTF8 returns the offset of the first character of text that is not valid UTF-8, or -1.
func invalidUTF8(text []byte) int {
	if utf8.Valid(text) {
		return -1
	}
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRune(text[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return -1
}
