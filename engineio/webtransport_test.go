package engineio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// tape is a connection with a fixed input that records its output.
type tape struct {
	io.Reader
	bytes.Buffer
}

func (t *tape) Read(p []byte) (int, error)  { return t.Reader.Read(p) }
func (t *tape) Write(p []byte) (int, error) { return t.Buffer.Write(p) }
func (*tape) Close() error                  { return nil }

func lengthStream(role ws.State, in io.Reader, maxPayload int) (*stream, *tape) {
	t := &tape{Reader: in}
	c := newStream(t, Revision4, role, &config{maxPayload: maxPayload, writeTimeout: defaultWriteTimeout})
	c.framing = lengthFrames
	return c, t
}

// lengthFrame makes a frame according to the protocol, with different code than the package.
func lengthFrame(body []byte, isBinary bool) []byte {
	var head bytes.Buffer
	var err error
	switch n := len(body); {
	case n < 126:
		err = head.WriteByte(byte(n))
	case n < 65536:
		err = errors.Join(head.WriteByte(126), binary.Write(&head, binary.BigEndian, uint16(n)))
	default:
		err = errors.Join(head.WriteByte(127), binary.Write(&head, binary.BigEndian, uint64(n)))
	}
	if err != nil {
		panic(err) // a bytes.Buffer does not fail
	}
	if isBinary {
		head.Bytes()[0] |= 0x80
	}
	return append(head.Bytes(), body...)
}

// Packets of lengths with different headers are encoded as the protocol specifies, with ready and with new frames. They
// are decoded unchanged, in pieces of any size.
func TestLengthFrames(t *testing.T) {
	t.Parallel()
	var messages []Message
	var wire []byte
	for _, n := range []int{0, 1, 123, 124, 125, 126, 65533, 65534, 65535, 65536, batchSize - 10, batchSize, 2 * batchSize} {
		data := []byte(strings.Repeat("x", n))
		messages = append(messages, Text(string(data)))
		wire = append(wire, lengthFrame(append([]byte("4"), data...), false)...)
		if n > 0 {
			messages = append(messages, Binary(data))
			wire = append(wire, lengthFrame(data, true)...)
		}
	}
	messages = append(messages, Message{Data: []byte("héllo")})
	wire = append(wire, lengthFrame([]byte("4héllo"), false)...)

	for _, role := range []ws.State{ws.StateServerSide, ws.StateClientSide} {
		out, written := lengthStream(role, strings.NewReader(""), 0)
		var queue []*outgoing
		for i := range messages {
			queue = append(queue, messages[i].outgoing())
		}
		require.NoError(t, out.writeAll(queue))
		require.True(t, bytes.Equal(wire, written.Bytes()), "the bytes sent in batches")

		out, written = lengthStream(role, strings.NewReader(""), 0)
		for _, m := range messages {
			require.NoError(t, out.writePacket(packet.Packet{Type: packet.Message, Binary: m.Binary, Data: m.Data}))
		}
		require.True(t, bytes.Equal(wire, written.Bytes()), "the bytes sent one by one")
	}
	for name, in := range map[string]io.Reader{
		"at once":       bytes.NewReader(wire),
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(wire)),
		"with the end":  iotest.DataErrReader(bytes.NewReader(wire)),
		"half the time": iotest.HalfReader(bytes.NewReader(wire)),
	} {
		c, _ := lengthStream(ws.StateServerSide, in, 1<<20)
		c.owner = newSocket(t.Context(), "", Revision4, WebTransport, &config{receiveLimit: receivelimit.New(1 << 30)})
		for _, m := range messages {
			p, err := c.readPacket()
			require.NoError(t, err, name)
			require.Equal(t, m.Binary, p.Binary, name)
			require.Equal(t, string(m.Data), string(p.Data), name)
		}
		_, err := c.readPacket()
		require.ErrorIs(t, err, io.EOF, name)
	}
}

// holdsMessage, which Socket.Ready calls, returns true for a text message only if the buffer holds all of it.
func TestLengthFramesThatAreThere(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"4", "4abc", "4" + strings.Repeat("x", 124), "4" + strings.Repeat("x", 125), "4" + strings.Repeat("x", 1000)} {
		whole := lengthFrame([]byte(body), false)
		for n := range whole {
			c, _ := lengthStream(ws.StateServerSide, strings.NewReader(""), 1000)
			c.preload(whole[:n])
			require.False(t, c.holdsMessage(), "%d bytes of %d", n, len(whole))
		}
		c, _ := lengthStream(ws.StateServerSide, strings.NewReader(""), 1000)
		c.preload(append(whole, 'x'))
		require.True(t, c.holdsMessage())
	}
	for _, other := range []string{"", "\x00", "\x012", "\x81x", "\x7f\x00\x00\x00\x00\x00\x00\x00\x014"} {
		c, _ := lengthStream(ws.StateServerSide, strings.NewReader(""), 1000)
		c.preload([]byte(other))
		require.False(t, c.holdsMessage(), "%q", other)
	}
}

// FuzzLengthFrames reads any bytes, in pieces of any size, and compares the packets with the packets of a reader that
// gets the whole input at once.
func FuzzLengthFrames(f *testing.F) {
	for _, seed := range []string{
		"", "\x010", "\x024x\x82\x04\x00", "\x00", "\x80", "\x7e\x00\x024x", "\x7e\x03\xe84",
		"\x7f\x00\x00\x00\x00\x00\x00\x00\x024x", "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00",
		"\x024\xff", "\x012\x013\x015\x016\x011\x01x", "\x7e\x00", "\x7f\x00\x00",
	} {
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(200))
	}
	const limit = 1000
	f.Fuzz(func(t *testing.T, wire []byte, piece uint8) {
		c, _ := lengthStream(ws.StateServerSide, &pieces{wire, int(piece%64) + 1}, limit)
		rest := wire
		for {
			got, err := c.readPacket()
			var want packet.Packet
			ok := false
			if body, isBinary, after := cutLengthFrame(rest, limit); body != nil {
				rest = after
				want, ok = parseOne(body, isBinary)
			}
			if ok != (err == nil) {
				t.Fatalf("error %v, a packet is there: %t", err, ok)
			}
			if err != nil {
				return
			}
			if got.Type != want.Type || got.Binary != want.Binary || !bytes.Equal(got.Data, want.Data) {
				t.Fatalf("got %+v, want %+v", got, want)
			}
		}
	})
}

// pieces is a reader that returns at most size bytes in one Read.
type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// cutLengthFrame returns the first frame's body, or nil if b does not begin with a valid frame.
func cutLengthFrame(b []byte, limit int) (body []byte, isBinary bool, rest []byte) {
	if len(b) == 0 {
		return nil, false, nil
	}
	isBinary = b[0] >= 0x80
	n, header := uint64(b[0]&0x7f), 1
	switch {
	case n == 126 && len(b) >= 3:
		n, header = uint64(binary.BigEndian.Uint16(b[1:3])), 3
	case n == 127 && len(b) >= 9:
		n, header = binary.BigEndian.Uint64(b[1:9]), 9
	case n >= 126:
		return nil, false, nil
	}
	if n == 0 || n > uint64(limit) || uint64(len(b)-header) < n {
		return nil, false, nil
	}
	return b[header : header+int(n)], isBinary, b[header+int(n):]
}

func parseOne(body []byte, isBinary bool) (packet.Packet, bool) {
	if isBinary {
		p, err := packet.ParseBinary(Revision4, body)
		return p, err == nil
	}
	p, err := packet.ParseText(Revision4, body)
	return p, err == nil
}
