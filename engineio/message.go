package engineio

import (
	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// Revision is an Engine.IO protocol revision.
type Revision = packet.Revision

// The protocol revisions that this package speaks.
const (
	Revision3 = packet.Revision3
	Revision4 = packet.Revision4
)

// Transport is the name of a transport, as it appears in requests.
type Transport string

// The transports.
const (
	Polling   Transport = "polling"
	WebSocket Transport = "websocket"
	// WebTransport works with revision 4 only. It needs package [github.com/bigcompany/mesh/engineio/webtransport] at
	// both ends.
	WebTransport Transport = "webtransport"
)

// Message is one message of a session: UTF-8 text or bytes.
type Message struct {
	// Binary is true for bytes, false for text.
	Binary bool
	// NoCompression excludes the message from compression. It is for data that is already compressed, and for messages
	// that mix secrets with data that an attacker can choose: the compressed size reveals information about the secrets
	// (see CRIME).
	NoCompression bool
	// Data is the content. The caller owns the Data of a message that Read returned. Write and TryWrite copy the bytes
	// that they queue, so the caller may reuse Data when they return.
	Data []byte

	shared *wire.Outgoing // set by Prepare
}

// Text returns s as a text message.
func Text(s string) Message { return Message{Data: []byte(s)} }

// Binary returns b as a binary message.
func Binary(b []byte) Message { return Message{Binary: true, Data: b} }

// Prepare returns a message that is encoded once for all sockets that send it. It copies Data. Use it for messages to
// many sockets. Any number of goroutines may use the result. Prepare checks text for valid UTF-8 once; Write rejects
// invalid text with ErrInvalidText.
func Prepare(m Message) Message {
	if m.shared == nil {
		o := newOutgoing(m)
		o.Shared, o.Invalid = true, check(m) != nil
		m.Data, m.shared = o.Data(), o
	}
	return m
}

// size returns the size of m in a queue, in bytes.
func (m *Message) size() int {
	if m.shared != nil {
		return m.shared.Size()
	}
	return len(m.Data) + wire.Overhead
}

// outgoing returns m in the form in which a queue holds it.
func (m *Message) outgoing() *wire.Outgoing {
	if m.shared != nil {
		return m.shared
	}
	return newOutgoing(*m)
}

// newOutgoing returns m in the form in which a queue holds it.
func newOutgoing(m Message) *wire.Outgoing {
	o := wire.Encode(packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data})
	o.NoCompression = m.NoCompression
	return o
}

// newInitial makes the packet of ServerOptions.InitialMessage, which all sessions share. See checkInitial.
func newInitial(m Message) *wire.Outgoing {
	m.shared = nil
	o := newOutgoing(m)
	o.Shared = true
	return o
}

// The heartbeat's packets.
var (
	pingPacket = wire.Encode(packet.Packet{Type: packet.Ping})
	pongPacket = wire.Encode(packet.Packet{Type: packet.Pong})
)
