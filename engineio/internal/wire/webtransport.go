package wire

import (
	"encoding/binary"
	"io"
	"slices"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// A WebTransport stream carries frames. A frame is a length and a packet. The length is one byte, whose highest bit
// means that the packet is binary. If the length is above 125, the byte is 126 and the length follows in two bytes, or
// it is 127 and the length follows in eight bytes. Apart from the bit of binary packets, this is the header of an
// unmasked WebSocket frame without its first byte.
const (
	binaryBit = 0x80
	length16  = 126
	length64  = 127
)

// readLengthFrame returns the next packet's text or bytes, as readMessage does.
func (c *Stream) readLengthFrame() (op ws.OpCode, body []byte, err error) {
	if _, err := io.ReadFull(&c.reader, c.header[:1]); err != nil {
		return 0, nil, err
	}
	op = ws.OpText
	if c.header[0]&binaryBit != 0 {
		op = ws.OpBinary
	}
	n := uint64(c.header[0] &^ binaryBit)
	if n >= length16 {
		if n, err = c.readLength(n); err != nil {
			return 0, nil, err
		}
	}
	switch {
	case n == 0:
		return 0, nil, &Error{Fault: Malformed, Err: errFrameLength}
	case n > uint64(c.conf.MaxPayload):
		return 0, nil, &Error{Fault: Malformed, Err: ErrTooLarge}
	}
	if err := c.spend(1 + int(n)); err != nil {
		return 0, nil, err
	}
	if n <= uint64(c.Buffered()) {
		c.inPlace = true
		return op, c.next(int(n)), nil
	}
	if c.fragment, err = c.appendN(c.fragment, int(n), int(n)); err != nil {
		return 0, nil, err
	}
	body = slices.Clip(c.fragment) // a reused buffer may hold other bytes after the packet
	c.fragment, c.inPlace = nil, false
	return op, body, nil
}

// readLength reads a length of two or eight bytes.
func (c *Stream) readLength(marker uint64) (uint64, error) {
	size := 2
	if marker == length64 {
		size = 8
	}
	b := c.header[:size]
	if _, err := io.ReadFull(&c.reader, b); err != nil {
		return 0, unexpected(err)
	}
	if size == 2 {
		return uint64(binary.BigEndian.Uint16(b)), nil
	}
	return binary.BigEndian.Uint64(b), nil
}

// holdsLengthFrame reports whether the buffer begins with a complete frame that is a text message.
func (c *Stream) holdsLengthFrame() bool {
	b := c.buf
	if len(b) == 0 || b[0]&binaryBit != 0 {
		return false
	}
	header, length := 1, int(b[0])
	switch length {
	case length16:
		if header = 3; len(b) < header {
			return false
		}
		length = int(binary.BigEndian.Uint16(b[1:]))
	case length64:
		return false // longer than a buffer
	}
	return length > 0 && len(b) >= header+length && b[header] == '0'+byte(packet.Message)
}

// readyLengthFrame returns the frame that carries o, or nil if it must be made. It is the WebSocket frame without its
// first byte.
func readyLengthFrame(o *Outgoing) []byte {
	if o.header == 0 || o.binary {
		return nil
	}
	return o.frame[1:]
}

// appendLengthHeader appends the header of a frame whose body has n bytes.
func appendLengthHeader(dst []byte, op ws.OpCode, n int) []byte {
	bit := byte(0)
	if op == ws.OpBinary {
		bit = binaryBit
	}
	switch {
	case n < length16:
		return append(dst, bit|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(dst, bit|length16), uint16(n))
	default:
		return binary.BigEndian.AppendUint64(append(dst, bit|length64), uint64(n))
	}
}

// writeEnd announces the end of the session to the peer. WebTransport has no close frame, and closing the connection
// could overtake data that is still in transit. A client closes its side of the stream, and the server reads to its
// end. Other implementations' clients ignore the closing of a side, so the server sends a last ping: the client's reply
// means that it has received all earlier data.
func (c *Stream) writeEnd() error {
	if c.state.ClientSide() {
		return c.conn.(interface{ CloseWrite() error }).CloseWrite()
	}
	return c.WritePacket(packet.Packet{Type: packet.Ping})
}
