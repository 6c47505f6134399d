//go:build unix

package mesh_test

import (
	"context"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/mesh"
	"github.com/bigcompany/mesh/mesh/internal/meshtest"
)

// boundSocket binds a port of 127.0.0.1 without listening, so that both binding it and connecting to it fail.
func boundSocket(t *testing.T) (port string, release func()) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	require.NoError(t, err)
	require.NoError(t, syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	name, err := syscall.Getsockname(fd)
	require.NoError(t, err)
	return strconv.Itoa(name.(*syscall.SockaddrInet4).Port), sync.OnceFunc(func() { _ = syscall.Close(fd) })
}

func TestStartTriesAgainWhileTheAddressIsTaken(t *testing.T) {
	port, release := boundSocket(t)
	defer release()
	ctx, cancel := context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err := mesh.Start(ctx, &mesh.Options{Addr: "localhost:" + port})
	require.ErrorIs(t, err, context.DeadlineExceeded)

	started := make(chan *mesh.Node)
	go func() {
		n, err := mesh.Start(meshtest.Context(t), &mesh.Options{Addr: "localhost:" + port})
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
	require.Equal(t, mesh.RoleHub, n.Role())
}
