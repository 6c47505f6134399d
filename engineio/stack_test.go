//go:build soak && !race

package engineio_test

import (
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// The stack of an idle session on a WebSocket has the smallest possible size. It doubles if the calls that handle a
// heartbeat need a few more bytes, see Socket.Read. The race detector makes frames larger.
func TestIdleSessionsHaveTheSmallestStack(t *testing.T) {
	const (
		sessions = 500
		smallest = 2 << 10 // the runtime's smallest stack
	)
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{PingInterval: 50 * time.Millisecond})
	before := stacks()
	lines := make([]*webSocketClient, sessions)
	for i := range lines {
		lines[i] = ts.webSocket("EIO=4&transport=websocket")
		_ = lines[i].readText() // the open packet
	}
	for range 2 { // the second ping shows that the first pong was processed
		for _, wc := range lines {
			require.Equal(t, "2", wc.readText())
			wc.sendText("3")
		}
	}
	// A doubled stack does not shrink; the stacks of other work in the server end soon.
	require.Eventually(t, func() bool { return (stacks()-before)/sessions < 2*smallest }, 5*time.Second, 50*time.Millisecond)
	for _, wc := range lines {
		require.NoError(t, wc.conn.Close())
	}
}

// stacks returns the memory of the stacks in use, in bytes.
func stacks() int {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.StackInuse)
}
