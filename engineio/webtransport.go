package engineio

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Stream is what a session stands on by [WebTransport]: one bidirectional stream and the connection under it. Package
// [github.com/bigcompany/mesh/engineio/webtransport] has the only implementation that most programs need.
type Stream interface {
	// Read returns io.EOF when the peer has closed its side of the stream, or the connection in good order.
	io.Reader
	io.Writer
	// Close closes the connection at once, in both directions; what was written shortly before may be lost. It must not
	// wait for the peer.
	io.Closer
	// CloseWrite closes this side of the stream: the peer reads all that was written, then io.EOF.
	CloseWrite() error
	SetReadDeadline(t time.Time) error
	SetWriteDeadline(t time.Time) error
}

// A WebTransport stream carries frames of a length and a packet. A short length is one byte, whose highest bit says that
// the packet is binary; in place of a length above 125, 126 says that it follows in two bytes, 127 in eight. This is the
// header of a WebSocket's unmasked frame without its first byte, apart from the bit of binary packets.
const (
	binaryBit = 0x80
	length16  = 126
	length64  = 127
)

var errFrameLength = errors.New("engineio: a frame of WebTransport has no valid length")

// readLengthFrame returns the next packet's text or bytes, as readMessage does.
func (c *stream) readLengthFrame() (op ws.OpCode, body []byte, err error) {
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
		return 0, nil, &frameError{reason: ReasonParseError, err: errFrameLength}
	case n > uint64(c.conf.maxPayload):
		return 0, nil, &frameError{reason: ReasonParseError, err: ErrTooLarge}
	}
	if err := c.spend(1 + int(n)); err != nil {
		return 0, nil, err
	}
	if n <= uint64(c.buffered()) {
		c.inPlace = true
		return op, c.next(int(n)), nil
	}
	if c.fragment, err = c.appendN(c.fragment, int(n), int(n)); err != nil {
		return 0, nil, err
	}
	body = slices.Clip(c.fragment) // a kept buffer may hold other bytes behind
	c.fragment, c.inPlace = nil, false
	return op, body, nil
}

// readLength reads a length of two or eight bytes.
func (c *stream) readLength(marker uint64) (uint64, error) {
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

// unexpected is err where the end must not be.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// holdsLengthFrame tells whether the buffer begins with a frame that is a text message as a whole.
func (c *stream) holdsLengthFrame() bool {
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

// readyLengthFrame returns the frame that carries o, if it need not be made: it is the tail of the WebSocket's.
func readyLengthFrame(o *outgoing) []byte {
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

// carriesLengths says whether c is a stream by WebTransport, which has no frame for an empty binary message.
func (c *stream) carriesLengths() bool { return c != nil && c.framing == lengthFrames }

// mayMoveTo says whether c can carry all that is queued. The caller holds s.mu, and must set s.probe before it lets go of
// it, so that nothing comes in that c cannot carry.
func (s *Socket) mayMoveTo(c *stream) bool {
	isEmpty := func(o *outgoing) bool { return o.binary && len(o.data()) == 0 }
	return !c.carriesLengths() || !slices.ContainsFunc(s.queue, isEmpty)
}

// writeEnd tells the peer that nothing follows. There is no close frame, and closing the connection would overtake what
// is still on its way. The client closes its side of the stream, which the server reads to its end. The clients of others
// take no notice of that, so the server sends a last ping: who answers it has received all that came before.
func (c *stream) writeEnd() error {
	if c.state.ClientSide() {
		return c.conn.(Stream).CloseWrite()
	}
	return c.writePacket(packet.Packet{Type: packet.Ping})
}
