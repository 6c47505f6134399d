package protocol

import (
	"errors"
	"fmt"
)

// Kinds of errors, for errors.Is. The text of an error is more exact. No error quotes a packet, so a log never shows a
// peer's input.
var (
	// ErrJSON means bytes that are not JSON as RFC 8259 defines it. Invalid UTF-8 is such an error.
	ErrJSON = errors.New("invalid JSON")
	// ErrPacket means valid JSON that is not a packet or not an event table.
	ErrPacket = errors.New("invalid packet")
	// ErrLimit means that the input exceeds one of the limits of this package.
	ErrLimit = errors.New("beyond a limit")
	// ErrReserved means a name that only the protocol itself uses.
	ErrReserved = errors.New("reserved name")
	// ErrName means a string that can be neither the name of an event nor a pattern.
	ErrName = errors.New("invalid name")
)

// SyntaxError describes a fault in bytes that a peer sent, and its place.
type SyntaxError struct {
	// Offset is the offset, in bytes from the start of the input, of the first byte at which the input can no longer
	// become valid. It is the length of the input if that ends too early. For a value of the wrong type, or one too
	// long, it is the value's first byte. For a missing value it is the brace that closes the packet.
	Offset int
	// Err wraps ErrJSON, ErrPacket or ErrLimit.
	Err error
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("protocol: %v at offset %d", e.Err, e.Offset)
}

func (e *SyntaxError) Unwrap() error { return e.Err }

// fault is an error of one kind with a specific text.
type fault struct {
	kind error
	text string
}

func (f *fault) Error() string { return f.text }

func (f *fault) Unwrap() error { return f.kind }

var (
	errEnd       = &fault{ErrJSON, "unexpected end of JSON"}
	errValue     = &fault{ErrJSON, "expected a JSON value"}
	errKey       = &fault{ErrJSON, "expected a key"}
	errColon     = &fault{ErrJSON, "expected a colon after the key"}
	errInObject  = &fault{ErrJSON, "expected a comma or the object's end"}
	errInArray   = &fault{ErrJSON, "expected a comma or the array's end"}
	errTrailing  = &fault{ErrJSON, "unexpected byte after the JSON value"}
	errLiteral   = &fault{ErrJSON, "expected true, false or null"}
	errNumber    = &fault{ErrJSON, "expected a digit"}
	errControl   = &fault{ErrJSON, "control character in a string"}
	errEscape    = &fault{ErrJSON, "invalid escape in a string"}
	errUTF8      = &fault{ErrJSON, "invalid UTF-8"}
	errNotObject = &fault{ErrPacket, "packet is not an object"}
	errNoEvent   = &fault{ErrPacket, "packet has no event"}
	errEventType = &fault{ErrPacket, "event is not a string"}
	errEventVoid = &fault{ErrPacket, "event is empty"}
	errSurrogate = &fault{ErrPacket, "event has half a surrogate pair"}
	errTableType = &fault{ErrPacket, "event table is not an object"}
	errEventLong = &fault{ErrLimit, "event is too long"}
	errDepth     = &fault{ErrLimit, "nested too deep"}
	errSize      = &fault{ErrLimit, "packet is too long"}
	errTableSize = &fault{ErrLimit, "event table is too long"}
	errEntries   = &fault{ErrLimit, "event table has too many entries"}

	errNameVoid     = &fault{ErrName, "name is empty"}
	errNameUTF8     = &fault{ErrName, "name is not valid UTF-8"}
	errNameStar     = &fault{ErrName, "name has an asterisk, which only a listener may use"}
	errNamePart     = &fault{ErrName, "asterisk is not a whole part of the pattern"}
	errNameLong     = &fault{ErrLimit, "name is too long"}
	errNameParts    = &fault{ErrLimit, "name has too many parts"}
	errNameReserved = &fault{ErrReserved, "name is reserved"}
)
