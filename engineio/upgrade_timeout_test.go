package engineio_test

import (
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// If an upgrade never ends, a close is sent by polling when the upgrade is abandoned.
func TestCloseWithAnUpgradeThatNeverEnds(t *testing.T) {
	h := newEndRecorder()
	inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		wc := pc.upgrade()
		poll := pc.waitingPoll()
		require.NoError(t, pc.socket().Close())
		require.Equal(t, "200 1", (<-poll).summary())
		require.Equal(t, engineio.DefaultUpgradeTimeout, time.Since(start))
		wc.requireEOF("the server has abandoned the upgrade")
		requireNothingLeft(t, ts.srv)
	})
}

// The upgrade is also abandoned if the client has stopped polling, and then the session ends.
func TestCloseWithAClientThatHasStoppedPolling(t *testing.T) {
	h := newEndRecorder()
	inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		wc := pc.upgrade()
		wc.probe()
		require.NoError(t, pc.socket().Close())
		require.LessOrEqual(t, time.Since(start), engineio.DefaultUpgradeTimeout+engineio.PollCloseTimeout)
		wc.requireEOF("the server has abandoned the upgrade")
		requireNothingLeft(t, ts.srv)
	})
}

func TestUpgradeThatNeverEnds(t *testing.T) {
	for _, far := range []string{"nothing", "101", "2probe", "half a frame"} {
		t.Run(far, func(t *testing.T) {
			inBubble(t, echoHandler, &engineio.ServerOptions{UpgradeTimeout: 3 * time.Second, PingInterval: time.Hour}, func(t *testing.T, ts *testServer) {
				pc := ts.openPolling(engineio.Revision4)
				for range 3 {
					start := time.Now()
					var wc *webSocketClient
					if far == "nothing" { // the pipe holds the response to the handshake until the client reads it
						conn := ts.dial()
						_, err := io.WriteString(conn, ts.handshakeText(strings.Replace(pc.query, "polling", "websocket", 1)))
						require.NoError(t, err)
						time.Sleep(defaultWriteTimeout)
						pc.requireEcho("alive")
						require.NoError(t, conn.Close())
						continue
					}
					wc = pc.upgrade()
					switch far {
					case "2probe":
						wc.sendText("2probe")
					case "half a frame":
						_, err := io.WriteString(wc.conn, masked(0x81, "2probe")[:4])
						require.NoError(t, err)
					}
					pc.requireEcho("while it lasts")
					second := pc.upgrade()
					require.Equal(t, "close", second.readEnd(), "another upgrade meanwhile")
					time.Sleep(3*time.Second - time.Since(start) - 1)
					require.Equal(t, "close", pc.upgrade().readEnd(), "another upgrade in the last moment")
					time.Sleep(1)
					synctest.Wait()
					_, err := wc.readFrame()
					require.ErrorIs(t, err, io.EOF, "the server has abandoned the upgrade")
					pc.requireEcho("and then")
					require.NoError(t, wc.conn.Close())
				}
				// The next upgrade works.
				wc := pc.upgrade()
				wc.probe()
				wc.sendText("5")
				wc.requireEcho("moved")
				require.NoError(t, wc.conn.Close())
			})
		})
	}
}

// A stock client that has received its 3probe has stopped polling and cannot go back. The server does not abandon its
// upgrade.
func TestUpgradeOfASlowClientIsWaitedFor(t *testing.T) {
	const timeout = 3 * time.Second
	h := newEndRecorder()
	opts := &engineio.ServerOptions{UpgradeTimeout: timeout, PingInterval: 60 * time.Second, PingTimeout: 30 * time.Second}
	inBubble(t, h, opts, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		wc := pc.pollAndUpgrade()
		time.Sleep(10*timeout + time.Second)
		require.NoError(t, pc.socket().TryWrite(engineio.Text("meanwhile")))
		wc.sendText("5")
		require.Equal(t, "4meanwhile", wc.readText())
		require.NoError(t, wc.conn.Close())
		h.awaitEnd(pc.sid)

		// The heartbeat detects a client that is gone.
		pc = ts.openPolling(engineio.Revision4)
		start := time.Now()
		wc = pc.upgrade()
		wc.probe()
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(pc.sid))
		require.Equal(t, 90*time.Second, time.Since(start))
		wc.requireEOF("the probing stream ends with its session")
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
	})
}

// A client that continues to poll has not reached this point: the server abandons its upgrade.
func TestUpgradeOfAClientThatPollsOnIsGivenUp(t *testing.T) {
	const timeout = 3 * time.Second
	inBubble(t, echoHandler, &engineio.ServerOptions{UpgradeTimeout: timeout, PingInterval: time.Hour}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		wc := pc.upgrade()
		time.Sleep(engineio.NoopInterval / 2)
		wc.probe()
		for time.Since(start) < timeout-engineio.NoopInterval {
			require.Equal(t, "200 6", pc.poll().summary())
		}
		poll := inBackground(pc.poll)
		_, err := wc.readFrame()
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, timeout, time.Since(start))
		require.Equal(t, "200 ok", pc.post("4by polling").summary())
		require.Equal(t, "200 4by polling", (<-poll).summary())
		require.NoError(t, wc.conn.Close())
	})
}

// A ping during an upgrade neither delays the upgrade nor ends the session later.
func TestHeartbeatDuringAnUpgrade(t *testing.T) {
	h := newEndRecorder()
	opts := &engineio.ServerOptions{PingInterval: 2 * time.Second, PingTimeout: 4 * time.Second, UpgradeTimeout: 30 * time.Second}
	inBubble(t, h, opts, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		poll := inBackground(pc.poll)
		wc := pc.upgrade()
		require.Equal(t, "200 2", (<-poll).summary(), "a ping while upgrading")
		require.Equal(t, 2*time.Second, time.Since(start))
		wc.probe()
		require.Equal(t, "200 6", pc.poll().summary())
		wc.sendText("5")
		require.Equal(t, 2*time.Second, time.Since(start))
		time.Sleep(4*time.Second - 1)
		wc.sendText("3") // the reply comes on the new transport
		require.Equal(t, "2", wc.readText(), "the next one, an interval later")
		require.Equal(t, 8*time.Second-1, time.Since(start))
		wc.sendText("3")
		wc.requireEcho("alive")
		require.NoError(t, wc.conn.Close())

		// The client falls silent after its probe.
		pc = ts.openPolling(engineio.Revision4)
		start = time.Now()
		poll = inBackground(pc.poll)
		wc = pc.upgrade()
		require.Equal(t, "200 2", (<-poll).summary())
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(pc.sid))
		require.Equal(t, 6*time.Second, time.Since(start))
		wc.requireEOF("the probing socket ends with its session")
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
	})
}
