package mesh_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
)

// A client that sends requests and reads no response is disconnected before the kernel holds much data for it.
func TestAClientThatDoesNotReadIsDisconnected(t *testing.T) {
	const unreadTimeout = 5 * time.Second // how long a hub waits for a client that does not read
	t.Parallel()                          // it waits for unreadTimeout
	if runtime.GOOS != "linux" {
		t.Skip("other systems do not report the bytes that a client has not read")
	}
	n := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	var conns []net.Conn
	paths := []string{"/mesh.mjs", "/", "/nothing", "/engine.io/?EIO=4&transport=none"}
	for range paths {
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", n.Addr())
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).SetReadBuffer(4<<10))
		require.NoError(t, conn.SetDeadline(time.Now().Add(2*unreadTimeout)))
		conns = append(conns, conn)
	}
	ends := make(chan error)
	for i, conn := range conns {
		go func() {
			requests := strings.Repeat("GET "+paths[i]+" HTTP/1.1\r\nHost: localhost\r\n\r\n", 100)
			var err error
			for err == nil {
				_, err = io.WriteString(conn, requests)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				err = fmt.Errorf("%s: the hub waits for the client to read", paths[i])
			} else {
				err = nil
			}
			ends <- errors.Join(err, conn.Close())
		}()
	}
	for range conns {
		require.NoError(t, <-ends)
	}
}

// A client that reads keeps its connection, however many requests it sends.
func TestAClientThatReadsKeepsItsConnection(t *testing.T) {
	n := listen(t, mesh.Options{Addr: "127.0.0.1:0"})
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", n.Addr())
	require.NoError(t, err)
	require.NoError(t, conn.SetDeadline(time.Now().Add(10*time.Second)))
	const requests = 50
	sent := make(chan error, 1)
	go func() {
		_, err := io.WriteString(conn, strings.Repeat("GET /mesh.mjs HTTP/1.1\r\nHost: localhost\r\n\r\n", requests-1)+
			"GET /mesh.mjs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
		sent <- err
	}()
	all, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.NoError(t, <-sent)
	require.Equal(t, requests, strings.Count(string(all), "HTTP/1.1 200 OK"))
	require.NoError(t, conn.Close())
}
