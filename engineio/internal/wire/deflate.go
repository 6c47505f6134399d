package wire

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// This file implements permessage-deflate (RFC 7692). Both ends reset their compression context after each message ("no
// context takeover"): a context would cost each session 32 KB at one end and a megabyte at the other, and a message to
// many sockets could not be compressed once for all of them.

// DeflateOffer is the client's offer. It does not include client_max_window_bits, since compress/flate supports one
// window size only.
const DeflateOffer = wsflate.ExtensionName + "; server_no_context_takeover; client_no_context_takeover"

// DeflateChosen reports whether the server chose the client's offer. ok is false if the server chose an extension that
// the client did not offer.
func DeflateChosen(answer http.Header, offered bool) (chosen, ok bool) {
	header := strings.Join(answer.Values("Sec-WebSocket-Extensions"), ",")
	if header == "" {
		return false, true
	}
	extensions, ok := httphead.ParseOptions([]byte(header), nil)
	var p wsflate.Parameters
	ok = ok && offered && len(extensions) == 1 && string(extensions[0].Name) == wsflate.ExtensionName &&
		p.Parse(extensions[0]) == nil && p.ServerNoContextTakeover && !p.ClientMaxWindowBits.Defined()
	return ok, ok
}

// DeflateOffers processes the offers of a client. The server accepts the first offer that it supports.
type DeflateOffers struct {
	Accepted bool // an offer was accepted
}

// Negotiate is the Negotiate of ws.HTTPUpgrader.
func (o *DeflateOffers) Negotiate(offer httphead.Option) (answer httphead.Option, err error) {
	ours := wsflate.Extension{Parameters: wsflate.DefaultParameters}
	if o.Accepted {
		return answer, nil
	}
	if answer, err = ours.Negotiate(offer); err != nil {
		return httphead.Option{}, nil //nolint:nilerr // an offer that makes no sense is declined (RFC 7692, section 7)
	}
	_, o.Accepted = ours.Accepted()
	return answer, nil
}

// deflateTail ends each compressed message. It is not sent (RFC 7692, section 7.2.1).
const deflateTail = "\x00\x00\xff\xff"

// rsv1 marks the first frame of a compressed message in a ws.Header, and rsv1Bit in the first byte of a frame.
const rsv1, rsv1Bit = 4, 0x40

// deflaters is a pool of compressors, which need a megabyte each.
var deflaters = sync.Pool{New: func() any {
	z, _ := flate.NewWriter(nil, flate.BestSpeed) // fails for unknown levels only
	return z
}}

// compressing limits how many compressors work at once to the number of processors.
var compressing = make(chan struct{}, runtime.GOMAXPROCS(0))

// StartCompressing waits until the caller may use a compressor. The caller then calls StopCompressing.
func StartCompressing() { compressing <- struct{}{} }

// StopCompressing lets the next goroutine that waits in StartCompressing continue.
func StopCompressing() { <-compressing }

// deflate appends body to b in compressed form. If that is not smaller, it returns false and leaves b unchanged.
func deflate(b *bytes.Buffer, body []byte) bool {
	start := b.Len()
	StartCompressing()
	z := deflaters.Get().(*flate.Writer)
	z.Reset(b)
	_, _ = z.Write(body) // a bytes.Buffer does not fail
	_ = z.Flush()
	deflaters.Put(z)
	StopCompressing()
	b.Truncate(b.Len() - len(deflateTail))
	if b.Len()-start < len(body) {
		return true
	}
	b.Truncate(start)
	return false
}

// deflates reports whether a message with a body of n bytes must be compressed.
func (c *Stream) deflates(n int, noCompression bool) bool {
	return c.deflate && !noCompression && n >= c.conf.CompressFrom
}

// appendDeflated appends a frame that carries p compressed, and returns true. If that is not smaller, it appends
// nothing.
func (c *Stream) appendDeflated(b *batch, op ws.OpCode, p packet.Packet) bool {
	plain, z := newBatch(), newBatch()
	defer plain.release()
	defer z.release()
	if op == ws.OpText {
		plain.Write(packet.AppendText(plain.AvailableBuffer(), c.rev, p))
	} else {
		plain.Write(packet.AppendBinary(plain.AvailableBuffer(), c.rev, p))
	}
	if !deflate(&z.Buffer, plain.Bytes()) {
		return false
	}
	start := b.Len()
	c.appendFrame(b, op, z.Len(), func(dst []byte) []byte { return append(dst, z.Bytes()...) })
	b.Bytes()[start] |= rsv1Bit
	return true
}

