package wire

import (
	"sync"
	"sync/atomic"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// Outgoing is an encoded packet for the queues of sessions. It is immutable once it is queued, so many sessions can
// share it.
type Outgoing struct {
	// NoCompression excludes the packet from compression.
	NoCompression bool
	// Shared means that the queues of many sessions may hold the packet. It is then compressed once for all of them.
	Shared bool
	// Invalid means that the packet has text that is not valid UTF-8, which must not be sent.
	Invalid bool

	typ    packet.Type
	binary bool
	// control is the opcode of a WebSocket control frame whose body is the data, or 0.
	control ws.OpCode
	// header is the number of bytes before the data in frame. If it is 0, frame is the data alone.
	header uint8
	// frame is the frame that a server writes to a WebSocket: its header and its body, which ends with the data. It
	// serves text in both revisions, and binary messages in revision 4. Clients cannot share frames, because each
	// client masks each frame with a new key.
	frame []byte
	// counted holds the number of a count and the number of queues in which that count found the packet; see CountIn.
	counted atomic.Uint64
	// others holds the frames that few peers need.
	others atomic.Pointer[otherFrames]
}

// otherFrames holds the frames that replace Outgoing.frame for some peers. Each is made at its first use.
type otherFrames struct {
	mu      sync.Mutex
	binary3 atomic.Pointer[[]byte] // binary frames of revision 3 have one byte more
	// Compressed frames. The second is for binary messages in revision 3.
	deflated [2]atomic.Pointer[[]byte]
}

func (o *Outgoing) otherFrames() *otherFrames {
	if f := o.others.Load(); f != nil {
		return f
	}
	o.others.CompareAndSwap(nil, new(otherFrames))
	return o.others.Load()
}

// Encode returns p with its frame.
func Encode(p packet.Packet) *Outgoing {
	frame := compileFrame(packet.Revision4, p)
	return &Outgoing{typ: p.Type, binary: p.Binary, frame: frame, header: uint8(len(frame) - len(p.Data))}
}

// EncodeOnce returns p without a frame, for a packet that one stream writes once. It does not copy the data.
func EncodeOnce(p packet.Packet) *Outgoing {
	return &Outgoing{typ: p.Type, binary: p.Binary, frame: p.Data}
}

// PongFrame returns a pong of the WebSocket protocol. It does not copy the body.
func PongFrame(body []byte) *Outgoing { return &Outgoing{control: ws.OpPong, frame: body} }

// Overhead is the approximate cost of a queued packet beyond its data, in bytes.
const Overhead = 64

// Size returns the cost of the packet in a queue, in bytes.
func (o *Outgoing) Size() int { return len(o.Data()) + Overhead }

// Data returns the packet's data. Do not change it.
func (o *Outgoing) Data() []byte { return o.frame[o.header:] }

// Packet returns the packet. Do not change its data.
func (o *Outgoing) Packet() packet.Packet {
	return packet.Packet{Type: o.typ, Binary: o.binary, Data: o.Data()}
}

// CountIn records that one more queue holds o, and returns the number of such queues in the count of this number. If
// two counts work at the same time, the result may be too low.
func (o *Outgoing) CountIn(number uint32) (queues uint32) {
	queues = 1
	if seen := o.counted.Load(); uint32(seen>>32) == number {
		queues = uint32(seen) + 1
	}
	o.counted.Store(uint64(number)<<32 | uint64(queues))
	return queues
}

// CountOut records that one less queue holds o, and returns the number of queues that still do.
func (o *Outgoing) CountOut(number uint32) (queues uint32) {
	seen := o.counted.Load()
	if uint32(seen>>32) != number || uint32(seen) == 0 {
		return 0
	}
	o.counted.Store(seen - 1)
	return uint32(seen) - 1
}

// wsFrame returns the frame in which a server sends o in revision rev.
func (o *Outgoing) wsFrame(rev packet.Revision) []byte {
	if !o.binary || rev == packet.Revision4 {
		return o.frame
	}
	others := o.otherFrames()
	if f := others.binary3.Load(); f != nil {
		return *f
	}
	f := compileFrame(packet.Revision3, o.Packet())
	others.binary3.Store(&f)
	return f
}

func compileFrame(rev packet.Revision, p packet.Packet) []byte {
	op, n := frameShape(rev, p)
	b := newBatch() // for its header array, which would otherwise be allocated
	defer b.release()
	_ = ws.WriteHeaderBuffer(b, ws.Header{Fin: true, OpCode: op, Length: int64(n)}, b.header[:]) // a bytes.Buffer does not fail
	return appendFrameBody(append(make([]byte, 0, b.Len()+n), b.Bytes()...), rev, p)
}

// frameShape returns the opcode and the body length of the frame that carries p.
func frameShape(rev packet.Revision, p packet.Packet) (ws.OpCode, int) {
	switch {
	case !p.Binary:
		return ws.OpText, 1 + len(p.Data)
	case rev == packet.Revision3:
		return ws.OpBinary, 1 + len(p.Data)
	default:
		return ws.OpBinary, len(p.Data)
	}
}

func appendFrameBody(dst []byte, rev packet.Revision, p packet.Packet) []byte {
	if p.Binary {
		return packet.AppendBinary(dst, rev, p)
	}
	return packet.AppendText(dst, rev, p)
}
