package engineio_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// pending reports whether a response has not come yet.
func pending(c <-chan response) bool {
	synctest.Wait()
	return len(c) == 0
}

func TestNoopComesAfterTheProbesAnswer(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		inBubbleServer(t, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(rev)
			poll := inBackground(pc.poll)
			wc := pc.upgrade()
			require.True(t, pending(poll), "nothing before the probe")
			start := time.Now()
			time.Sleep(time.Second)
			require.True(t, pending(poll))
			wc.sendText("2probe")
			require.True(t, pending(poll), "nothing before the probe's answer has left")
			require.Equal(t, "3probe", wc.readText())
			require.Equal(t, "200 "+pc.payload("6"), (<-poll).summary())
			require.Equal(t, time.Second, time.Since(start), "and then at the same instant")
			require.Equal(t, "200 "+pc.payload("6"), pc.poll().summary(), "a poll after the probe")
			wc.sendText("5")
			wc.requireEcho("on the new transport")
			require.Equal(t, "400 "+badRequest, pc.poll().summary())
			require.Equal(t, "400 "+badRequest, pc.post(pc.payload("4x")).summary())
			require.Equal(t, time.Second, time.Since(start))
			require.NoError(t, wc.conn.Close())
		})
	}
}

// However often a client polls while it upgrades, each poll soon gets a noop, but not in a hot loop.
func TestManyPollsWhileUpgrading(t *testing.T) {
	inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		wc := pc.upgrade()
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		start := time.Now()
		for range engineio.PromptNoops {
			require.Equal(t, "200 6", pc.poll().summary())
		}
		require.Zero(t, time.Since(start))
		for range 20 {
			require.Equal(t, "200 6", pc.poll().summary())
		}
		require.Equal(t, 20*engineio.NoopInterval, time.Since(start))
		wc.sendText("5")
		wc.requireEcho("alive")
		require.NoError(t, wc.conn.Close())
	})
}

// Messages that are sent during an upgrade go by polling or wait for the new transport. They arrive once and in order.
func TestMessagesWhileUpgrading(t *testing.T) {
	inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		poll := inBackground(pc.poll)
		wc := pc.upgrade()
		require.NoError(t, s.TryWrite(engineio.Text("a")))
		require.Equal(t, "200 4a", (<-poll).summary(), "before the probe")
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		require.NoError(t, s.TryWrite(engineio.Text("b")))
		require.Equal(t, "200 4b", pc.poll().summary(), "while polling goes on")
		require.NoError(t, s.TryWrite(engineio.Text("c")))
		require.NoError(t, s.TryWrite(engineio.Text("d")))
		wc.sendText("5")
		require.Equal(t, "4c", wc.readText())
		require.Equal(t, "4d", wc.readText())
		require.NoError(t, wc.conn.Close())
	})
}

// A poll that still waits when the client sends 5 gets a noop, never a message: from then on messages go by the
// WebSocket.
func TestPollThatWaitsAtTheEndOfAnUpgrade(t *testing.T) {
	for range 20 {
		inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(engineio.Revision4)
			s := pc.socket()
			poll := inBackground(pc.poll)
			wc := pc.upgrade()
			synctest.Wait()
			wc.sendText("5")
			require.NoError(t, s.TryWrite(engineio.Text("a")))
			got := <-poll
			if got.summary() == "200 4a" { // the message was written before the 5 arrived
				require.NoError(t, s.TryWrite(engineio.Text("b")))
				require.Equal(t, "4b", wc.readText())
			} else {
				require.Equal(t, "200 6", got.summary())
				require.Equal(t, "4a", wc.readText())
			}
			wc.requireEcho("alive")
			require.NoError(t, wc.conn.Close())
		})
	}
}

// A client may drop its poll when it has sent 5. The poll's goroutine then finds that the client has gone and that the
// session has moved. It must not end the session.
func TestPollDroppedAfterTheUpgradeDoesNotEndTheSession(t *testing.T) {
	inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		dropped := &unsignaledContext{Context: t.Context()}
		r, err := http.NewRequestWithContext(dropped, http.MethodGet, ts.base+"?"+pc.query, nil)
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			ts.srv.ServeHTTP(new(brokenWriter), r)
		}()
		wc := pc.upgrade()
		select {
		case <-done:
			require.Fail(t, "the poll does not wait")
		default:
		}
		dropped.ended.Store(true)
		wc.sendText("5")
		<-done
		wc.requireEcho("alive")
		require.NoError(t, wc.conn.Close())
	})
}

