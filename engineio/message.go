package engineio

import (
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Revision is an Engine.IO protocol revision.
type Revision = packet.Revision

// The revisions spoken here.
const (
	Revision3 = packet.Revision3
	Revision4 = packet.Revision4
)

// Transport names a transport as it stands in requests.
type Transport string

// The transports.
const (
	Polling   Transport = "polling"
	WebSocket Transport = "websocket"
	// WebTransport is for revision 4 only, and takes package [github.com/bigcompany/mesh/engineio/webtransport] at both ends.
	WebTransport Transport = "webtransport"
)

// Message is what a session carries: UTF-8 text, or bytes.
type Message struct {
	// Binary is true for bytes, false for text.
	Binary bool
	// NoCompression keeps the message from being compressed where the transport would. It is for what is compressed
	// already, and for secrets that travel beside what others may choose: the size of the whole tells of them.
	NoCompression bool
	// Data is the content. A message that Read returned belongs to the caller. Write and TryWrite copy what they
	// keep, so that the caller may use Data again when they return.
	Data []byte

	shared *outgoing // set by Prepare
}

// Text returns s as a text message.
func Text(s string) Message { return Message{Data: []byte(s)} }

// Binary returns b as a binary message.
func Binary(b []byte) Message { return Message{Binary: true, Data: b} }

// Prepare returns a message that is encoded once for all the sockets that it will be written to. It copies Data.
// Use it for what goes to many; the result may be used by any number of goroutines. Text that is not valid UTF-8 is found
// out here, once, and refused by Write.
func Prepare(m Message) Message {
	if m.shared == nil {
		o := newOutgoing(m)
		o.shared, o.broken = true, check(m) != nil
		m.Data, m.shared = o.data(), o
	}
	return m
}

// size is what m counts in a queue, in bytes.
func (m *Message) size() int {
	if m.shared != nil {
		return m.shared.size()
	}
	return len(m.Data) + overhead
}

// outgoing returns m as it stands in a queue.
func (m *Message) outgoing() *outgoing {
	if m.shared != nil {
		return m.shared
	}
	return newOutgoing(*m)
}

// outgoing is a packet on its way out. It is never changed after it was made, so that many sockets can share it.
type outgoing struct {
	typ    packet.Type
	binary bool
	asIs   bool // NoCompression
	shared bool // goes to many, perhaps
	broken bool // text that is not valid UTF-8, which must not be sent
	// control is the WebSocket opcode of a control frame whose body is the data, or 0.
	control ws.OpCode
	// header is how many bytes stand before the data in frame: 0 if nothing does, and it is no frame.
	header uint8
	// frame is what a server writes to a WebSocket, ready made: a frame's header and body, the latter ending in the
	// data. It serves text in both revisions and binary in revision 4. Clients cannot share frames: each is masked with
	// a key of its own.
	frame []byte
	// counted is the number of a count of the budget, and in how many queues that has seen the message; see budget.
	counted atomic.Uint64
	// others are the frames that few need.
	others atomic.Pointer[otherFrames]
}

// otherFrames are what takes the place of a message's frame for some peers, each made when it is first asked for.
type otherFrames struct {
	mu      sync.Mutex
	binary3 atomic.Pointer[[]byte] // binary frames of revision 3 have one byte more
	// Where messages are compressed; the second one for binary messages in revision 3.
	deflated [2]atomic.Pointer[[]byte]
}

func (o *outgoing) otherFrames() *otherFrames {
	if f := o.others.Load(); f != nil {
		return f
	}
	o.others.CompareAndSwap(nil, new(otherFrames))
	return o.others.Load()
}

// The packets of the heartbeat.
var (
	pingPacket = newOutgoingPacket(packet.Packet{Type: packet.Ping})
	pongPacket = newOutgoingPacket(packet.Packet{Type: packet.Pong})
)

// overhead is what a queued message costs beyond its data, in bytes, roughly.
const overhead = 64

func (o *outgoing) size() int { return len(o.data()) + overhead }

func (o *outgoing) data() []byte { return o.frame[o.header:] }

func (o *outgoing) packet() packet.Packet {
	return packet.Packet{Type: o.typ, Binary: o.binary, Data: o.data()}
}

func newOutgoing(m Message) *outgoing {
	o := newOutgoingPacket(packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data})
	o.asIs = m.NoCompression
	return o
}

func newOutgoingPacket(p packet.Packet) *outgoing {
	frame := compileFrame(Revision4, p)
	return &outgoing{typ: p.Type, binary: p.Binary, frame: frame, header: uint8(len(frame) - len(p.Data))}
}

// newInitial makes a packet of a message that goes to each session. See checkInitial.
func newInitial(m Message) *outgoing {
	m.shared = nil
	o := newOutgoing(m)
	o.shared = true
	return o
}

// wsFrame returns the frame that carries o from a server in revision rev, or nil if it has to be made.
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
	b := newBatch() // for the header, which would be allocated elsewhere
	defer b.release()
	_ = ws.WriteHeaderBuffer(b, ws.Header{Fin: true, OpCode: op, Length: int64(n)}, b.header[:]) // a bytes.Buffer does not fail
	return appendFrameBody(append(make([]byte, 0, b.Len()+n), b.Bytes()...), rev, p)
}

// frameShape returns the opcode and the body's length of the frame that carries p.
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
