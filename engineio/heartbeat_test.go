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

// The heartbeat starts at the handshake, not at the first poll.
func TestSilenceEndsASessionThatNeverPolled(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		h := newEndRecorder()
		inBubble(t, h, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}, func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(rev)
			time.Sleep(500*time.Millisecond - 1)
			require.NotNil(t, pc.socket())
			time.Sleep(1)
			require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(pc.sid))
			require.Equal(t, "400 "+unknownSession, pc.poll().summary())
		})
	})
}

func TestHeartbeatOnTheWire(t *testing.T) {
	h := newEndRecorder()
	inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
		// Revision 4: the server pings an interval after the last pong.
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		require.Equal(t, "200 2", pc.poll().summary())
		require.Equal(t, 25*time.Second, time.Since(start))
		time.Sleep(10 * time.Second)
		require.Equal(t, "200 ok", pc.post("3").summary())
		require.Equal(t, "200 2", pc.poll().summary())
		require.Equal(t, 60*time.Second, time.Since(start))
		// Any packet but a pong gives one more timeout, once.
		time.Sleep(19 * time.Second)
		require.Equal(t, "200 ok", pc.post("4x").summary())
		require.Equal(t, "200 4x", pc.poll().summary())
		time.Sleep(19 * time.Second)
		require.Equal(t, "200 ok", pc.post("4x").summary())
		require.Equal(t, "200 4x", pc.poll().summary())
		pending := inBackground(pc.poll)
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(pc.sid))
		require.Equal(t, (60+19+20)*time.Second, time.Since(start))
		require.Equal(t, "200 1", (<-pending).summary())

		// Revision 3: only a ping counts, and its data is not echoed.
		pc = ts.openPolling(engineio.Revision3)
		start = time.Now()
		time.Sleep(40 * time.Second)
		require.Equal(t, "200 ok", pc.post("6:2probe").summary())
		require.Equal(t, "200 1:3", pc.poll().summary())
		time.Sleep(30 * time.Second)
		require.Equal(t, "200 ok", pc.post("2:4x").summary())
		require.Equal(t, "200 2:4x", pc.poll().summary())
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(pc.sid))
		require.Equal(t, 85*time.Second, time.Since(start))

		// The wrong side pings.
		pc = ts.openPolling(engineio.Revision4)
		require.Equal(t, "200 ok", pc.post("2").summary())
		h.requireTransportError(t, pc.sid, "invalid heartbeat direction")
		pc = ts.openPolling(engineio.Revision3)
		require.Equal(t, "200 ok", pc.post("1:3").summary())
		require.Equal(t, "remote "+engineio.ReasonTransportError, h.awaitEnd(pc.sid))
	})
}

// An interval that is shorter than the timeout also starts at the pong, even if the pong is late.
func TestPingFollowsALatePongByAnInterval(t *testing.T) {
	inBubble(t, echoHandler, &engineio.ServerOptions{PingInterval: time.Second, PingTimeout: 10 * time.Second}, func(t *testing.T, ts *testServer) {
		wc, _ := ts.openWebSocket(engineio.Revision4)
		require.Equal(t, "2", wc.readText())
		time.Sleep(3500 * time.Millisecond)
		wc.sendText("3")
		start := time.Now()
		require.Equal(t, "2", wc.readText())
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, wc.conn.Close())
	})
}

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
