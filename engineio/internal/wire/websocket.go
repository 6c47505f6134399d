package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// readMessage returns the next message and whether it is text or binary.
func (c *Stream) readMessage() (op ws.OpCode, body []byte, err error) {
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
		case h.Fin && c.fragOp == 0 && c.Buffered() >= int(h.Length):
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

// holdsTextFrame reports whether the read buffer begins with a complete frame that is a text message.
func (c *Stream) holdsTextFrame() bool {
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
		return &Error{ws.StatusProtocolError, Violation, err}
	}
	return err
}

// check rejects a frame whose header is invalid or not permitted now.
func (c *Stream) check(h ws.Header) error {
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
		return &Error{ws.StatusProtocolError, Violation, err}
	}
	if first {
		c.compressed = packed
	}
	if !h.OpCode.IsControl() && h.Length > int64(c.conf.MaxPayload-len(c.fragment)) {
		return &Error{ws.StatusMessageTooBig, Violation, ErrTooLarge}
	}
	return c.spend(ws.HeaderSize(h) + int(h.Length))
}

// readFragment reads a data frame that is only a part of a message, or that is not completely buffered.
func (c *Stream) readFragment(h ws.Header) (err error) {
	start := len(c.fragment)
	most := c.conf.MaxPayload // the length of the whole message is unknown
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
func (c *Stream) readControl(h ws.Header) error {
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
		if c.session != nil {
			c.session.Pong(bytes.Clone(body))
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
		return &Error{Fault: Closed, Err: errPeerClosed}
	}
	code, reason := ws.ParseCloseFrameData(body)
	switch err := ws.CheckCloseFrameData(code, reason); {
	case errors.Is(err, ws.ErrProtocolInvalidUTF8):
		return &Error{ws.StatusInvalidFramePayloadData, Violation, err}
	case err != nil:
		return &Error{ws.StatusProtocolError, Violation, err}
	case code == ws.StatusMessageTooBig:
		return &Error{code, Closed, fmt.Errorf("%w: a message was too large for it", errPeerClosed)}
	}
	return &Error{code, Closed, errPeerClosed}
}
