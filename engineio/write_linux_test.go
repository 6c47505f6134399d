package engineio_test

import (
	"io"
	"net"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/bigcompany/mesh/engineio"
)

// The replies to the frames of one read leave together as well, in one write or a few: another goroutine may begin to
// write before the last reply is queued.
func TestRepliesToOneReadLeaveTogether(t *testing.T) {
	const bursts, size = 100, 20
	ts := newTestServer(t, echoHandler, nil)
	wc, _ := ts.openWebSocket(engineio.Revision4)
	defer func() { require.NoError(t, wc.conn.Close()) }()
	wc.requireEcho("begin")
	before := segmentsReceived(t, wc.conn)
	for range bursts {
		_, err := io.WriteString(wc.conn, strings.Repeat(masked(0x81, "4x"), size))
		require.NoError(t, err)
		for range size {
			require.Equal(t, "4x", wc.readText())
		}
	}
	segments := segmentsReceived(t, wc.conn) - before
	require.Less(t, segments, bursts*size/2, "each write is at least one segment")
}

// segmentsReceived returns the number of TCP segments with data that the connection has received.
func segmentsReceived(t *testing.T, conn net.Conn) (n int) {
	t.Helper()
	raw, err := conn.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	require.NoError(t, raw.Control(func(fd uintptr) {
		info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO)
		require.NoError(t, err)
		n = int(info.Data_segs_in)
	}))
	return n
}
