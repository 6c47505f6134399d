package packet

import "errors"

// The causes of a [SyntaxError]. Each says to which byte the Offset points.
var (
	// ErrEmpty: there is no packet where one must be. The offset is where it would start.
	ErrEmpty = errors.New("empty packet")
	// ErrType: a packet type that does not exist, or one that cannot be binary in a binary packet. The offset is that
	// of the type, or of the end if there is none.
	ErrType = errors.New("invalid packet type")
	// ErrBase64: base64 that does not decode. The offset is that of the first byte that is wrong or, if it ends too early,
	// of its last group or of its end.
	ErrBase64 = errors.New("invalid base64")
	// ErrLength: a length that is missing, unfinished, not decimal or absurdly long; the offset is that of the first byte
	// that is wrong. Or one that is well formed and goes past the end, or ends inside a character; the offset is that of
	// its first digit.
	ErrLength = errors.New("invalid length")
	// ErrMarker: a packet in a binary payload starts with neither 00 (text) nor 01 (binary). The offset is that of the byte.
	ErrMarker = errors.New("invalid marker")
	// ErrUTF8: text that is not valid UTF-8 or, in TextTwice, does not stand for valid UTF-8. The offset is that of the
	// first byte of the first character that is wrong.
	ErrUTF8 = errors.New("invalid UTF-8")
	// ErrTooManyPackets: more than MaxPackets. The offset is where the first packet in excess starts.
	ErrTooManyPackets = errors.New("too many packets")
)
