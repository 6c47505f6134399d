package packet

import "fmt"

// Revision is an Engine.IO protocol revision. Clients send it as the parameter EIO.
type Revision uint8

// The revisions that this package supports. engine.io 1.x to 3.x use revision 3 (so do Socket.IO 1 and 2, and the
// original mesh). engine.io 4 and later use revision 4.
const (
	Revision3 Revision = 3
	Revision4 Revision = 4
)

// Type is the type of a packet. On the wire it is the ASCII digit of its value.
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
	// Binary is true for a binary message. Only a Message may be binary.
	Binary bool
	// Data is the content after the type: UTF-8 text, or any bytes if Binary is true.
	Data []byte
}

// Encoding is the form of a polling payload.
type Encoding uint8

const (
	// Text is the form of revision 4 (packets separated by 0x1e). In revision 3 it is the length-prefixed text form
	// with text in UTF-8 once, as parser 2.x writes it. It carries binary packets as base64.
	Text Encoding = iota
	// TextDoubleUTF8 is the length-prefixed text form of revision 3 with text in UTF-8 twice, as parser 1.x writes it.
	TextDoubleUTF8
	// Binary is the binary form of revision 3.
	Binary
)

// MaxPackets bounds the packets of one payload in ParsePayload. Stock clients send bursts of thousands.
const MaxPackets = 10_000

// SyntaxError reports a fault in the bytes of a peer, and its place.
type SyntaxError struct {
	Offset int   // in bytes, from the start of the parsed bytes
	Err    error // one of the Err… values of this package
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("engineio: %v at offset %d", e.Err, e.Offset)
}

func (e *SyntaxError) Unwrap() error { return e.Err }
