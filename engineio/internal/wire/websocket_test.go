package wire

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// frame returns a frame as a client sends it.
func frame(t testing.TB, op ws.OpCode, fin bool, body string) string {
	f := ws.NewFrame(op, fin, []byte(body))
	var b bytes.Buffer
	require.NoError(t, ws.WriteFrame(&b, ws.MaskFrameInPlaceWith(f, [4]byte{1, 2, 3, 4})))
	return b.String()
}

func webSocket(in io.Reader, maxPayload int) (*Stream, *tape) {
	t := &tape{Reader: in}
	return New(t, &Config{MaxPayload: maxPayload}, Options{Revision: packet.Revision4}), t
}

func TestMessagesAndControlFrames(t *testing.T) {
	in := frame(t, ws.OpText, true, "4whole") +
		frame(t, ws.OpText, false, "4in ") + frame(t, ws.OpPing, true, "one") + frame(t, ws.OpContinuation, true, "parts") +
		frame(t, ws.OpBinary, true, "\x01\x02") + frame(t, ws.OpPing, true, "two") + frame(t, ws.OpClose, true, "\x03\xe8")
	c, _ := webSocket(strings.NewReader(in), 1000)
	s := &session{ctx: t.Context()}
	c.Attach(s, false)

	c.Await()
	require.Equal(t, 1, s.waits, "the session may write before the stream waits")
	require.True(t, c.HoldsMessage())
	p, err := c.ReadPacket()
	require.NoError(t, err)
	require.Equal(t, "whole", string(p.Data))
	require.True(t, c.InPlace())
	p, err = c.ReadPacket()
	require.NoError(t, err)
	require.Equal(t, "in parts", string(p.Data))
	require.False(t, c.InPlace())
	require.Equal(t, []string{"one"}, s.pongs)
	p, err = c.ReadPacket()
	require.NoError(t, err)
	require.True(t, p.Binary)
	_, err = c.ReadPacket()
	fault, ok := errors.AsType[*Error](err)
	require.True(t, ok)
	require.Equal(t, Closed, fault.Fault)
	require.Equal(t, ws.StatusNormalClosure, fault.Code)
	require.Equal(t, []string{"one", "two"}, s.pongs)
}

func TestFaultsGetACloseFrame(t *testing.T) {
	for name, tt := range map[string]struct {
		in    string
		fault Fault
		code  ws.StatusCode
		sent  string
	}{
		"a text that is not UTF-8": {frame(t, ws.OpText, true, "4\xff"), Violation, ws.StatusInvalidFramePayloadData, "\x88\x02\x03\xef"},
		"a packet without a type":  {frame(t, ws.OpText, true, "x"), Malformed, 0, "\x88\x00"},
		"a message too large":      {frame(t, ws.OpText, true, "4"+strings.Repeat("x", 100)), Violation, ws.StatusMessageTooBig, "\x88\x02\x03\xf1"},
		"a frame without a mask":   {"\x81\x024x", Violation, ws.StatusProtocolError, "\x88\x02\x03\xea"},
		"a reserved bit":           {"\xc1\x82\x00\x00\x00\x004x", Violation, ws.StatusProtocolError, "\x88\x02\x03\xea"},
		"a close frame":            {frame(t, ws.OpClose, true, ""), Closed, 0, "\x88\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			c, out := webSocket(strings.NewReader(tt.in), 100)
			c.Attach(&session{ctx: t.Context()}, false)
			_, err := c.ReadPacket()
			fault, ok := errors.AsType[*Error](err)
			require.True(t, ok, "%v", err)
			require.Equal(t, tt.fault, fault.Fault)
			require.Equal(t, tt.code, fault.Code)
			require.True(t, c.NeedsCloseFrame(err))
			c.End(err)
			require.Equal(t, tt.sent, out.String())
		})
	}
	c, out := webSocket(strings.NewReader(""), 100)
	_, err := c.ReadPacket()
	require.Equal(t, io.EOF, err)
	require.False(t, c.NeedsCloseFrame(err), "a broken connection gets no close frame")
	c.End(err)
	require.Empty(t, out.String())
}

// The session decides before each frame whether the stream reads on.
func TestSpend(t *testing.T) {
	in := frame(t, ws.OpText, true, "4first") + frame(t, ws.OpText, true, "4second")
	c, _ := webSocket(strings.NewReader(in), 1000)
	spent, enough := 0, errors.New("enough")
	c.Attach(&session{ctx: t.Context(), spend: func(n int) error {
		if spent += n; spent > 20 {
			return enough
		}
		return nil
	}}, false)
	_, err := c.ReadPacket()
	require.NoError(t, err)
	require.Equal(t, len(frame(t, ws.OpText, true, "4first")), spent)
	for range 2 {
		_, err = c.ReadPacket()
		require.Equal(t, enough, err)
		require.Zero(t, c.Buffered())
	}
}

// Before a session owns the stream, a peer can send the probe of an upgrade, but nothing large.
func TestStreamWithoutASession(t *testing.T) {
	c, _ := webSocket(strings.NewReader(frame(t, ws.OpText, true, "2probe")+frame(t, ws.OpText, true, "4"+strings.Repeat("x", 100_000))), 1_000_000)
	p, err := c.ReadPacket()
	require.NoError(t, err)
	require.Equal(t, "probe", string(p.Data))
	_, err = c.ReadPacket()
	require.ErrorIs(t, err, ErrTooLarge)
}

// FuzzWebSocketFrames reads any bytes, in pieces of any size. The packets and the error are the same as for the whole
// input at once.
func FuzzWebSocketFrames(f *testing.F) {
	for _, seed := range []string{
		"", frame(f, ws.OpText, true, "4x"), frame(f, ws.OpText, false, "4") + frame(f, ws.OpPing, true, "p") + frame(f, ws.OpContinuation, true, "x"),
		frame(f, ws.OpBinary, true, ""), frame(f, ws.OpClose, true, "\x03\xe8"), "\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\x81\x7e",
	} {
		f.Add([]byte(seed), uint8(1))
		f.Add([]byte(seed), uint8(7))
	}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8) {
		whole, _ := webSocket(bytes.NewReader(bytes.Clone(in)), 1000)
		parts, _ := webSocket(&pieces{bytes.Clone(in), int(piece%64) + 1}, 1000)
		one, other := &session{ctx: t.Context()}, &session{ctx: t.Context()}
		whole.Attach(one, false)
		parts.Attach(other, false)
		for {
			want, wantErr := whole.ReadPacket()
			got, err := parts.ReadPacket()
			if wantErr != nil || err != nil {
				require.Equal(t, wantErr, err)
				break
			}
			require.Equal(t, want.Type, got.Type)
			require.Equal(t, want.Binary, got.Binary)
			require.Equal(t, string(want.Data), string(got.Data))
		}
		require.Equal(t, one.pongs, other.pongs)
	})
}
