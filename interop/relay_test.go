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
	r, err := newRelay(t.Context(), "http://"+l.Addr().String()+"/path/", false)
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
	require.ErrorContains(t, err, "timeout", "neither data nor the end of the connection arrives")
}

func TestRelayCarriesPacketsUntilItIsSilent(t *testing.T) {
	t.Parallel()
	tcp, server, err := listenBoth(t.Context())
	require.NoError(t, err)
	defer tcp.Close()
	defer server.Close()
	r, err := newRelay(t.Context(), "http://"+tcp.Addr().String()+"/path/", true)
	require.NoError(t, err)
	defer r.close()
	require.NoError(t, server.SetDeadline(time.Now().Add(AwaitTimeout)))

	buf := make([]byte, 8)
	var addresses []net.Addr
	var clients []net.Conn
	for _, name := range []string{"a", "b"} {
		client, err := net.Dial("udp", r.listener.Addr().String())
		require.NoError(t, err)
		defer client.Close()
		require.NoError(t, client.SetDeadline(time.Now().Add(AwaitTimeout)))
		_, err = client.Write([]byte(name))
		require.NoError(t, err)
		n, from, err := server.ReadFrom(buf)
		require.NoError(t, err)
		require.Equal(t, name, string(buf[:n]))
		clients, addresses = append(clients, client), append(addresses, from)
	}
	for i, name := range []string{"to a", "to b"} {
		_, err = server.WriteTo([]byte(name), addresses[i])
		require.NoError(t, err)
		n, err := clients[i].Read(buf)
		require.NoError(t, err)
		require.Equal(t, name, string(buf[:n]))
	}

	r.silence()
	_, err = clients[0].Write([]byte("lost"))
	require.NoError(t, err)
	_, err = server.WriteTo([]byte("lost"), addresses[0])
	require.NoError(t, err)
	for _, end := range []net.Conn{clients[0], server} {
		require.NoError(t, end.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
		n, err := end.Read(buf)
		require.Zero(t, n)
		require.ErrorContains(t, err, "timeout")
	}
}
