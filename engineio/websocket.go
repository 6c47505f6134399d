package engineio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// errPeerClosed means that the peer closed the WebSocket in good order.
var errPeerClosed = errors.New("engineio: the peer closed the WebSocket")

// readMessage returns the next message and whether it is text or binary.
func (c *stream) readMessage() (op ws.OpCode, body []byte, err error) {
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
				op, body = c.fragOp, c.fragment
				if !c.compressed {
					body = slices.Clip(body) // a reused buffer may hold other bytes after the message
				}
				c.fragOp, c.fragment, c.inPlace = 0, nil, false
				return op, body, nil
			}
		}
		if err != nil {
			return 0, nil, err
		}
	}
}

// holdsMessage reports whether the buffer begins with a complete frame that is a text message.
func (c *stream) holdsMessage() bool {
	if c.framing == lengthFrames {
		return c.holdsLengthFrame()
	}
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

// check rejects a frame whose header is invalid or not permitted now.
func (c *stream) check(h ws.Header) error {
	state := c.state
	if c.fragOp != 0 {
		state = state.Set(ws.StateFragmented)
	}
	first := h.OpCode == ws.OpText || h.OpCode == ws.OpBinary
	packed := c.deflate && first && h.Rsv == rsv1
	if packed {
		h.Rsv = 0
	}
	if err := ws.CheckHeader(h, state); err != nil {
		return &frameError{ws.StatusProtocolError, ReasonTransportError, err}
	}
	if first {
		c.compressed = packed
	}
	if !h.OpCode.IsControl() && h.Length > int64(c.conf.maxPayload-len(c.fragment)) {
		return &frameError{ws.StatusMessageTooBig, ReasonTransportError, ErrTooLarge}
	}
	return c.spend(ws.HeaderSize(h) + int(h.Length))
}

// readFragment reads a data frame that is only a part of a message, or that is not completely buffered.
func (c *stream) readFragment(h ws.Header) (err error) {
	start := len(c.fragment)
	most := c.conf.maxPayload // the length of the whole message is unknown
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
func (c *stream) readControl(h ws.Header) error {
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
			c.owner.queuePongFrame(bytes.Clone(body))
		}
	case ws.OpClose:
		return closedByPeer(body)
	}
	return nil
}

// closedByPeer returns the error of a WebSocket whose peer sent a close frame with the given body. The reply has the
// code of that frame.
func closedByPeer(body []byte) error {
	if len(body) == 0 {
		return &frameError{reason: ReasonTransportClose, err: errPeerClosed}
	}
	code, reason := ws.ParseCloseFrameData(body)
	switch err := ws.CheckCloseFrameData(code, reason); {
	case errors.Is(err, ws.ErrProtocolInvalidUTF8):
		return &frameError{ws.StatusInvalidFramePayloadData, ReasonTransportError, err}
	case err != nil:
		return &frameError{ws.StatusProtocolError, ReasonTransportError, err}
	case code == ws.StatusMessageTooBig:
		return &frameError{code, ReasonTransportClose, fmt.Errorf("%w: a message was too large for it", errPeerClosed)}
	}
	return &frameError{code, ReasonTransportClose, errPeerClosed}
}

// writeClose writes a close frame. If code is 0, the frame has no code, as in the reference.
func (c *stream) writeClose(code ws.StatusCode, timeout time.Duration) error {
	b := newBatch()
	defer b.release()
	b.Write(c.unwritten)
	c.unwritten = nil
	var body []byte
	if code != 0 {
		body = ws.NewCloseFrameBody(code, "")
	}
	c.appendFrame(b, ws.OpClose, len(body), func(dst []byte) []byte { return append(dst, body...) })
	return c.send(b.Bytes(), timeout)
}

// closeCode reports whether err requires a close frame on a WebSocket, and with which code.
func closeCode(err error) (code ws.StatusCode, owed bool) {
	if fe, ok := errors.AsType[*frameError](err); ok {
		return fe.code, true
	}
	return 0, false
}
