package interoptest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

// StablePort returns a free TCP port of 127.0.0.1 for a server that starts later, perhaps more than once. The system
// assigns no port below 32768 by itself. Until t ends, no test of any process gets the same port: a UDP socket with the
// same number marks the port as taken.
func StablePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 20_000 + rand.N(10_000)
		addr := fmt.Sprintf("127.0.0.1:%d", port)
		mark, err := new(net.ListenConfig).ListenPacket(t.Context(), "udp", addr)
		if err != nil {
			continue
		}
		l, err := new(net.ListenConfig).Listen(t.Context(), "tcp", addr)
		if err != nil {
			_ = mark.Close()
			continue
		}
		require.NoError(t, l.Close())
		t.Cleanup(func() { _ = mark.Close() })
		return port
	}
	require.FailNow(t, "no port is free")
	return 0
}
