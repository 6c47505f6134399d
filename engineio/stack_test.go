//go:build !race

package engineio

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// The stack of an idle session on a WebSocket is the smallest that there is. It doubles when the calls that deal with a
// heartbeat need a few bytes more, see Socket.Read. The race detector makes frames larger.
func TestIdleSessionsHaveTheSmallestStack(t *testing.T) {
	const (
		sessions = 500
		smallest = 2 << 10 // of the runtime
	)
	w := newSite(t, echo, &ServerOptions{PingInterval: 50 * time.Millisecond})
	before := stacks()
	lines := make([]*line, sessions)
	for i := range lines {
		lines[i] = w.line("EIO=4&transport=websocket")
		_ = lines[i].text() // the open packet
	}
	for range 2 { // the second ping says that the pong to the first one was dealt with
		for _, l := range lines {
			require.Equal(t, "2", l.text())
			l.say("3")
		}
	}
	// A stack that has doubled stays so; what else the server is doing now ends soon.
	require.Eventually(t, func() bool { return (stacks()-before)/sessions < 2*smallest }, 5*time.Second, 50*time.Millisecond)
	for _, l := range lines {
		require.NoError(t, l.conn.Close())
	}
}

// stacks is what stacks take that are in use, in bytes.
func stacks() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.StackInuse)
}
