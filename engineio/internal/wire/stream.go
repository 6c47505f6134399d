package wire

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"time"
	"unicode/utf8"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// Config holds the settings that all streams of a server share.
type Config struct {
	MaxPayload   int           // bytes of one message
	CompressFrom int           // the smallest message that is compressed, in bytes
	WriteTimeout time.Duration // for one write, or for each piece of a large write
}

// Options describes one stream.
type Options struct {
	Revision     packet.Revision
	Client       bool // this side is the client
	WebTransport bool // the connection is a WebTransport stream; otherwise it is a WebSocket
	Base64       bool // the client asked for text frames only (b64 in the query)
	Deflate      bool // both sides may compress messages
}

// Session is the owner of a stream, as its stream sees it.
type Session interface {
	// BeforeBlock runs before each read, because the read may block. The session sends its queued replies.
	BeforeBlock()
	// Pong queues a pong of the WebSocket protocol with this body. Pong owns the body.
	Pong(body []byte)
	// Progress runs when the peer has accepted a piece of a large write.
	Progress()
	// Spend runs before the stream reads n bytes of a frame, its header included. If Spend returns an error, the stream
	// stops reading, and ReadPacket returns that error.
	Spend(n int) error
	// ReceiveLimit returns the limit for the memory of the current message, and the context that ends a wait for it.
	ReceiveLimit() (context.Context, *receivelimit.Limit)
}

// Stream carries packets over one connection, for client and server. See the package documentation for the goroutines
// that may call its methods.
type Stream struct {
	reader
	conf *Config
	rev  packet.Revision

	unwritten []byte // unsent bytes of an earlier write without waiting; they go before all other data
	fragment  []byte // the received part of an unfinished message

	fragOp       ws.OpCode // the unfinished message's opcode
	inPlace      bool      // the last packet's data is in the read buffer
	base64       bool      // see Options
	doubleUTF8   bool      // see Attach
	deflate      bool      // see Options
	compressed   bool      // the current message is compressed
	webTransport bool      // see Options
	state        ws.State
	header       [ws.MaxHeaderSize]byte // of the current frame
}

// New returns a stream on conn. The stream owns conn.
func New(conn io.ReadWriteCloser, conf *Config, o Options) *Stream {
	c := &Stream{
		reader: reader{conn: conn, raw: plainSocket(conn)}, conf: conf, rev: o.Revision, state: ws.StateServerSide,
		webTransport: o.WebTransport, base64: o.Base64, deflate: o.Deflate,
	}
	if o.Client {
		c.state = ws.StateClientSide
	}
	if c.raw != nil {
		c.pull = c.pullRaw
	}
	return c
}

// Attach makes s the owner of the stream. Before that, the stream accepts only small messages. If doubleUTF8 is set,
// the peer encodes the text of its frames in UTF-8 twice and expects the same.
func (c *Stream) Attach(s Session, doubleUTF8 bool) { c.session, c.doubleUTF8 = s, doubleUTF8 }

// Revision returns the protocol revision of the stream's packets.
func (c *Stream) Revision() packet.Revision { return c.rev }

// IsWebTransport reports whether the stream is a WebTransport stream. Such a stream has no frame for an empty binary
// message, and no close frame. It returns false for a nil stream.
func (c *Stream) IsWebTransport() bool { return c != nil && c.webTransport }

// IsTLS reports whether the connection is a TLS connection of package crypto/tls.
func (c *Stream) IsTLS() bool {
	_, is := c.conn.(*tls.Conn)
	return is
}

// Deflates reports whether both sides may compress messages.
func (c *Stream) Deflates() bool { return c.deflate }

// ReadPacket returns the next packet. It handles control frames itself. The packet's data is valid until the next call;
// see InPlace. The path of an idle session's heartbeat allocates nothing and avoids the large stack frames of the other
// paths.
func (c *Stream) ReadPacket() (packet.Packet, error) {
	var op ws.OpCode
	var body []byte
	var err error
	if c.webTransport {
		op, body, err = c.readLengthFrame()
	} else {
		op, body, err = c.readMessage()
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
			DecodeDoubleUTF8(&p)
		}
	} else {
		p, err = packet.ParseBinary(c.rev, body)
	}
	if err != nil {
		return p, unreadable(op, body, err)
	}
	return p, nil
}

// InPlace reports whether the data of the last packet is in the read buffer, where the next ReadPacket overwrites it.
func (c *Stream) InPlace() bool { return c.inPlace }

// DecodeDoubleUTF8 decodes the text of p a second time, if the result is valid.
func DecodeDoubleUTF8(p *packet.Packet) {
	if text, ok := packet.DecodeDoubleUTF8(p.Data); ok && !p.Binary {
		p.Data = text
	}
}

// HoldsMessage reports whether the read buffer begins with a complete frame that is a text message.
func (c *Stream) HoldsMessage() bool {
	if c.webTransport {
		return c.holdsLengthFrame()
	}
	return c.holdsTextFrame()
}

// unreadable returns the error that ends a session whose peer sent a message that is not a packet.
func unreadable(op ws.OpCode, body []byte, err error) error {
	if op == ws.OpText && !utf8.Valid(body) {
		return &Error{ws.StatusInvalidFramePayloadData, Violation, ErrInvalidText}
	}
	return &Error{Fault: Malformed, Err: err}
}

// Close closes the connection at once.
func (c *Stream) Close() { _ = c.conn.Close() }

// End closes the connection. Before that, it sends a close frame if err requires one.
func (c *Stream) End(err error) {
	if fe, ok := c.closeFrameFor(err); ok {
		_ = c.writeClose(fe.Code, CloseFrameTimeout)
	}
	c.Close()
}

// NeedsCloseFrame reports whether End(err) sends a close frame. A nil stream sends none.
func (c *Stream) NeedsCloseFrame(err error) bool {
	_, needs := c.closeFrameFor(err)
	return needs
}

func (c *Stream) closeFrameFor(err error) (fe *Error, ok bool) {
	if c == nil || c.webTransport {
		return nil, false
	}
	return errors.AsType[*Error](err)
}

// WriteGoodbye announces the end of the stream to the peer, and leaves the connection open for the peer's confirmation.
func (c *Stream) WriteGoodbye() error {
	if c.webTransport {
		return c.writeEnd()
	}
	return c.writeClose(0, c.conf.WriteTimeout)
}

// CloseFrameTimeout bounds the write of a close frame to a peer whose session this side ends at once.
const CloseFrameTimeout = time.Second

// writeClose writes a close frame. If code is 0, the frame has no code, as in the reference.
func (c *Stream) writeClose(code ws.StatusCode, timeout time.Duration) error {
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

// Unsent returns how many written bytes the kernel holds because the peer has not acknowledged them. It returns -1 if
// the number is unknown.
func (c *Stream) Unsent() int { return unsent(c.conn) }

// Preload gives the stream input that was already read. The stream owns b.
func (c *Stream) Preload(b []byte) { c.buf = bytes.Clone(b) }
