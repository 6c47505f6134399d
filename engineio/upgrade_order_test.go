package engineio_test

import (
	"context"
	"io"
	"net/http"
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
		inBubble(t, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
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
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		wc := pc.upgrade()
		wc.probe()
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
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		poll := inBackground(pc.poll)
		wc := pc.upgrade()
		require.NoError(t, s.TryWrite(engineio.Text("a")))
		require.Equal(t, "200 4a", (<-poll).summary(), "before the probe")
		wc.probe()
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
		inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
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
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
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
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		conn := ts.sendHead("POST", pc.query, "Content-Length: 6\r\n\r\n4")
		synctest.Wait()
		wc := pc.upgrade()
		wc.probe()
		wc.sendText("5")
		go func() { _ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, "4second") }()
		synctest.Wait()
		_, err := io.WriteString(conn, "first")
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
			inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
				pc := ts.openPolling(engineio.Revision4)
				s := pc.socket()
				poll := inBackground(pc.poll)
				wc := pc.upgrade()
				if when == "after the probe" {
					wc.probe()
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
					wc.probe()
					require.Equal(t, "200 6", (<-poll).summary())
				}
				wc.sendText("5")
				if when == "after the probe" {
					require.Equal(t, "4last", wc.readText())
				}
				wc.confirmClose()
				require.NoError(t, <-closed)
				require.Equal(t, "local "+engineio.ReasonForcedClose, h.awaitEnd(pc.sid))
				require.NoError(t, wc.conn.Close())
				requireNothingLeft(t, ts.srv)
			})
		})
	}
}

func TestShutdownFinishesUpgradesFirst(t *testing.T) {
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		wc := pc.pollAndUpgrade()
		down := make(chan error, 1)
		go func() { down <- ts.srv.Shutdown(t.Context()) }()
		synctest.Wait()
		require.Empty(t, down)
		require.Equal(t, http.StatusServiceUnavailable, ts.request("GET", polling4, nil).status, "no new sessions")
		wc.sendText("5")
		wc.confirmClose()
		require.NoError(t, <-down)
		require.NoError(t, wc.conn.Close())
		requireNothingLeft(t, ts.srv)
	})
}

func TestSecondUpgradeIsRefused(t *testing.T) {
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		wc := pc.upgrade()
		require.Equal(t, "close", pc.upgrade().readEnd())
		wc.probe()
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
	inBubble(t, echoHandler, &engineio.ServerOptions{NoUpgrade: true}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		require.Equal(t, "close", pc.upgrade().readEnd(), "not allowed")
		pc.requireEcho("untouched")
	})
}
