package engineio

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// framing is the way in which a stream separates its packets.
type framing uint8

const (
	webSocketFrames framing = iota // see websocket.go
	lengthFrames                   // see webtransport.go
)

// stream carries packets over a WebSocket or a WebTransport stream, for client and server. One goroutine at a time may
// read: the goroutine of the upgrade until the session has moved, and then the goroutine in Socket.Read. The goroutine
// that owns Socket.writing may write; before the session has moved, the goroutine of the upgrade may.
type stream struct {
	reader
	conf *config
	rev  Revision

	unwritten []byte // unsent bytes of an earlier write without waiting; they go before all other data
	fragment  []byte // the received part of an unfinished message

	fragOp     ws.OpCode // the unfinished message's opcode
	inPlace    bool      // the last packet's data is in the read buffer
	base64     bool      // the client asked for text frames only (b64 in the query)
	doubleUTF8 bool      // the peer encodes text in UTF-8 twice in frames too (oldestDialect)
	deflate    bool      // both sides may compress messages (deflate.go)
	compressed bool      // the current message is compressed
	framing    framing
	state      ws.State
	header     [ws.MaxHeaderSize]byte // of the current frame
}

// frameError is the error of a stream whose peer must get a close frame: after a protocol violation, or after the
// peer's close frame.
type frameError struct {
	code   ws.StatusCode // 0: a close frame without a code
	reason string        // the session's close reason
	err    error
}

func (e *frameError) Error() string { return fmt.Sprintf("%s: %v", e.reason, e.err) }

func (e *frameError) Unwrap() error { return e.err }

func newStream(conn io.ReadWriteCloser, rev Revision, state ws.State, conf *config) *stream {
	c := &stream{reader: reader{conn: conn, raw: plainSocket(conn)}, conf: conf, rev: rev, state: state}
	if c.raw != nil {
		c.pull = c.pullRaw
	}
	return c
}

// readPacket returns the next packet. It handles control frames itself. The packet's data is valid until the next call;
// a short message is in the read buffer. The path of an idle session's heartbeat allocates nothing and avoids the large
// frames of the other paths, so that its stack stays small, see Socket.Read.
func (c *stream) readPacket() (packet.Packet, error) {
	var op ws.OpCode
	var body []byte
	var err error
	if c.framing == webSocketFrames {
		op, body, err = c.readMessage()
	} else {
		op, body, err = c.readLengthFrame()
	}
	if c.compressed && err == nil {
		body, err = c.inflate(body)
	}
	if c.reservation != nil {
		err = c.received(err)
	}
	if err != nil {
		receivelimit.Recycle(c.fragment)
		c.fragment = nil
		return packet.Packet{}, err
	}
	var p packet.Packet
	if op == ws.OpText {
		p, err = packet.ParseText(c.rev, body)
		if c.doubleUTF8 && err == nil {
			decodeDoubleUTF8(&p)
		}
	} else {
		p, err = packet.ParseBinary(c.rev, body)
	}
	if err != nil {
		return p, c.unreadable(op, body, err)
	}
	return p, nil
}

// unreadable returns the error that ends a session whose peer sent a message that is not a packet.
func (c *stream) unreadable(op ws.OpCode, body []byte, err error) error {
	if op == ws.OpText && !utf8.Valid(body) {
		return &frameError{ws.StatusInvalidFramePayloadData, ReasonTransportError, ErrInvalidText}
	}
	return &frameError{reason: ReasonParseError, err: err}
}

// batch is a buffer that joins frames, so that they leave in one system call.
type batch struct {
	bytes.Buffer
	header [ws.MaxHeaderSize]byte
}

// batchSize is the size at which a batch is written, in bytes.
const batchSize = 64 << 10

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch() *batch { return batches.Get().(*batch) }

func (b *batch) release() {
	b.Reset()
	if b.Cap() <= 2*batchSize { // the pool must not keep one huge message for ever
		batches.Put(b)
	}
}

