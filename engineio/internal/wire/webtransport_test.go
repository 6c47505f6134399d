package wire

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

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

func lengthStream(client bool, in io.Reader, maxPayload int) (*Stream, *tape) {
	t := &tape{Reader: in}
	conf := &Config{MaxPayload: maxPayload, WriteTimeout: time.Second}
	return New(t, conf, Options{Revision: packet.Revision4, Client: client, WebTransport: true}), t
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
	var packets []packet.Packet
	var stream []byte
	for _, n := range []int{0, 1, 123, 124, 125, 126, 65533, 65534, 65535, 65536, BatchSize - 10, BatchSize, 2 * BatchSize} {
		data := []byte(strings.Repeat("x", n))
		packets = append(packets, packet.Packet{Type: packet.Message, Data: data})
		stream = append(stream, lengthFrame(append([]byte("4"), data...), false)...)
		if n > 0 {
			packets = append(packets, packet.Packet{Type: packet.Message, Binary: true, Data: data})
			stream = append(stream, lengthFrame(data, true)...)
		}
	}
	packets = append(packets, packet.Packet{Type: packet.Message, Data: []byte("héllo")})
	stream = append(stream, lengthFrame([]byte("4héllo"), false)...)

	for _, client := range []bool{false, true} {
		out, written := lengthStream(client, strings.NewReader(""), 0)
		var queue []*Outgoing
		for _, p := range packets {
			queue = append(queue, Encode(p))
		}
		require.NoError(t, out.WriteAll(queue))
		require.True(t, bytes.Equal(stream, written.Bytes()), "the bytes sent in batches")

		out, written = lengthStream(client, strings.NewReader(""), 0)
		for _, p := range packets {
			require.NoError(t, out.WritePacket(p))
		}
		require.True(t, bytes.Equal(stream, written.Bytes()), "the bytes sent one by one")
	}
	for name, in := range map[string]io.Reader{
		"at once":       bytes.NewReader(stream),
		"byte by byte":  iotest.OneByteReader(bytes.NewReader(stream)),
		"with the end":  iotest.DataErrReader(bytes.NewReader(stream)),
		"half the time": iotest.HalfReader(bytes.NewReader(stream)),
	} {
		c, _ := lengthStream(false, in, 1<<20)
		c.Attach(&session{ctx: t.Context(), limit: receivelimit.New(1 << 30)}, false)
		for _, want := range packets {
			p, err := c.ReadPacket()
			require.NoError(t, err, name)
			require.Equal(t, want.Binary, p.Binary, name)
			require.Equal(t, string(want.Data), string(p.Data), name)
		}
		_, err := c.ReadPacket()
		require.ErrorIs(t, err, io.EOF, name)
	}
}

// HoldsMessage returns true for a text message only if the buffer holds all of it.
func TestLengthFramesThatAreThere(t *testing.T) {
	t.Parallel()
	for _, body := range []string{"4", "4abc", "4" + strings.Repeat("x", 124), "4" + strings.Repeat("x", 125), "4" + strings.Repeat("x", 1000)} {
		whole := lengthFrame([]byte(body), false)
		for n := range whole {
			c, _ := lengthStream(false, strings.NewReader(""), 1000)
			c.Preload(whole[:n])
			require.False(t, c.HoldsMessage(), "%d bytes of %d", n, len(whole))
		}
		c, _ := lengthStream(false, strings.NewReader(""), 1000)
		c.Preload(append(whole, 'x'))
		require.True(t, c.HoldsMessage())
	}
	for _, other := range []string{"", "\x00", "\x012", "\x81x", "\x7f\x00\x00\x00\x00\x00\x00\x00\x014"} {
		c, _ := lengthStream(false, strings.NewReader(""), 1000)
		c.Preload([]byte(other))
		require.False(t, c.HoldsMessage(), "%q", other)
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
		c, _ := lengthStream(false, &pieces{wire, int(piece%64) + 1}, limit)
		rest := wire
		for {
			got, err := c.ReadPacket()
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
		p, err := packet.ParseBinary(packet.Revision4, body)
		return p, err == nil
	}
	p, err := packet.ParseText(packet.Revision4, body)
	return p, err == nil
}
