package engineio_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// webSocketClient is the client of a WebSocket. The test writes and reads its frames.
type webSocketClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
}

// sendFrame sends a masked frame.
func (wc *webSocketClient) sendFrame(h ws.Header, body string) {
	wc.t.Helper()
	require.NoError(wc.t, wc.trySendFrame(h, body))
}

func (wc *webSocketClient) trySendFrame(h ws.Header, body string) error {
	_, err := wc.conn.Write(maskedFrame(h, body))
	return err
}

// sendText sends a text message.
func (wc *webSocketClient) sendText(text string) {
	wc.t.Helper()
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, text)
}

// readFrame reads a frame.
func (wc *webSocketClient) readFrame() (ws.Frame, error) { return ws.ReadFrame(wc.r) }

// readText reads a frame, which must hold text.
func (wc *webSocketClient) readText() string {
	wc.t.Helper()
	f, err := wc.readFrame()
	require.NoError(wc.t, err)
	require.Equal(wc.t, ws.OpText, f.Header.OpCode, "%q", f.Payload)
	return string(f.Payload)
}

// requireEOF reads the end of the connection and closes it. The server must have sent no close frame.
func (wc *webSocketClient) requireEOF(why string) {
	wc.t.Helper()
	_, err := wc.readFrame()
	require.ErrorIs(wc.t, err, io.EOF, why)
	require.NoError(wc.t, wc.conn.Close())
}

// confirmClose reads a close frame without a code and replies to it.
func (wc *webSocketClient) confirmClose() {
	wc.t.Helper()
	f, err := wc.readFrame()
	require.NoError(wc.t, err)
	require.Equal(wc.t, ws.OpClose, f.Header.OpCode)
	require.Empty(wc.t, f.Payload)
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpClose}, "")
}

// probe sends the probe of an upgrade and reads its reply.
func (wc *webSocketClient) probe() {
	wc.t.Helper()
	wc.sendText("2probe")
	require.Equal(wc.t, "3probe", wc.readText())
}

// requireEcho checks that the session works: the server must echo a message.
func (wc *webSocketClient) requireEcho(text string) {
	wc.t.Helper()
	wc.sendText("4" + text)
	require.Equal(wc.t, "4"+text, wc.readText())
}

// readEnd reads to the end and returns how the server ended the WebSocket: "close", with code and reason if the close
// frame has them, or a description of the other end.
func (wc *webSocketClient) readEnd() string {
	wc.t.Helper()
	defer func() { _ = wc.conn.Close() }()
	_ = wc.conn.SetReadDeadline(time.Now().Add(time.Minute)) // a broken connection fails in Read
	for {
		f, err := wc.readFrame()
		switch {
		case err != nil:
			return "no close frame: " + err.Error()
		case f.Header.OpCode == ws.OpClose:
			_, err := io.Copy(io.Discard, wc.r)
			if err != nil && !isReset(err) {
				return "then " + err.Error()
			}
			if len(f.Payload) == 0 {
				return "close"
			}
			code, reason := ws.ParseCloseFrameData(f.Payload)
			return strings.TrimSpace(fmt.Sprintf("close %d %s", code, reason))
		}
	}
}

func isReset(err error) bool { return strings.Contains(err.Error(), "reset") }

// masked returns a client's frame with the given first byte.
func masked(first byte, body string) string {
	return string(maskedFrame(ws.Header{Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 15)}, body))
}

// maskedFrame returns a frame as a client sends it.
func maskedFrame(h ws.Header, body string) []byte {
	h.Length = int64(len(body))
	h.Masked, h.Mask = true, [4]byte{1, 2, 3, 4}
	masked := []byte(body)
	ws.Cipher(masked, h.Mask, 0)
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, h)
	b.Write(masked)
	return b.Bytes()
}

// reset closes a connection with a RST.
func reset(conn net.Conn) {
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// openDeflated opens a session with compression at both ends.
func (ts *testServer) openDeflated(rev engineio.Revision, extra ...string) *webSocketClient {
	ts.t.Helper()
	query := strings.Join(append([]string{fmt.Sprintf("EIO=%d&transport=websocket", rev)}, extra...), "&")
	wc := ts.webSocket(query, "Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")
	require.True(ts.t, strings.HasPrefix(wc.readText(), "0{"))
	return wc
}

// packed compresses a message as RFC 7692 specifies.
func packed(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	z, err := flate.NewWriter(&b, flate.BestCompression)
	require.NoError(t, err)
	_, err = io.WriteString(z, text)
	require.NoError(t, err)
	require.NoError(t, z.Flush())
	return strings.TrimSuffix(b.String(), deflateTail)
}

// unpacked is the reverse of packed.
func unpacked(body string) (string, error) {
	z := flate.NewReader(strings.NewReader(body + deflateTail + "\x01" + deflateTail))
	b, err := io.ReadAll(z)
	return string(b), err
}

// frameBody returns the payload of the frame that carries a message.
func frameBody(rev engineio.Revision, p packet.Packet) string {
	switch {
	case !p.Binary:
		return "4" + string(p.Data)
	case rev == engineio.Revision3:
		return "\x04" + string(p.Data)
	default:
		return string(p.Data)
	}
}
