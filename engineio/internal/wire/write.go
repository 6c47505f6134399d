package wire

import (
	"bytes"
	"sync"
	"time"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// batch is a buffer that joins frames, so that they leave in one system call.
type batch struct {
	bytes.Buffer
	header [ws.MaxHeaderSize]byte
}

// BatchSize is the size at which a batch is written, in bytes.
const BatchSize = 64 << 10

var batches = sync.Pool{New: func() any { return new(batch) }}

func newBatch() *batch { return batches.Get().(*batch) }

func (b *batch) release() {
	b.Reset()
	if b.Cap() <= 2*BatchSize { // the pool must not keep one huge message for ever
		batches.Put(b)
	}
}

// CanWriteNow reports whether the stream can write the bytes that the kernel accepts at once, without waiting.
func (c *Stream) CanWriteNow() bool { return c.raw != nil }

// Unwritten returns the number of bytes of an earlier write that the kernel did not accept at once. A nil stream has
// none.
func (c *Stream) Unwritten() int {
	if c == nil {
		return 0
	}
	return len(c.unwritten)
}

// WriteAll writes packets.
func (c *Stream) WriteAll(out []*Outgoing) error {
	for len(out) > 0 {
		n, err := c.WriteSome(out, true)
		if err != nil {
			return err
		}
		out = out[n:]
	}
	return nil
}

// WriteSome writes the unwritten bytes of an earlier write or else one batch: packets joined up to BatchSize, or one
// large packet. It returns how many packets of out it took. Without wait, it writes only the bytes that the kernel
// accepts at once, and keeps the others: see Unwritten. Then CanWriteNow must be true.
func (c *Stream) WriteSome(out []*Outgoing, wait bool) (n int, err error) {
	if len(c.unwritten) > 0 {
		if err := c.send(c.unwritten, c.conf.WriteTimeout); err != nil {
			return 0, err
		}
		c.unwritten = nil
		return 0, nil
	}
	b := newBatch()
	defer b.release()
	p := c.readyFrame(out[0])
	if len(p) >= BatchSize { // it is large, and many sockets may share it, so it is written without a copy
		n = 1
	} else {
		p, n = c.join(b, out)
	}
	if wait {
		return n, c.send(p, c.conf.WriteTimeout)
	}
	return n, c.trySend(p)
}

// WritePacket writes one packet at once.
func (c *Stream) WritePacket(p packet.Packet) error {
	b := newBatch()
	defer b.release()
	c.appendPacket(b, p, true)
	return c.send(b.Bytes(), c.conf.WriteTimeout)
}

// WriteNow writes the bytes of one packet that the kernel accepts at once, and keeps the others: see Unwritten. It
// compresses the packet if that is permitted and noCompression is not set. CanWriteNow must be true.
func (c *Stream) WriteNow(p packet.Packet, noCompression bool) error {
	b := newBatch()
	c.appendPacket(b, p, noCompression)
	err := c.trySend(b.Bytes())
	b.release()
	return err
}

// WriteOutgoingNow is WriteNow for an encoded packet.
func (c *Stream) WriteOutgoingNow(o *Outgoing) error {
	b := newBatch()
	c.appendOutgoing(b, o)
	err := c.trySend(b.Bytes())
	b.release()
	return err
}

// BodyLen returns the number of bytes of p in a frame without compression, the frame's header not included.
func (c *Stream) BodyLen(p packet.Packet) int {
	if c.base64 && p.Binary {
		return len(packet.AppendText(nil, c.rev, p))
	}
	_, n := frameShape(c.rev, p)
	return n
}

// join fills b with frames of out, up to BatchSize. It returns the bytes and the number of frames.
func (c *Stream) join(b *batch, out []*Outgoing) (p []byte, n int) {
	for n < len(out) && b.Len() < BatchSize && (n == 0 || len(c.readyFrame(out[n])) < BatchSize) {
		c.appendOutgoing(b, out[n])
		n++
	}
	return b.Bytes(), n
}

// readyFrame returns the frame that carries o, or nil if it must be made.
func (c *Stream) readyFrame(o *Outgoing) []byte {
	if c.webTransport {
		return readyLengthFrame(o)
	}
	if c.state.ClientSide() || o.header == 0 || c.base64 && o.binary || c.doubleUTF8 && !o.binary {
		return nil
	}
	_, n := frameShape(c.rev, o.Packet())
	switch {
	case !c.deflates(n, o.NoCompression):
		return o.wsFrame(c.rev)
	case o.Shared:
		return o.deflatedFrame(c.rev)
	default:
		return nil // appendDeflated compresses it into the batch
	}
}

// trySend writes the bytes that the kernel accepts at once and keeps the others. The connection must be a plain socket.
func (c *Stream) trySend(p []byte) error {
	n, err := writeNoWait(c.raw, p)
	if n < len(p) {
		c.unwritten = bytes.Clone(p[n:])
	}
	return err
}

// send writes all of p, in one system call if the kernel accepts it. The timeout bounds each piece of a large p, so
// that a peer that reads slowly does not exceed it.
func (c *Stream) send(p []byte, timeout time.Duration) error {
	if c.raw != nil {
		n, err := writeNoWait(c.raw, p)
		if p = p[n:]; err != nil || len(p) == 0 {
			return err
		}
	}
	for len(p) >= 2*BatchSize {
		if err := c.sendPiece(p[:BatchSize], timeout); err != nil {
			return err
		}
		p = p[BatchSize:]
		if c.session != nil {
			c.session.Progress()
		}
	}
	return c.sendPiece(p, timeout)
}

func (c *Stream) sendPiece(p []byte, timeout time.Duration) error {
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
func (c *Stream) appendOutgoing(b *batch, o *Outgoing) {
	frame := c.readyFrame(o)
	switch {
	case o.control != 0:
		c.appendFrame(b, o.control, len(o.Data()), func(dst []byte) []byte { return append(dst, o.Data()...) })
	case frame != nil:
		b.Write(frame)
	default:
		c.appendPacket(b, o.Packet(), o.NoCompression)
	}
}

// appendPacket appends a frame that carries p. It compresses p if that is permitted.
func (c *Stream) appendPacket(b *batch, p packet.Packet, noCompression bool) {
	if c.doubleUTF8 && !p.Binary {
		p.Data = packet.AppendDoubleUTF8(nil, p.Data)
	}
	op, n := frameShape(c.rev, p)
	asText := c.base64 && p.Binary
	if asText {
		op = ws.OpText
	}
	switch {
	case c.deflates(n, noCompression) && c.appendDeflated(b, op, p):
	case asText:
		text := packet.AppendText(nil, c.rev, p)
		c.appendFrame(b, op, len(text), func(dst []byte) []byte { return append(dst, text...) })
	default:
		c.appendFrame(b, op, n, func(dst []byte) []byte { return appendFrameBody(dst, c.rev, p) })
	}
}

func (c *Stream) appendFrame(b *batch, op ws.OpCode, n int, body func([]byte) []byte) {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(n)}
	if c.webTransport {
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
