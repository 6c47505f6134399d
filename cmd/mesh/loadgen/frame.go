package loadgen

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes of WebSocket frames.
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
)

// mask is the masking key of every frame. RFC 6455 requires a new key for each frame, to protect proxies. A load has no
// proxies, and with one key a repeated frame needs to be built only once.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// appendFrame appends a masked text frame. Its body is kind followed by text.
func appendFrame[T string | []byte](dst []byte, kind byte, text T) []byte {
	n := len(text) + 1
	dst = appendHeader(dst, opText, n)
	dst = append(dst, kind^mask[0])
	for i := range len(text) {
		dst = append(dst, text[i]^mask[(i+1)%4])
	}
	return dst
}

func appendHeader(dst []byte, op byte, n int) []byte {
	const fin, masked = 0x80, 0x80
	dst = append(dst, fin|op)
	switch {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	return append(dst, mask[:]...)
}

// closeFrame ends a WebSocket.
var closeFrame = appendHeader(nil, opClose, 0)

// counts describes a piece of a stream.
type counts struct {
	messages int // of Engine.IO
	bytes    int // of the messages
	pings    int // of Engine.IO
	pongs    int // of Engine.IO
}

var (
	errClosed   = errors.New("the server closed the WebSocket")
	errOversize = errors.New("the server sent a frame of more than 1 GiB")
)

// scanner splits a server's stream into frames. The pieces of the stream may end anywhere. The scanner looks at the
// first byte of each body and skips the rest.
type scanner struct {
	head [11]byte // the received part of a header and of the first byte of the body
	have int
	skip int // bytes of a body that have not come yet
}

// scan counts the frames in b, the next piece of the stream.
func (s *scanner) scan(b []byte) (t counts, err error) {
	for {
		if s.skip >= len(b) {
			s.skip -= len(b)
			return t, nil
		}
		b = b[s.skip:]
		s.skip = 0
		head := b
		if s.have > 0 { // the last piece ended within a header
			n := copy(s.head[s.have:], b)
			head = s.head[:s.have+n]
		}
		size, length, whole := frameSize(head)
		if !whole {
			s.have = copy(s.head[:], head)
			return t, nil
		}
		if err := t.count(head, size-length, length); err != nil {
			return t, err
		}
		s.skip = size - s.have
		s.have = 0
	}
}

// frameSize returns the size of the frame at the beginning of b, and the length of its body. whole is false if b ends
// before the first byte of the body.
func frameSize(b []byte) (size, length int, whole bool) {
	if len(b) < 2 {
		return 0, 0, false
	}
	header := 2
	switch length = int(b[1] & 0x7f); length {
	case 126:
		header = 4
		if len(b) >= header {
			length = int(binary.BigEndian.Uint16(b[2:]))
		}
	case 127:
		header = 10
		if len(b) >= header {
			length = int(min(binary.BigEndian.Uint64(b[2:]), 1<<31))
		}
	}
	return header + length, length, len(b) >= header+min(length, 1)
}

// count adds one frame to the counts.
func (t *counts) count(b []byte, header, length int) error {
	switch op := b[0] & 0xf; {
	case length > 1<<30:
		return errOversize
	case op == opContinuation:
	case op == opClose:
		return errClosed
	case op == opBinary: // in revision 4 a message without a packet type
		t.messages++
		t.bytes += length
	case op != opText || length == 0:
		return fmt.Errorf("the server sent a frame with opcode %#x and %d bytes, which a load does not expect", op, length)
	default:
		switch b[header] {
		case '4':
			t.messages++
			t.bytes += length - 1
		case '2':
			t.pings++
		case '3':
			t.pongs++
		case '1':
			return errClosed
		}
	}
	return nil
}
