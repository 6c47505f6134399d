package meshtest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// DialRaw opens a session on a WebSocket over a TCP connection, and sends packets on it. Only the test reads the
// connection: see WriteFrame, ReadFrame and Frames.
func DialRaw(t testing.TB, addr string, packets ...string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(Context(t), "tcp", addr)
	require.NoError(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	_, err = fmt.Fprintf(conn, "GET /engine.io/?EIO=3&transport=websocket HTTP/1.1\r\nHost: %s\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n", addr)
	require.NoError(t, err)
	r := bufio.NewReaderSize(conn, 4096)
	resp, err := http.ReadResponse(r, nil)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close()) // the connection stays open
	require.Equal(t, http.StatusSwitchingProtocols, resp.StatusCode)
	ReadFrame(t, r) // the open packet
	_, err = conn.Write(Frames(packets...))
	require.NoError(t, err)
	// The hub responds to a ping after it has processed the packets.
	require.NoError(t, WriteFrame(conn, "2"))
	for ReadFrame(t, r) != "3" {
	}
	require.Zero(t, r.Buffered())
	return conn
}

// WriteFrame writes an Engine.IO packet as a text frame of a client.
func WriteFrame(w io.Writer, text string) error {
	head := []byte{0x81, 0x80 | byte(min(len(text), 126))}
	switch {
	case len(text) > math.MaxUint16:
		head[1] = 0x80 | 127
		head = binary.BigEndian.AppendUint64(head, uint64(len(text)))
	case len(text) >= 126:
		head = binary.BigEndian.AppendUint16(head, uint16(len(text)))
	}
	head = append(head, 0, 0, 0, 0) // a mask of zeros
	_, err := w.Write(append(head, text...))
	return err
}

// Frames returns the frames of several packets. If the test writes them with one system call, the hub reads them
// together.
func Frames(packets ...string) []byte {
	var b bytes.Buffer
	for _, p := range packets {
		_ = WriteFrame(&b, "4"+p) // a buffer never fails
	}
	return b.Bytes()
}

// ReadFrame reads an Engine.IO packet.
func ReadFrame(t testing.TB, r *bufio.Reader) string {
	t.Helper()
	var head [2]byte
	_, err := io.ReadFull(r, head[:])
	require.NoError(t, err)
	n := uint64(head[1])
	if n >= 126 {
		var long [8]byte
		size := 2
		if n == 127 {
			size = 8
		}
		_, err = io.ReadFull(r, long[8-size:])
		require.NoError(t, err)
		n = binary.BigEndian.Uint64(long[:])
	}
	body := make([]byte, n)
	_, err = io.ReadFull(r, body)
	require.NoError(t, err)
	return string(body)
}

// DialPolling opens a session by long-polling, and posts packets. It polls only when the test calls poll.
func DialPolling(t testing.TB, client *http.Client, url string, packets ...string) (poll func() string) {
	t.Helper()
	ask := func(method, query, body string) string {
		t.Helper()
		r, err := http.NewRequestWithContext(Context(t), method, url+"?EIO=3&transport=polling"+query, strings.NewReader(body))
		require.NoError(t, err)
		resp, err := client.Do(r)
		require.NoError(t, err)
		answer, err := io.ReadAll(resp.Body)
		require.NoError(t, err)
		require.NoError(t, resp.Body.Close())
		require.Equal(t, http.StatusOK, resp.StatusCode, "%s", answer)
		return string(answer)
	}
	_, open, found := strings.Cut(ask(http.MethodGet, "", ""), ":0")
	require.True(t, found)
	var hello struct{ SID string }
	require.NoError(t, json.Unmarshal([]byte(open), &hello))
	for _, p := range packets {
		ask(http.MethodPost, "&sid="+hello.SID, fmt.Sprintf("%d:4%s", len(p)+1, p))
	}
	return func() string {
		t.Helper()
		return ask(http.MethodGet, "&sid="+hello.SID, "")
	}
}
