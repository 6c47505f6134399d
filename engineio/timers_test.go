package engineio_test

import (
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// Each session has its own timer, whatever happens to other sessions meanwhile. A ping comes an interval after the last
// pong. A session ends a timeout after a ping without a pong, or closeTimeout after a close that the client does not
// confirm. A random script decides how long each client takes for its pongs, and how it ends.
func TestTimersOfManySessions(t *testing.T) {
	const interval, timeout = 2 * engineio.CloseTimeout, 7 * time.Second
	h := newEndRecorder()
	inBubble(t, h, &engineio.ServerOptions{PingInterval: interval, PingTimeout: timeout}, func(t *testing.T, ts *testServer) {
		ended := func(wc *webSocketClient) {
			_, err := wc.readFrame()
			assert.ErrorIs(t, err, io.EOF)
		}
		endings := []func(wc *webSocketClient, sid string){
			func(wc *webSocketClient, sid string) { // the server closes
				go func() { _ = (&pollingClient{ts: ts, sid: sid}).socket().Close() }()
				start := time.Now()
				f, _ := wc.readFrame()
				assert.Equal(t, ws.OpClose, f.Header.OpCode)
				ended(wc)
				assert.Equal(t, engineio.CloseTimeout, time.Since(start))
			},
			func(wc *webSocketClient, sid string) { // the client falls silent
				start := time.Now()
				assert.Equal(t, "2", wc.readText())
				ended(wc)
				assert.Equal(t, interval+timeout, time.Since(start))
				assert.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(sid))
			},
			func(*webSocketClient, string) {}, // the client leaves
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		var clients sync.WaitGroup
		for i := range 200 {
			wc, sid := ts.openWebSocket(engineio.Revision4)
			delays := make([]time.Duration, rnd.IntN(20))
			for i := range delays {
				delays[i] = time.Duration(rnd.Int64N(int64(timeout)))
			}
			end := endings[rnd.IntN(len(endings))]
			if i == 0 { // this timer is the first to fire, although it is set last
				delays, end = nil, endings[0]
			}
			clients.Go(func() {
				for _, delay := range delays {
					start := time.Now()
					assert.Equal(t, "2", wc.readText())
					assert.Equal(t, interval, time.Since(start), "a ping an interval after the pong")
					time.Sleep(delay)
					wc.sendText("3")
				}
				end(wc, sid)
				_ = wc.conn.Close()
			})
			time.Sleep(time.Duration(rnd.IntN(9)) * time.Millisecond)
		}
		clients.Wait()
		synctest.Wait()
		require.Empty(t, ts.srv.Sockets())
	})
}
