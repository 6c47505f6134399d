package engineio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/packet"
)

// wsConn carries packets over a WebSocket, for both roles. Reading belongs to one goroutine at a time: the upgrade's
// until the session moves over, then the one in Socket.Read. Writing belongs to whoever holds Socket.writing (or, before
// the session has moved over, to the upgrade).
type wsConn struct {
	reader
	conf *config
	rev  Revision

	rest     []byte // what an attempt to write without waiting left over; it goes before all else
	fragment []byte // what has come of an unfinished message

	fragOp  ws.OpCode // the unfinished message's opcode
	inPlace bool      // the last packet's data stands in the read buffer
	base64  bool      // the client asked for text frames only (b64 in the query)
	state   ws.State
	header  [ws.MaxHeaderSize]byte // of the frame that is being read
}

// errPeerClosed says that the peer closed the WebSocket in good order.
var errPeerClosed = errors.New("engineio: the peer closed the WebSocket")

// frameError is a violation that is answered with a close frame.
type frameError struct {
	code   ws.StatusCode // 0: a close frame without a code
	reason string        // the session's close reason
	err    error
}

func (e *frameError) Error() string { return fmt.Sprintf("%s: %v", e.reason, e.err) }
func (e *frameError) Unwrap() error { return e.err }

func newWSConn(conn io.ReadWriteCloser, rev Revision, state ws.State, conf *config) *wsConn {
	c := &wsConn{reader: reader{conn: conn, raw: plainSocket(conn)}, conf: conf, rev: rev, state: state}
	if c.raw != nil {
		c.pull = c.pullRaw
	}
	return c
}

// readPacket returns the next packet. Control frames are dealt with on the way. The packet's data is valid until the
// next call; a short message stands in the read buffer. What an idle session needs for its heartbeat is kept out of the
// way of what others need, and allocates nothing, so that its stack stays small, see Socket.Read.
func (c *wsConn) readPacket() (packet.Packet, error) {
	op, body, err := c.readMessage()
	if c.incoming != nil {
		err = c.received(err)
	}
	if err != nil {
		inputs.put(c.fragment)
		c.fragment = nil
		return packet.Packet{}, err
	}
	var p packet.Packet
	if op == ws.OpText {
		p, err = packet.ParseText(c.rev, body)
	} else {
		p, err = packet.ParseBinary(c.rev, body)
	}
	if err != nil {
		return p, c.unreadable(op, body, err)
	}
	return p, nil
}

// unreadable is what a message ends the session with that is no packet.
func (c *wsConn) unreadable(op ws.OpCode, body []byte, err error) error {
	if op == ws.OpText && !utf8.Valid(body) {
		return &frameError{ws.StatusInvalidFramePayloadData, ReasonTransportError, ErrInvalidText}
	}
	return &frameError{reason: ReasonParseError, err: err}
}

