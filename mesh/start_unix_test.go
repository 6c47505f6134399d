//go:build unix

package mesh

import (
	"context"
	"net"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// boundSocket binds an address without listening, so that both binding it and connecting to it fail.
func boundSocket(t *testing.T, port string) (release func()) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	tcp, err := net.ResolveTCPAddr("tcp4", "127.0.0.1:"+port)
	require.NoError(t, err)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Port: tcp.Port, Addr: [4]byte{127, 0, 0, 1}}))
	return sync.OnceFunc(func() { _ = syscall.Close(fd) })
}

func TestStartTriesAgainWhileTheAddressIsTakenAndNobodyAnswers(t *testing.T) {
	port := freePort(t)
	release := boundSocket(t, port)
	defer release()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := Start(ctx, &Options{Addr: "localhost:" + port})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	started := make(chan *Node)
	go func() {
		n, err := Start(startContext(t), &Options{Addr: "localhost:" + port})
		if err != nil {
			t.Errorf("start: %v", err)
		}
		started <- n
	}()
	select {
	case <-started:
		require.Fail(t, "started on an address that was taken")
	case <-time.After(100 * time.Millisecond):
	}
	release()
	n := <-started
	defer n.Close()
	require.Equal(t, RoleHub, n.Role())
}
