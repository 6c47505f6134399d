package packet

import "fmt"

// Revision is an Engine.IO protocol revision, the number that clients send as EIO.
type Revision uint8

// The revisions that this package speaks. Revision 3 is that of engine.io 1.x to 3.x (Socket.IO 1 and 2 and the
// original mesh), revision 4 that of engine.io 4 and later.
const (
	Revision3 Revision = 3
	Revision4 Revision = 4
)

// Type is the type of a packet. Its value is the digit that stands for it on the wire.
type Type byte

// The packet types, in the order of their digits.
const (
	Open Type = iota
	Close
	Ping
	Pong
	Message
	Upgrade
	Noop
)

// Packet is one Engine.IO packet.
type Packet struct {
	Type Type
	// Binary tells a binary message from a text one. Only a Message may be binary.
	Binary bool
	// Data is what follows the type: UTF-8 text, or any bytes if Binary.
	Data []byte
}

// Encoding is the form in which a polling payload is written.
type Encoding uint8

const (
	// Text is the form of revision 4 (packets joined by 0x1e), and of revision 3 the length-prefixed text
	// form with text in UTF-8 once, as parser 2.x writes it. Binary packets stand in it as base64.
	Text Encoding = iota
	// TextTwice is the length-prefixed text form of revision 3 with text in UTF-8 twice, as parser 1.x writes it.
	TextTwice
	// Binary is the binary form of revision 3.
	Binary
)

// MaxPackets bounds the packets that ParsePayload accepts in one payload. Stock clients send bursts of thousands.
const MaxPackets = 10_000

// SyntaxError says what is wrong with bytes that a peer sent, and where.
type SyntaxError struct {
	Offset int   // in bytes, from the start of what was parsed
	Err    error // one of the Err… of this package
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("engineio: %v at offset %d", e.Err, e.Offset)
}

func (e *SyntaxError) Unwrap() error { return e.Err }