// readMessage returns the next message and whether it is text or binary.
func (c *wsConn) readMessage() (op ws.OpCode, body []byte, err error) {
	for {
		h, err := ws.ReadHeaderBuffer(&c.reader, c.header[:])
		if err != nil {
			return 0, nil, headerError(err)
		}
		if err := c.check(h); err != nil {
			return 0, nil, err
		}
		switch {
		case h.OpCode.IsControl():
			err = c.readControl(h)
		case h.Fin && c.fragOp == 0 && c.buffered() >= int(h.Length):
			body = c.next(int(h.Length))
			c.inPlace = true
			if h.Masked {
				ws.Cipher(body, h.Mask, 0)
			}
			return h.OpCode, body, nil
		default:
			if err = c.readFragment(h); err == nil && h.Fin {
				op, body = c.fragOp, slices.Clip(c.fragment) // a kept buffer may hold other bytes behind
				c.fragOp, c.fragment, c.inPlace = 0, nil, false
				return op, body, nil
			}
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// holdsMessage tells whether the buffer begins with a frame that is a text message as a whole.
func (c *wsConn) holdsMessage() bool {
	const fin, masked = 0x80, 0x80
	b := c.buf
	if c.fragOp != 0 || len(b) < 2 || b[0] != fin|byte(ws.OpText) {
		return false
	}
	header, length := 2, int(b[1]&^masked)
	switch length {
	case 126:
		if header = 4; len(b) < header {
			return false
		}
		length = int(binary.BigEndian.Uint16(b[2:]))
	case 127:
		return false // longer than a buffer
	}
	key := byte(0)
	if b[1]&masked != 0 {
		if len(b) < header+4 {
			return false
		}
		key = b[header]
		header += 4
	}
	return length > 0 && len(b) >= header+length && b[header]^key == '0'+byte(packet.Message)
}

func headerError(err error) error {
	if errors.Is(err, ws.ErrHeaderLengthMSB) || errors.Is(err, ws.ErrHeaderLengthUnexpected) {
		return &frameError{ws.StatusProtocolError, ReasonTransportError, err}
	}
	return err
}

// check refuses a frame that must not come now, by its header.
func (c *wsConn) check(h ws.Header) error {
	state := c.state
	if c.fragOp != 0 {
		state = state.Set(ws.StateFragmented)
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return &frameError{ws.StatusProtocolError, ReasonTransportError, err}
	}
	if !h.OpCode.IsControl() && h.Length > int64(c.conf.maxPayload-len(c.fragment)) {
		return &frameError{ws.StatusMessageTooBig, ReasonTransportError, ErrTooLarge}
	}
	return nil
}

// readFragment reads a frame that is part of a message, or is not buffered as a whole.
func (c *wsConn) readFragment(h ws.Header) (err error) {
	start := len(c.fragment)
	most := c.conf.maxPayload // nobody knows what is to come
	if h.Fin {
		most = start + int(h.Length)
	}
	if c.fragment, err = c.appendN(c.fragment, int(h.Length), most); err != nil {
		return err
	}
	if h.Masked {
		ws.Cipher(c.fragment[start:], h.Mask, 0)
	}
	if h.OpCode != ws.OpContinuation {
		c.fragOp = h.OpCode
	}
	return nil
}

//go:noinline // its buffer must not be in the frame of readMessage, see Socket.Read
func (c *wsConn) readControl(h ws.Header) error {
	var space [ws.MaxControlFramePayloadSize]byte
	body := space[:h.Length]
	if _, err := io.ReadFull(&c.reader, body); err != nil {
		return err
	}
	if h.Masked {
		ws.Cipher(body, h.Mask, 0)
	}
	switch h.OpCode {
	case ws.OpPing:
		if c.owner != nil {
			c.owner.pongFrame(bytes.Clone(body))
		}
	case ws.OpClose:
		code, reason := ws.ParseCloseFrameData(body)
		if len(body) > 0 {
			if err := ws.CheckCloseFrameData(code, reason); err != nil {
				return &frameError{ws.StatusProtocolError, ReasonTransportError, err}
			}
		}
		if code == ws.StatusMessageTooBig {
			return fmt.Errorf("%w: a message was too large for it", errPeerClosed)
		}
		return errPeerClosed
	}
	return nil
}

// batch is a buffer in which frames are joined, so that they leave in one system call.
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
	if b.Cap() <= 2*batchSize { // one huge message must not stay in the pool for ever
		batches.Put(b)
	}
}

// writeAll writes queued packets, joined into as few system calls as batchSize allows. It says how many of them it
// took. Without wait it stops where it would have to wait, with what is left of a batch in c.rest.
func (c *wsConn) writeAll(out []*outgoing, wait bool) (n int, err error) {
	if len(c.rest) > 0 {
		if err := c.send(c.rest, c.conf.writeTimeout); err != nil {
			return 0, err
		}
		c.rest = nil
	}
	b := newBatch()
	defer b.release()
	for n < len(out) && err == nil && len(c.rest) == 0 {
		p := c.readyFrame(out[n])
		if len(p) >= batchSize { // large and perhaps shared by many: written from where it stands
			n++
		} else {
			p, n = c.join(b, out, n)
		}
		if wait {
			err = c.send(p, c.conf.writeTimeout)
		} else {
			err = c.trySend(p)
		}
	}
	return n, err
}

// join fills b with frames from out[n] on, up to batchSize, and returns them and where it stopped.
func (c *wsConn) join(b *batch, out []*outgoing, n int) ([]byte, int) {
	b.Reset()
	for n < len(out) && b.Len() < batchSize && (b.Len() == 0 || len(c.readyFrame(out[n])) < batchSize) {
		c.appendOutgoing(b, out[n])
		n++
	}
	return b.Bytes(), n
}

// readyFrame returns the frame that carries o, if it need not be made.
func (c *wsConn) readyFrame(o *outgoing) []byte {
	if c.state.ClientSide() || o.frame == nil || c.base64 && o.binary {
		return nil
	}
	return o.wsFrame(c.rev)
}

// trySend writes what the kernel takes at once and keeps the rest in c.rest. The connection must have a raw side.
func (c *wsConn) trySend(p []byte) error {
	n, err := writeNoWait(c.raw, p)
	if n < len(p) {
		c.rest = bytes.Clone(p[n:])
	}
	return err
}

// send writes all of p, in one system call where the kernel takes it.
func (c *wsConn) send(p []byte, timeout time.Duration) error {
	if c.raw != nil {
		n, err := writeNoWait(c.raw, p)
		if p = p[n:]; err != nil || len(p) == 0 {
			return err
		}
	}
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
func (c *wsConn) appendOutgoing(b *batch, o *outgoing) {
	frame := c.readyFrame(o)
	switch {
	case o.control != 0:
		c.appendFrame(b, o.control, len(o.data), func(dst []byte) []byte { return append(dst, o.data...) })
	case frame != nil:
		b.Write(frame)
	default:
		c.appendPacket(b, o.packet())
	}
}

// appendPacket appends a frame that carries p.
func (c *wsConn) appendPacket(b *batch, p packet.Packet) {
	if c.base64 && p.Binary {
		text := packet.AppendText(nil, c.rev, p)
		c.appendFrame(b, ws.OpText, len(text), func(dst []byte) []byte { return append(dst, text...) })
		return
	}
	op, n := frameShape(c.rev, p)
	c.appendFrame(b, op, n, func(dst []byte) []byte { return appendFrameBody(dst, c.rev, p) })
}

func (c *wsConn) appendFrame(b *batch, op ws.OpCode, n int, body func([]byte) []byte) {
	h := ws.Header{Fin: true, OpCode: op, Length: int64(n)}
	if c.state.ClientSide() {
		h.Masked, h.Mask = true, ws.NewMask()
	}
	_ = ws.WriteHeaderBuffer(b, h, b.header[:]) // a bytes.Buffer does not fail
	start := b.Len()
	b.Grow(n)
	b.Write(body(b.AvailableBuffer()))
	if h.Masked {
		ws.Cipher(b.Bytes()[start:], h.Mask, 0)
	}
}

// writePacket writes one packet at once.
func (c *wsConn) writePacket(p packet.Packet) error {
	b := newBatch()
	defer b.release()
	c.appendPacket(b, p)
	return c.send(b.Bytes(), c.conf.writeTimeout)
}

// goodbyeTimeout bounds the write of a close frame to a peer that is being given up.
const goodbyeTimeout = time.Second

// writeClose writes a close frame. A code of 0 leaves the frame without one, as the reference does.
func (c *wsConn) writeClose(code ws.StatusCode, timeout time.Duration) error {
	b := newBatch()
	defer b.release()
	b.Write(c.rest)
	c.rest = nil
	var body []byte
	if code != 0 {
		body = ws.NewCloseFrameBody(code, "")
	}
	c.appendFrame(b, ws.OpClose, len(body), func(dst []byte) []byte { return append(dst, body...) })
	return c.send(b.Bytes(), timeout)
}

// end closes the connection. Where the peer is owed a close frame for err, it gets one before.
func (c *wsConn) end(err error) {
	if code, owed := closeCode(err); owed {
		_ = c.writeClose(code, goodbyeTimeout)
	}
	_ = c.conn.Close()
}

// closeCode says whether the peer is owed a close frame for err, and with what code.
func closeCode(err error) (code ws.StatusCode, owed bool) {
	if fe, ok := errors.AsType[*frameError](err); ok {
		return fe.code, true
	}
	return 0, errors.Is(err, errPeerClosed)
}

// closeReason translates what ended a WebSocket into what ended the session.
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
