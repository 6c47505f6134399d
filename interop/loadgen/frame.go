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

// mask is what every frame is masked with. RFC 6455 wants a new one for each, to protect proxies; there is none here, and
// frames that are always the same can be made once.
var mask = [4]byte{0x37, 0xfa, 0x21, 0x3d}

// appendFrame appends a masked frame whose body is kind and text.
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

// tally counts what a piece of a stream brought.
type tally struct {
	messages int // of Engine.IO
	bytes    int // of the messages
	pings    int // of Engine.IO
	pongs    int // of Engine.IO
}

var (
	errClosed   = errors.New("the server closed the WebSocket")
	errOversize = errors.New("the server sent a frame of more than 1 GiB")
)

// scanner takes a server's stream apart into frames, whatever the reads cut it into. It looks at the first byte of each body
// and skips the rest.
type scanner struct {
	head [11]byte // what has come of a header, and of the first byte of the body
	have int
	skip int // bytes of a body that are still to come
}

// scan counts what b brings.
func (s *scanner) scan(b []byte) (t tally, err error) {
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

// frameSize returns the size of the frame that begins with b, and of its body. It is not whole if b does not reach to the
// first byte of the body.
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

// count counts one frame.
func (t *tally) count(b []byte, header, length int) error {
	switch op := b[0] & 0xf; {
	case length > 1<<30:
		return errOversize
	case op == opContinuation:
	case op == opClose:
		return errClosed
	case op == opBinary: // in revision 4 a message without a type
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