// writeAll writes packets.
func (c *stream) writeAll(out []*outgoing) error {
	for len(out) > 0 {
		n, err := c.writeSome(out, true)
		if err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// writeSome writes the rest of an earlier write or else one batch: packets joined up to batchSize, or one
// large packet. It returns how many packets of out it took. Without wait, it stores the bytes that the kernel does not
// accept at once in c.rest.
func (c *stream) writeSome(out []*outgoing, wait bool) (n int, err error) {
	if len(c.unwritten) > 0 {
		if err := c.send(c.unwritten, c.conf.writeTimeout); err != nil {
			return 0, err
		}
		c.unwritten = nil
		return 0, nil
	}
	b := newBatch()
	defer b.release()
	p := c.readyFrame(out[0])
	if len(p) >= batchSize { // it is large, and many sockets may share it, so it is written without a copy
		n = 1
	} else {
		p, n = c.join(b, out)
	}
	if wait {
		return n, c.send(p, c.conf.writeTimeout)
	}
	return n, c.trySend(p)
}

// leftOver returns the number of unsent bytes of an earlier write.
func (c *stream) unwrittenBytes() int {
	if c == nil {
		return 0
	}
	return len(c.unwritten)
}

// join fills b with frames of out, up to batchSize. It returns the bytes and the number of frames.
func (c *stream) join(b *batch, out []*outgoing) (p []byte, n int) {
	for n < len(out) && b.Len() < batchSize && (n == 0 || len(c.readyFrame(out[n])) < batchSize) {
		c.appendOutgoing(b, out[n])
		n++
	}
	return b.Bytes(), n
}

// readyFrame returns the frame that carries o, or nil if it must be made.
func (c *stream) readyFrame(o *outgoing) []byte {
	if c.framing == lengthFrames {
		return readyLengthFrame(o)
	}
	if c.state.ClientSide() || o.header == 0 || c.base64 && o.binary || c.doubleUTF8 && !o.binary {
		return nil
	}
	_, n := frameShape(c.rev, o.packet())
	switch {
	case !c.deflates(n, o.noCompress):
		return o.wsFrame(c.rev)
	case o.shared:
		return o.deflatedFrame(c.rev)
	default:
		return nil // appendDeflated compresses it into the batch
	}
}

// trySend writes the bytes that the kernel accepts at once and stores the rest in c.rest. The connection must have a
// raw side.
func (c *stream) trySend(p []byte) error {
	n, err := writeNoWait(c.raw, p)
	if n < len(p) {
		c.unwritten = bytes.Clone(p[n:])
	}
	return err
}

// send writes all of p, in one system call if the kernel accepts it. The timeout bounds each piece of a large p, so
// that a peer that reads slowly does not exceed it.
func (c *stream) send(p []byte, timeout time.Duration) error {
	if c.raw != nil {
		n, err := writeNoWait(c.raw, p)
		if p = p[n:]; err != nil || len(p) == 0 {
			return err
		}
	}
	for len(p) >= 2*batchSize {
		if err := c.sendPiece(p[:batchSize], timeout); err != nil {
			return err
		}
		p = p[batchSize:]
		if c.owner != nil {
			c.owner.tookPiece()
		}
	}
	return c.sendPiece(p, timeout)
}

func (c *stream) sendPiece(p []byte, timeout time.Duration) error {
	if d, ok := c.conn.(interface{ SetWriteDeadline(time.Time) error }); ok {
		_ = d.SetWriteDeadline(time.Now().Add(timeout)) // a broken connection fails in Write
		defer func() { _ = d.SetWriteDeadline(time.Time{}) }()
	} else {
		defer time.AfterFunc(timeout, func() { _ = c.conn.Close() }).Stop()
	}
	_, err := c.conn.Write(p)
	return err
}

// appendOutgoing appends the frame that carries o.
func (c *stream) appendOutgoing(b *batch, o *outgoing) {
	frame := c.readyFrame(o)
	switch {
	case o.control != 0:
		c.appendFrame(b, o.control, len(o.data()), func(dst []byte) []byte { return append(dst, o.data()...) })
	case frame != nil:
		b.Write(frame)
	default:
		c.appendPacket(b, o.packet(), o.noCompress)
	}
}

// appendPacket appends a frame that carries p. It compresses p if that is permitted.
func (c *stream) appendPacket(b *batch, p packet.Packet, asIs bool) {
	if c.doubleUTF8 && !p.Binary {
		p.Data = packet.AppendDoubleUTF8(nil, p.Data)
	}
	op, n := frameShape(c.rev, p)
	asText := c.base64 && p.Binary
	if asText {
		op = ws.OpText
	}
	switch {
	case c.deflates(n, asIs) && c.appendDeflated(b, op, p):
	case asText:
		text := packet.AppendText(nil, c.rev, p)
		c.appendFrame(b, op, len(text), func(dst []byte) []byte { return append(dst, text...) })
	default:
		c.appendFrame(b, op, n, func(dst []byte) []byte { return appendFrameBody(dst, c.rev, p) })
	}
}

func (c *stream) appendFrame(b *batch, op ws.OpCode, n int, body func([]byte) []byte) {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(n)}
	if c.framing == lengthFrames {
		b.Write(appendLengthHeader(b.header[:0], op, n))
	} else {
		if c.state.ClientSide() {
			h.Masked, h.Mask = true, ws.NewMask()
		}
		_ = ws.WriteHeaderBuffer(b, h, b.header[:]) // a bytes.Buffer does not fail
	}
	start := b.Len()
	b.Grow(n)
	b.Write(body(b.AvailableBuffer()))
	if h.Masked {
		ws.Cipher(b.Bytes()[start:], h.Mask, 0)
	}
}

// writePacket writes one packet at once.
func (c *stream) writePacket(p packet.Packet) error {
	b := newBatch()
	defer b.release()
	c.appendPacket(b, p, true)
	return c.send(b.Bytes(), c.conf.writeTimeout)
}

// closeFrameTimeout bounds the write of a close frame to a peer whose session this side ends at once.
const closeFrameTimeout = time.Second

// end closes the connection. Before that, it sends a close frame if err requires one.
func (c *stream) end(err error) {
	if code, owed := c.closeFrameFor(err); owed {
		_ = c.writeClose(code, closeFrameTimeout)
	}
	_ = c.conn.Close()
}

// owes reports whether err requires a close frame, and with which code.
func (c *stream) closeFrameFor(err error) (code ws.StatusCode, owed bool) {
	if c == nil || c.framing != webSocketFrames {
		return 0, false
	}
	return closeCode(err)
}

// sendClose announces the end of the stream to the peer.
func (c *stream) writeGoodbye() error {
	if c.framing == lengthFrames {
		return c.writeEnd()
	}
	return c.writeClose(0, c.conf.writeTimeout)
}

// closeReason translates the error of a stream to the error of its session.
func closeReason(err error) *CloseError {
	var fe *frameError
	switch {
	case errors.As(err, &fe):
		return &CloseError{Reason: fe.reason, Remote: true, Err: fe.err}
	case errors.Is(err, errPeerClosed), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return &CloseError{Reason: ReasonTransportClose, Remote: true, Err: err}
	default:
		return &CloseError{Reason: ReasonTransportError, Remote: true, Err: err}
	}
}
