package wire

import (
	"bytes"
	"compress/flate"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// unpacked decompresses a message as RFC 7692 specifies.
func unpacked(body string) (string, error) {
	z := flate.NewReader(strings.NewReader(body + deflateTail + "\x01" + deflateTail))
	b, err := io.ReadAll(z)
	return string(b), err
}

func TestSharedPacketIsCompressedOnce(t *testing.T) {
	conf := &Config{CompressFrom: 1024}
	stream := func(rev packet.Revision, deflate bool) *Stream {
		return New(nil, conf, Options{Revision: rev, Deflate: deflate})
	}
	text := Encode(packet.Packet{Type: packet.Message, Data: []byte(strings.Repeat("to many ", 1000))})
	text.Shared = true
	for _, rev := range []packet.Revision{packet.Revision3, packet.Revision4} {
		one, other, plain := stream(rev, true), stream(rev, true), stream(rev, false)
		f := one.readyFrame(text)
		require.Same(t, &f[0], &other.readyFrame(text)[0])
		require.Same(t, &text.frame[0], &plain.readyFrame(text)[0])
		require.Zero(t, testing.AllocsPerRun(100, func() { other.readyFrame(text) }))
	}
	data := make([]byte, 5000)
	binary := Encode(packet.Packet{Type: packet.Message, Binary: true, Data: data})
	binary.Shared = true
	three, four := stream(packet.Revision3, true), stream(packet.Revision4, true)
	for range 2 {
		for c, want := range map[*Stream]string{three: "\x04" + string(data), four: string(data)} {
			f := c.readyFrame(binary)
			require.Equal(t, byte(0x80|rsv1Bit|ws.OpBinary), f[0])
			got, err := unpacked(string(f[2:]))
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

// FuzzInflate passes any bytes to a stream as a compressed message. The result is the same as from compress/flate, and
// never larger than the limit.
// Advisories: CVE-2026-27571
func FuzzInflate(f *testing.F) {
	const limit = 1 << 16
	for _, size := range []int{100, limit, limit + 1} {
		var b bytes.Buffer
		require.True(f, deflate(&b, bytes.Repeat([]byte("x"), size)))
		f.Add(b.Bytes(), true)
	}
	f.Add([]byte("\x00"), true) // an empty message
	f.Add([]byte("\xff\xff\xff"), false)
	f.Add([]byte("\x04\xc1"), false)
	f.Fuzz(func(t *testing.T, body []byte, inPlace bool) {
		c := New(nil, &Config{MaxPayload: limit}, Options{Revision: packet.Revision4})
		c.Attach(&session{ctx: t.Context()}, false)
		c.inPlace = inPlace
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(strings.NewReader(string(body)+deflateTail+"\x01"+deflateTail)), limit+1))
		got, err := c.inflate(bytes.Clone(body))
		fe, refused := errors.AsType[*Error](err)
		switch {
		case len(want) > limit:
			require.True(t, refused)
			require.Equal(t, ws.StatusMessageTooBig, fe.Code)
		case wantErr != nil:
			require.True(t, refused)
			require.Equal(t, ws.StatusInvalidFramePayloadData, fe.Code)
		default:
			require.NoError(t, err)
			require.Equal(t, string(want), string(got))
		}
		// The data of one message does not appear in another.
		var b bytes.Buffer
		if deflate(&b, body) {
			back, err := c.inflate(b.Bytes())
			if len(body) <= limit {
				require.NoError(t, err)
				require.Equal(t, string(body), string(back))
			}
		}
	})
}
