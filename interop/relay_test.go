package interop

import (
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestRelayCarriesUntilItIsSilent(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer l.Close()
	r, err := newRelay(t.Context(), "http://"+l.Addr().String()+"/path/")
	require.NoError(t, err)
	defer r.close()
	require.True(t, strings.HasSuffix(r.url(), "/path/"))

	client, err := net.Dial("tcp", r.listener.Addr().String())
	require.NoError(t, err)
	defer client.Close()
	server, err := l.Accept()
	require.NoError(t, err)
	defer server.Close()
	buf := make([]byte, 4)
	for _, ends := range [][2]net.Conn{{client, server}, {server, client}} {
		_, err = ends[0].Write([]byte("here"))
		require.NoError(t, err)
		_, err = io.ReadFull(ends[1], buf)
		require.NoError(t, err)
	}

	r.silence()
	_, err = client.Write([]byte("lost"))
	require.NoError(t, err)
	require.NoError(t, client.Close())
	require.NoError(t, server.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	n, err := server.Read(buf)
	require.Zero(t, n)
	require.ErrorContains(t, err, "timeout", "neither what is sent nor the end of the connection arrives")
}
