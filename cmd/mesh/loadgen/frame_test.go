package loadgen

import (
	"bytes"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// serverFrame returns a frame as a server sends it.
func serverFrame(op ws.OpCode, body string) []byte {
	var b bytes.Buffer
	_ = ws.WriteFrame(&b, ws.NewFrame(op, true, []byte(body)))
	return b.Bytes()
}

func TestScannerCountsWhateverTheCuts(t *testing.T) {
	var stream []byte
	for _, body := range []string{"4", "4a", "2", "4" + strings.Repeat("x", 124), "4" + strings.Repeat("y", 125), "3", "4" + strings.Repeat("z", 70_000), "6"} {
		stream = append(stream, serverFrame(ws.OpText, body)...)
	}
	stream = append(stream, serverFrame(ws.OpBinary, "bytes")...)
	want := counts{messages: 6, bytes: 0 + 1 + 124 + 125 + 70_000 + 5, pings: 1, pongs: 1}
	for cut := 1; cut < len(stream); cut += 1 + cut/10 {
		var s scanner
		var got counts
		for rest := stream; len(rest) > 0; {
			n := min(cut, len(rest))
			piece, err := s.scan(rest[:n])
			require.NoError(t, err)
			got.messages += piece.messages
			got.bytes += piece.bytes
			got.pings += piece.pings
			got.pongs += piece.pongs
			rest = rest[n:]
		}
		require.Equal(t, want, got, "pieces of %d bytes", cut)
		require.Equal(t, scanner{head: s.head}, s, "no bytes remain")
	}
}

func TestScannerRefuses(t *testing.T) {
	for name, tt := range map[string]struct {
		frame []byte
		want  string
	}{
		"a close frame":                {serverFrame(ws.OpClose, ""), "closed the WebSocket"},
		"a close packet":               {serverFrame(ws.OpText, "1"), "closed the WebSocket"},
		"a ping of the WebSocket's":    {serverFrame(ws.OpPing, ""), "opcode 0x9"},
		"an empty text":                {serverFrame(ws.OpText, ""), "0 bytes"},
		"a frame that never ends":      {[]byte{0x81, 127, 0, 0, 1, 0, 0, 0, 0, 0, '4'}, "1 GiB"},
		"a frame longer than all time": {[]byte{0x81, 127, 255, 255, 255, 255, 255, 255, 255, 255, '4'}, "1 GiB"},
	} {
		var s scanner
		_, err := s.scan(tt.frame)
		require.ErrorContains(t, err, tt.want, name)
	}
}

func TestFramesAreReadableByOthers(t *testing.T) {
	for _, text := range []string{"", "a", strings.Repeat("b", 124), strings.Repeat("c", 125), strings.Repeat("d", 65_534), strings.Repeat("e", 65_535)} {
		f, err := ws.ReadFrame(bytes.NewReader(appendFrame(nil, '4', text)))
		require.NoError(t, err)
		require.NoError(t, ws.CheckHeader(f.Header, ws.StateServerSide))
		require.Equal(t, ws.OpText, f.Header.OpCode)
		require.Equal(t, "4"+text, string(ws.UnmaskFrame(f).Payload))
	}
}

// FuzzScanner checks that no stream causes a panic, and that the counts are the same if the stream comes in two pieces.
func FuzzScanner(f *testing.F) {
	f.Add(append(serverFrame(ws.OpText, "4abc"), serverFrame(ws.OpText, "2")...), 3)
	f.Add(serverFrame(ws.OpText, "4"+strings.Repeat("x", 200)), 3)
	f.Fuzz(func(t *testing.T, stream []byte, cut int) {
		var whole, parts scanner
		want, err := whole.scan(stream)
		if err != nil || cut < 0 || cut > len(stream) {
			return
		}
		a, err := parts.scan(stream[:cut])
		require.NoError(t, err)
		b, err := parts.scan(stream[cut:])
		require.NoError(t, err)
		require.Equal(t, want, counts{a.messages + b.messages, a.bytes + b.bytes, a.pings + b.pings, a.pongs + b.pongs})
		require.Equal(t, whole.skip, parts.skip)
		require.Equal(t, whole.head[:whole.have], parts.head[:parts.have])
	})
}