// deflatedFrame returns the frame in which a server sends o in revision rev: compressed, or as it is if compression
// does not make it smaller.
func (o *Outgoing) deflatedFrame(rev packet.Revision) []byte {
	others := o.otherFrames()
	made := &others.deflated[0]
	if o.binary && rev == packet.Revision3 {
		made = &others.deflated[1]
	}
	if f := made.Load(); f != nil {
		return *f
	}
	others.mu.Lock()
	defer others.mu.Unlock()
	if f := made.Load(); f != nil {
		return *f
	}
	f := o.wsFrame(rev)
	op, n := frameShape(rev, o.Packet())
	z := newBatch()
	defer z.release()
	if deflate(&z.Buffer, f[len(f)-n:]) {
		h := ws.Header{Fin: true, Rsv: rsv1, OpCode: op, Length: int64(z.Len())}
		var b bytes.Buffer
		b.Grow(ws.HeaderSize(h) + z.Len())
		_ = ws.WriteHeader(&b, h) // a bytes.Buffer does not fail
		b.Write(z.Bytes())
		f = b.Bytes()
	}
	made.Store(&f)
	return f
}

// inflater decompresses messages. It needs 40 KB and is therefore pooled.
type inflater struct {
	io.Reader // made by compress/flate
	source    deflated
}

var inflaters = sync.Pool{New: func() any {
	z := new(inflater)
	z.Reader = flate.NewReader(&z.source)
	return z
}}

// deflated reads a compressed message, then the tail that the sender removed, and then a last block, which ends the
// input for the inflater.
type deflated struct {
	body []byte
	rest string
}

func (d *deflated) ReadByte() (b byte, err error) {
	switch {
	case len(d.body) > 0:
		b, d.body = d.body[0], d.body[1:]
	case d.rest != "":
		b, d.rest = d.rest[0], d.rest[1:]
	default:
		err = io.EOF
	}
	return b, err
}

func (d *deflated) Read(p []byte) (n int, err error) {
	switch {
	case len(d.body) > 0:
		n = copy(p, d.body)
		d.body = d.body[n:]
	case d.rest != "":
		n = copy(p, d.rest)
		d.rest = d.rest[n:]
	default:
		err = io.EOF
	}
	return n, err
}

// inflate returns the decompressed body of the message that was just read. The result is bounded and counted as if it
// had been received without compression.
//
//go:noinline // the frame of ReadPacket must stay small, see Socket.Read
func (c *Stream) inflate(body []byte) (inflated []byte, err error) {
	z := inflaters.Get().(*inflater)
	z.source = deflated{body, deflateTail + "\x01" + deflateTail}
	_ = z.Reader.(flate.Resetter).Reset(&z.source, nil) // never fails
	for err == nil {
		if len(inflated) == cap(inflated) {
			if inflated, err = receivelimit.Enlarge(inflated, c.conf.MaxPayload+1, receivelimit.Free, c.reserve); err != nil { // one more byte, to detect the end
				break
			}
		}
		var n int
		n, err = z.Read(inflated[len(inflated):cap(inflated)])
		if inflated = inflated[:len(inflated)+n]; len(inflated) > c.conf.MaxPayload {
			err = &Error{ws.StatusMessageTooBig, Violation, ErrTooLarge}
		}
	}
	z.source = deflated{}
	inflaters.Put(z)
	if !c.inPlace {
		receivelimit.Recycle(body)
	}
	c.inPlace = false
	if errors.Is(err, io.EOF) {
		return slices.Clip(inflated), nil // a reused buffer may hold other bytes after the message
	}
	receivelimit.Recycle(inflated)
	if _, corrupt := errors.AsType[flate.CorruptInputError](err); corrupt || errors.Is(err, io.ErrUnexpectedEOF) {
		err = &Error{ws.StatusInvalidFramePayloadData, Violation, err}
	}
	return nil, err
}
