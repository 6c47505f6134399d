package engineio

import (
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
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

	shared *outgoing // set by Prepare
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
		o.shared, o.broken = true, check(m) != nil
		m.Data, m.shared = o.data(), o
	}
	return m
}

// size returns the size of m in a queue, in bytes.
func (m *Message) size() int {
	if m.shared != nil {
		return m.shared.size()
	}
	return len(m.Data) + overhead
}

// outgoing returns m in the form in which a queue holds it.
func (m *Message) outgoing() *outgoing {
	if m.shared != nil {
		return m.shared
	}
	return newOutgoing(*m)
}

// outgoing is a queued packet. It is immutable, so many sockets can share it.
type outgoing struct {
	typ        packet.Type
	binary     bool
	noCompress bool // NoCompression
	shared     bool // made by Prepare or for InitialMessage, so many sockets may hold it
	broken     bool // text that is not valid UTF-8, which must not be sent
	// control is the opcode of a WebSocket control frame whose body is the data, or 0.
	control ws.OpCode
	// header is the number of bytes before the data in frame. If it is 0, frame is the data alone.
	header uint8
	// frame is the frame that a server writes to a WebSocket: its header and its body, which ends with the data. It
	// serves text in both revisions, and binary messages in revision 4. Clients cannot share frames, because each
	// client masks each frame with a new key.
	frame []byte
	// counted holds the number of a count by the budget and the number of queues in which that count found the message;
	// see budget.
	counted atomic.Uint64
	// others holds the frames that few peers need.
	others atomic.Pointer[otherFrames]
}

// otherFrames holds the frames that replace outgoing.frame for some peers. Each is made at its first use.
type otherFrames struct {
	mu      sync.Mutex
	binary3 atomic.Pointer[[]byte] // binary frames of revision 3 have one byte more
	// Compressed frames. The second is for binary messages in revision 3.
	deflated [2]atomic.Pointer[[]byte]
}

func (o *outgoing) otherFrames() *otherFrames {
	if f := o.others.Load(); f != nil {
		return f
	}
	o.others.CompareAndSwap(nil, new(otherFrames))
	return o.others.Load()
}

// The heartbeat's packets.
var (
	pingPacket = newOutgoingPacket(packet.Packet{Type: packet.Ping})
	pongPacket = newOutgoingPacket(packet.Packet{Type: packet.Pong})
)

// overhead is the approximate cost of a queued message beyond its data, in bytes.
const overhead = 64

func (o *outgoing) size() int { return len(o.data()) + overhead }

func (o *outgoing) data() []byte { return o.frame[o.header:] }

func (o *outgoing) packet() packet.Packet {
	return packet.Packet{Type: o.typ, Binary: o.binary, Data: o.data()}
}

func newOutgoing(m Message) *outgoing {
	o := newOutgoingPacket(packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data})
	o.noCompress = m.NoCompression
	return o
}

func newOutgoingPacket(p packet.Packet) *outgoing {
	frame := compileFrame(Revision4, p)
	return &outgoing{typ: p.Type, binary: p.Binary, frame: frame, header: uint8(len(frame) - len(p.Data))}
}

// newInitial makes the packet of ServerOptions.InitialMessage, which all sessions share. See checkInitial.
func newInitial(m Message) *outgoing {
	m.shared = nil
	o := newOutgoing(m)
	o.shared = true
	return o
}

// wsFrame returns the frame in which a server sends o in revision rev.
func (o *outgoing) wsFrame(rev Revision) []byte {
	if !o.binary || rev == Revision4 {
		return o.frame
	}
	others := o.otherFrames()
	if f := others.binary3.Load(); f != nil {
		return *f
	}
	f := compileFrame(Revision3, o.packet())
	others.binary3.Store(&f)
	return f
}

func compileFrame(rev Revision, p packet.Packet) []byte {
	op, n := frameShape(rev, p)
	b := newBatch() // for its header array, which would otherwise be allocated
	defer b.release()
	_ = ws.WriteHeaderBuffer(b, ws.Header{Fin: true, OpCode: op, Length: int64(n)}, b.header[:]) // a bytes.Buffer does not fail
	return appendFrameBody(append(make([]byte, 0, b.Len()+n), b.Bytes()...), rev, p)
}

// frameShape returns the opcode and the body length of the frame that carries p.
func frameShape(rev Revision, p packet.Packet) (ws.OpCode, int) {
	switch {
	case !p.Binary:
		return ws.OpText, 1 + len(p.Data)
	case rev == Revision3:
		return ws.OpBinary, 1 + len(p.Data)
	default:
		return ws.OpBinary, len(p.Data)
	}
}

func appendFrameBody(dst []byte, rev Revision, p packet.Packet) []byte {
	if p.Binary {
		return packet.AppendBinary(dst, rev, p)
	}
	return packet.AppendText(dst, rev, p)
}
