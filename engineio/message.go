package engineio

import "github.com/bigcompany/mesh/engineio/packet"

// Revision is an Engine.IO protocol revision.
type Revision = packet.Revision

// The revisions spoken here.
const (
	Revision3 = packet.Revision3
	Revision4 = packet.Revision4
)

// Transport names a transport as it stands in requests.
type Transport string

// The transports of this package.
const (
	Polling   Transport = "polling"
	WebSocket Transport = "websocket"
)

// Message is what a session carries: UTF-8 text, or bytes.
type Message struct {
	// Binary is true for bytes, false for text.
	Binary bool
	// Data is the content. A message that Read returned belongs to the caller. Write and TryWrite copy what they
	// keep, so that the caller may use Data again when they return.
	Data []byte

	shared *outgoing // set by Prepare
}

// Text returns s as a text message.
func Text(s string) Message { return Message{Data: []byte(s)} }

// Binary returns b as a binary message.
func Binary(b []byte) Message { return Message{Binary: true, Data: b} }