// unsignaledContext is a context that has ended, but whose signal no select chooses: the order in which a select checks
// its cases is random.
type unsignaledContext struct {
	context.Context
	ended atomic.Bool
}

func (c *unsignaledContext) Err() error {
	if c.ended.Load() {
		return context.Canceled
	}
	return nil
}

// brokenWriter is a ResponseWriter whose client is gone.
type brokenWriter struct{ h http.Header }

func (w *brokenWriter) Header() http.Header {
	if w.h == nil {
		w.h = make(http.Header)
	}
	return w.h
}
func (*brokenWriter) WriteHeader(int)           {}
func (*brokenWriter) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestUpgradeWaitsForThePostBeforeIt(t *testing.T) {
	inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		conn := ts.dial()
		_, err := fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: pipe\r\nContent-Length: 6\r\n\r\n4", pc.query)
		require.NoError(t, err)
		synctest.Wait()
		wc := pc.upgrade()
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		wc.sendText("5")
		go func() { _ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, "4second") }()
		synctest.Wait()
		_, err = io.WriteString(conn, "first")
		require.NoError(t, err)
		require.Equal(t, "4first", wc.readText())
		require.Equal(t, "4second", wc.readText())
		require.NoError(t, conn.Close())
		require.NoError(t, wc.conn.Close())
	})
}

func TestCloseFinishesTheUpgradeFirst(t *testing.T) {
	for _, when := range []string{"before the probe", "after the probe"} {
		t.Run(when, func(t *testing.T) {
			h := newEndRecorder()
			inBubbleServer(t, h, nil, func(t *testing.T, ts *testServer) {
				pc := ts.openPolling(engineio.Revision4)
				s := pc.socket()
				poll := inBackground(pc.poll)
				wc := pc.upgrade()
				if when == "after the probe" {
					wc.sendText("2probe")
					require.Equal(t, "3probe", wc.readText())
					require.Equal(t, "200 6", (<-poll).summary())
				}
				require.NoError(t, s.TryWrite(engineio.Text("last")))
				if when == "before the probe" {
					require.Equal(t, "200 4last", (<-poll).summary())
					poll = inBackground(pc.poll)
				}
				closed := make(chan error, 1)
				go func() { closed <- s.Close() }()
				synctest.Wait()
				require.Empty(t, closed)
				if when == "before the probe" {
					require.True(t, pending(poll))
					wc.sendText("2probe")
					require.Equal(t, "3probe", wc.readText())
					require.Equal(t, "200 6", (<-poll).summary())
				}
				wc.sendText("5")
				if when == "after the probe" {
					require.Equal(t, "4last", wc.readText())
				}
				f, err := wc.readFrame()
				require.NoError(t, err)
				require.Equal(t, ws.OpClose, f.Header.OpCode)
				require.Empty(t, f.Payload)
				wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpClose}, "")
				require.NoError(t, <-closed)
				require.Equal(t, "local "+engineio.ReasonForcedClose, h.awaitEnd(pc.sid))
				require.NoError(t, wc.conn.Close())
				requireNothingLeft(t, ts.srv)
			})
		})
	}
}

func TestShutdownFinishesUpgradesFirst(t *testing.T) {
	inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		poll := inBackground(pc.poll)
		wc := pc.upgrade()
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		require.Equal(t, "200 6", (<-poll).summary())
		down := make(chan error, 1)
		go func() { down <- ts.srv.Shutdown(t.Context()) }()
		synctest.Wait()
		require.Empty(t, down)
		require.Equal(t, http.StatusServiceUnavailable, ts.request("GET", polling4, nil).status, "no new sessions")
		wc.sendText("5")
		f, err := wc.readFrame()
		require.NoError(t, err)
		require.Equal(t, ws.OpClose, f.Header.OpCode)
		wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpClose}, "")
		require.NoError(t, <-down)
		require.NoError(t, wc.conn.Close())
		requireNothingLeft(t, ts.srv)
	})
}

