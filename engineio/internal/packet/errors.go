package packet

import "errors"

// The causes of a [SyntaxError]. Each comment states the byte to which Offset points.
var (
	// ErrEmpty: a packet is missing. The offset is the place where it would start.
	ErrEmpty = errors.New("empty packet")
	// ErrType: a packet type does not exist, or a binary packet has a type that cannot be binary. The offset is the
	// place of the type, or the end of the input if the type is missing.
	ErrType = errors.New("invalid packet type")
	// ErrBase64: base64 does not decode. The offset is the first invalid byte. If the base64 ends too early, the offset
	// is its last group or its end.
	ErrBase64 = errors.New("invalid base64")
	// ErrLength: a length is missing, unfinished, not decimal or absurdly long. The offset is the first invalid byte,
	// or the end of the input if the length is unfinished. Or a valid length goes past the end, or ends inside a
	// character, and the offset is the length's first digit.
	ErrLength = errors.New("invalid length")
	// ErrMarker: a packet in a binary payload starts with neither 00 (text) nor 01 (binary). The offset is that byte.
	ErrMarker = errors.New("invalid marker")
	// ErrUTF8: text is not valid UTF-8 or, in TextDoubleUTF8, does not decode to valid UTF-8. The offset is the first
	// byte of the first invalid character.
	ErrUTF8 = errors.New("invalid UTF-8")
	// ErrTooManyPackets: a payload has more than MaxPackets packets. The offset is the start of the first excess
	// packet.
	ErrTooManyPackets = errors.New("too many packets")
)