// If an upgrade never ends, a close is sent by polling when the upgrade is abandoned.
func TestCloseWithAnUpgradeThatNeverEnds(t *testing.T) {
	h := newEndRecorder()
	inBubbleServer(t, h, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		wc := pc.upgrade()
		poll := inBackground(pc.poll)
		synctest.Wait()
		require.NoError(t, pc.socket().Close())
		require.Equal(t, "200 1", (<-poll).summary())
		require.Equal(t, engineio.DefaultUpgradeTimeout, time.Since(start))
		_, err := wc.readFrame()
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, wc.conn.Close())
		requireNothingLeft(t, ts.srv)
	})
}

// The upgrade is also abandoned if the client has stopped polling, and then the session ends.
func TestCloseWithAClientThatHasStoppedPolling(t *testing.T) {
	h := newEndRecorder()
	inBubbleServer(t, h, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		wc := pc.upgrade()
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		require.NoError(t, pc.socket().Close())
		require.LessOrEqual(t, time.Since(start), engineio.DefaultUpgradeTimeout+engineio.PollCloseTimeout)
		_, err := wc.readFrame()
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, wc.conn.Close())
		requireNothingLeft(t, ts.srv)
	})
}

func TestUpgradeThatNeverEnds(t *testing.T) {
	for _, far := range []string{"nothing", "101", "2probe", "half a frame"} {
		t.Run(far, func(t *testing.T) {
			inBubbleServer(t, echoHandler, &engineio.ServerOptions{UpgradeTimeout: 3 * time.Second, PingInterval: time.Hour}, func(t *testing.T, ts *testServer) {
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
				wc.sendText("2probe")
				require.Equal(t, "3probe", wc.readText())
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
	inBubbleServer(t, h, opts, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		poll := inBackground(pc.poll)
		wc := pc.upgrade()
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		require.Equal(t, "200 6", (<-poll).summary())
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
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.awaitEnd(pc.sid))
		require.Equal(t, 90*time.Second, time.Since(start))
		_, err := wc.readFrame()
		require.ErrorIs(t, err, io.EOF, "the probing stream ends with its session")
		require.NoError(t, wc.conn.Close())
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
	})
}

// A client that continues to poll has not reached this point: the server abandons its upgrade.
func TestUpgradeOfAClientThatPollsOnIsGivenUp(t *testing.T) {
	const timeout = 3 * time.Second
	inBubbleServer(t, echoHandler, &engineio.ServerOptions{UpgradeTimeout: timeout, PingInterval: time.Hour}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		wc := pc.upgrade()
		time.Sleep(engineio.NoopInterval / 2)
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
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

func TestSecondUpgradeIsRefused(t *testing.T) {
	inBubbleServer(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		wc := pc.upgrade()
		require.Equal(t, "close", pc.upgrade().readEnd())
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
		require.Equal(t, "close", pc.upgrade().readEnd())
		wc.sendText("5")
		wc.requireEcho("moved")
		require.Equal(t, "close", pc.upgrade().readEnd(), "moved already")
		wc.requireEcho("and untouched")
		require.NoError(t, wc.conn.Close())

		wc, sid := ts.openWebSocket(engineio.Revision4)
		require.Equal(t, "close", ts.webSocket("EIO=4&transport=websocket&sid="+sid).readEnd(), "never polled")
		wc.requireEcho("untouched")
		require.NoError(t, wc.conn.Close())
	})
	inBubbleServer(t, echoHandler, &engineio.ServerOptions{NoUpgrade: true}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		require.Equal(t, "close", pc.upgrade().readEnd(), "not allowed")
		pc.requireEcho("untouched")
	})
}

// A ping during an upgrade neither delays the upgrade nor ends the session later.
func TestHeartbeatDuringAnUpgrade(t *testing.T) {
	h := newEndRecorder()
	opts := &engineio.ServerOptions{PingInterval: 2 * time.Second, PingTimeout: 4 * time.Second, UpgradeTimeout: 30 * time.Second}
	inBubbleServer(t, h, opts, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		start := time.Now()
		poll := inBackground(pc.poll)
		wc := pc.upgrade()
		require.Equal(t, "200 2", (<-poll).summary(), "a ping while upgrading")
		require.Equal(t, 2*time.Second, time.Since(start))
		wc.sendText("2probe")
		require.Equal(t, "3probe", wc.readText())
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
		_, err := wc.readFrame()
		require.ErrorIs(t, err, io.EOF, "the probing socket ends with its session")
		require.NoError(t, wc.conn.Close())
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
	})
}
