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

// upgrade begins an upgrade of v: the WebSocket is open, and no packet has been sent on it.
func (v *visit) upgrade() *line {
	v.w.t.Helper()
	l := v.w.line(strings.Replace(v.query, "polling", "websocket", 1))
	synctest.Wait() // the 101 is sent before the upgrade has begun
	return l
}

// pending reports whether a response has not come yet.
func pending(c <-chan answer) bool {
	synctest.Wait()
	return len(c) == 0
}

func TestNoopComesAfterTheProbesAnswer(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		inSite(t, echoHandler, bothRevisions(), func(t *testing.T, w *site) {
			v := w.open(rev)
			poll := later(v.poll)
			l := v.upgrade()
			require.True(t, pending(poll), "nothing before the probe")
			start := time.Now()
			time.Sleep(time.Second)
			require.True(t, pending(poll))
			l.say("2probe")
			require.True(t, pending(poll), "nothing before the probe's answer has left")
			require.Equal(t, "3probe", l.text())
			require.Equal(t, "200 "+v.framed("6"), (<-poll).brief())
			require.Equal(t, time.Second, time.Since(start), "and then at the same instant")
			require.Equal(t, "200 "+v.framed("6"), v.poll().brief(), "a poll after the probe")
			l.say("5")
			l.requireEcho("on the new transport")
			require.Equal(t, "400 "+badRequest, v.poll().brief())
			require.Equal(t, "400 "+badRequest, v.post(v.framed("4x")).brief())
			require.Equal(t, time.Second, time.Since(start))
			require.NoError(t, l.conn.Close())
		})
	}
}

// However often a client polls while it upgrades, each poll soon gets a noop, but not in a hot loop.
func TestManyPollsWhileUpgrading(t *testing.T) {
	inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		l := v.upgrade()
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		start := time.Now()
		for range engineio.PromptNoops {
			require.Equal(t, "200 6", v.poll().brief())
		}
		require.Zero(t, time.Since(start))
		for range 20 {
			require.Equal(t, "200 6", v.poll().brief())
		}
		require.Equal(t, 20*engineio.NoopInterval, time.Since(start))
		l.say("5")
		l.requireEcho("alive")
		require.NoError(t, l.conn.Close())
	})
}

// Messages that are sent during an upgrade go by polling or wait for the new transport. They arrive once and in order.
func TestMessagesWhileUpgrading(t *testing.T) {
	inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		s := v.socket()
		poll := later(v.poll)
		l := v.upgrade()
		require.NoError(t, s.TryWrite(engineio.Text("a")))
		require.Equal(t, "200 4a", (<-poll).brief(), "before the probe")
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.NoError(t, s.TryWrite(engineio.Text("b")))
		require.Equal(t, "200 4b", v.poll().brief(), "while polling goes on")
		require.NoError(t, s.TryWrite(engineio.Text("c")))
		require.NoError(t, s.TryWrite(engineio.Text("d")))
		l.say("5")
		require.Equal(t, "4c", l.text())
		require.Equal(t, "4d", l.text())
		require.NoError(t, l.conn.Close())
	})
}

// A poll that still waits when the client sends 5 gets a noop, never a message: from then on messages go by the
// WebSocket.
func TestPollThatWaitsAtTheEndOfAnUpgrade(t *testing.T) {
	for range 20 {
		inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
			v := w.open(engineio.Revision4)
			s := v.socket()
			poll := later(v.poll)
			l := v.upgrade()
			synctest.Wait()
			l.say("5")
			require.NoError(t, s.TryWrite(engineio.Text("a")))
			got := <-poll
			if got.brief() == "200 4a" { // the message was written before the 5 arrived
				require.NoError(t, s.TryWrite(engineio.Text("b")))
				require.Equal(t, "4b", l.text())
			} else {
				require.Equal(t, "200 6", got.brief())
				require.Equal(t, "4a", l.text())
			}
			l.requireEcho("alive")
			require.NoError(t, l.conn.Close())
		})
	}
}

// A client may drop its poll when it has sent 5. The poll's goroutine then finds that the client has gone and that the
// session has moved. It must not end the session.
func TestPollDroppedAfterTheUpgradeDoesNotEndTheSession(t *testing.T) {
	inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		dropped := &unsignaledContext{Context: t.Context()}
		r, err := http.NewRequestWithContext(dropped, http.MethodGet, w.base+"?"+v.query, nil)
		require.NoError(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.srv.ServeHTTP(new(brokenWriter), r)
		}()
		l := v.upgrade()
		select {
		case <-done:
			require.Fail(t, "the poll does not wait")
		default:
		}
		dropped.ended.Store(true)
		l.say("5")
		<-done
		l.requireEcho("alive")
		require.NoError(t, l.conn.Close())
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
	inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		conn := w.connect()
		_, err := fmt.Fprintf(conn, "POST /engine.io/?%s HTTP/1.1\r\nHost: pipe\r\nContent-Length: 6\r\n\r\n4", v.query)
		require.NoError(t, err)
		synctest.Wait()
		l := v.upgrade()
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		l.say("5")
		go func() { _ = l.tryWrite(ws.Header{Fin: true, OpCode: ws.OpText}, "4second") }()
		synctest.Wait()
		_, err = io.WriteString(conn, "first")
		require.NoError(t, err)
		require.Equal(t, "4first", l.text())
		require.Equal(t, "4second", l.text())
		require.NoError(t, conn.Close())
		require.NoError(t, l.conn.Close())
	})
}

func TestCloseFinishesTheUpgradeFirst(t *testing.T) {
	for _, when := range []string{"before the probe", "after the probe"} {
		t.Run(when, func(t *testing.T) {
			h := newWitness()
			inSite(t, h, nil, func(t *testing.T, w *site) {
				v := w.open(engineio.Revision4)
				s := v.socket()
				poll := later(v.poll)
				l := v.upgrade()
				if when == "after the probe" {
					l.say("2probe")
					require.Equal(t, "3probe", l.text())
					require.Equal(t, "200 6", (<-poll).brief())
				}
				require.NoError(t, s.TryWrite(engineio.Text("last")))
				if when == "before the probe" {
					require.Equal(t, "200 4last", (<-poll).brief())
					poll = later(v.poll)
				}
				closed := make(chan error, 1)
				go func() { closed <- s.Close() }()
				synctest.Wait()
				require.Empty(t, closed)
				if when == "before the probe" {
					require.True(t, pending(poll))
					l.say("2probe")
					require.Equal(t, "3probe", l.text())
					require.Equal(t, "200 6", (<-poll).brief())
				}
				l.say("5")
				if when == "after the probe" {
					require.Equal(t, "4last", l.text())
				}
				f, err := l.frame()
				require.NoError(t, err)
				require.Equal(t, ws.OpClose, f.Header.OpCode)
				require.Empty(t, f.Payload)
				l.write(ws.Header{Fin: true, OpCode: ws.OpClose}, "")
				require.NoError(t, <-closed)
				require.Equal(t, "local "+engineio.ReasonForcedClose, h.end(v.sid))
				require.NoError(t, l.conn.Close())
				requireNothingLeft(t, w.srv)
			})
		})
	}
}

func TestShutdownFinishesUpgradesFirst(t *testing.T) {
	inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		poll := later(v.poll)
		l := v.upgrade()
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.Equal(t, "200 6", (<-poll).brief())
		down := make(chan error, 1)
		go func() { down <- w.srv.Shutdown(t.Context()) }()
		synctest.Wait()
		require.Empty(t, down)
		require.Equal(t, http.StatusServiceUnavailable, w.ask("GET", polling4, nil).status, "no new sessions")
		l.say("5")
		f, err := l.frame()
		require.NoError(t, err)
		require.Equal(t, ws.OpClose, f.Header.OpCode)
		l.write(ws.Header{Fin: true, OpCode: ws.OpClose}, "")
		require.NoError(t, <-down)
		require.NoError(t, l.conn.Close())
		requireNothingLeft(t, w.srv)
	})
}

// If an upgrade never ends, a close is sent by polling when the upgrade is abandoned.
func TestCloseWithAnUpgradeThatNeverEnds(t *testing.T) {
	h := newWitness()
	inSite(t, h, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		start := time.Now()
		l := v.upgrade()
		poll := later(v.poll)
		synctest.Wait()
		require.NoError(t, v.socket().Close())
		require.Equal(t, "200 1", (<-poll).brief())
		require.Equal(t, engineio.DefaultUpgradeTimeout, time.Since(start))
		_, err := l.frame()
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, l.conn.Close())
		requireNothingLeft(t, w.srv)
	})
}

// The upgrade is also abandoned if the client has stopped polling, and then the session ends.
func TestCloseWithAClientThatHasStoppedPolling(t *testing.T) {
	h := newWitness()
	inSite(t, h, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		start := time.Now()
		l := v.upgrade()
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.NoError(t, v.socket().Close())
		require.LessOrEqual(t, time.Since(start), engineio.DefaultUpgradeTimeout+engineio.PollCloseTimeout)
		_, err := l.frame()
		require.ErrorIs(t, err, io.EOF)
		require.NoError(t, l.conn.Close())
		requireNothingLeft(t, w.srv)
	})
}

func TestUpgradeThatNeverEnds(t *testing.T) {
	for _, far := range []string{"nothing", "101", "2probe", "half a frame"} {
		t.Run(far, func(t *testing.T) {
			inSite(t, echoHandler, &engineio.ServerOptions{UpgradeTimeout: 3 * time.Second, PingInterval: time.Hour}, func(t *testing.T, w *site) {
				v := w.open(engineio.Revision4)
				for range 3 {
					start := time.Now()
					var l *line
					if far == "nothing" { // the pipe holds the response to the handshake until the client reads it
						conn := w.connect()
						_, err := io.WriteString(conn, w.handshakeText(strings.Replace(v.query, "polling", "websocket", 1)))
						require.NoError(t, err)
						time.Sleep(defaultWriteTimeout)
						v.requireEcho("alive")
						require.NoError(t, conn.Close())
						continue
					}
					l = v.upgrade()
					switch far {
					case "2probe":
						l.say("2probe")
					case "half a frame":
						_, err := io.WriteString(l.conn, masked(0x81, "2probe")[:4])
						require.NoError(t, err)
					}
					v.requireEcho("while it lasts")
					second := v.upgrade()
					require.Equal(t, "close", second.ending(), "another upgrade meanwhile")
					time.Sleep(3*time.Second - time.Since(start) - 1)
					require.Equal(t, "close", v.upgrade().ending(), "another upgrade in the last moment")
					time.Sleep(1)
					synctest.Wait()
					_, err := l.frame()
					require.ErrorIs(t, err, io.EOF, "the server has abandoned the upgrade")
					v.requireEcho("and then")
					require.NoError(t, l.conn.Close())
				}
				// The next upgrade works.
				l := v.upgrade()
				l.say("2probe")
				require.Equal(t, "3probe", l.text())
				l.say("5")
				l.requireEcho("moved")
				require.NoError(t, l.conn.Close())
			})
		})
	}
}

// A stock client that has received its 3probe has stopped polling and cannot go back. The server does not abandon its
// upgrade.
func TestUpgradeOfASlowClientIsWaitedFor(t *testing.T) {
	const timeout = 3 * time.Second
	h := newWitness()
	opts := &engineio.ServerOptions{UpgradeTimeout: timeout, PingInterval: 60 * time.Second, PingTimeout: 30 * time.Second}
	inSite(t, h, opts, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		poll := later(v.poll)
		l := v.upgrade()
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.Equal(t, "200 6", (<-poll).brief())
		time.Sleep(10*timeout + time.Second)
		require.NoError(t, v.socket().TryWrite(engineio.Text("meanwhile")))
		l.say("5")
		require.Equal(t, "4meanwhile", l.text())
		require.NoError(t, l.conn.Close())
		h.end(v.sid)

		// The heartbeat detects a client that is gone.
		v = w.open(engineio.Revision4)
		start := time.Now()
		l = v.upgrade()
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.end(v.sid))
		require.Equal(t, 90*time.Second, time.Since(start))
		_, err := l.frame()
		require.ErrorIs(t, err, io.EOF, "the probing stream ends with its session")
		require.NoError(t, l.conn.Close())
		synctest.Wait()
		requireNothingLeft(t, w.srv)
	})
}

// A client that continues to poll has not reached this point: the server abandons its upgrade.
func TestUpgradeOfAClientThatPollsOnIsGivenUp(t *testing.T) {
	const timeout = 3 * time.Second
	inSite(t, echoHandler, &engineio.ServerOptions{UpgradeTimeout: timeout, PingInterval: time.Hour}, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		start := time.Now()
		l := v.upgrade()
		time.Sleep(engineio.NoopInterval / 2)
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		for time.Since(start) < timeout-engineio.NoopInterval {
			require.Equal(t, "200 6", v.poll().brief())
		}
		poll := later(v.poll)
		_, err := l.frame()
		require.ErrorIs(t, err, io.EOF)
		require.Equal(t, timeout, time.Since(start))
		require.Equal(t, "200 ok", v.post("4by polling").brief())
		require.Equal(t, "200 4by polling", (<-poll).brief())
		require.NoError(t, l.conn.Close())
	})
}

func TestSecondUpgradeIsRefused(t *testing.T) {
	inSite(t, echoHandler, nil, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		l := v.upgrade()
		require.Equal(t, "close", v.upgrade().ending())
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.Equal(t, "close", v.upgrade().ending())
		l.say("5")
		l.requireEcho("moved")
		require.Equal(t, "close", v.upgrade().ending(), "moved already")
		l.requireEcho("and untouched")
		require.NoError(t, l.conn.Close())

		l, sid := w.session(engineio.Revision4)
		require.Equal(t, "close", w.line("EIO=4&transport=websocket&sid="+sid).ending(), "never polled")
		l.requireEcho("untouched")
		require.NoError(t, l.conn.Close())
	})
	inSite(t, echoHandler, &engineio.ServerOptions{NoUpgrade: true}, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		require.Equal(t, "close", v.upgrade().ending(), "not allowed")
		v.requireEcho("untouched")
	})
}

// A ping during an upgrade neither delays the upgrade nor ends the session later.
func TestHeartbeatDuringAnUpgrade(t *testing.T) {
	h := newWitness()
	opts := &engineio.ServerOptions{PingInterval: 2 * time.Second, PingTimeout: 4 * time.Second, UpgradeTimeout: 30 * time.Second}
	inSite(t, h, opts, func(t *testing.T, w *site) {
		v := w.open(engineio.Revision4)
		start := time.Now()
		poll := later(v.poll)
		l := v.upgrade()
		require.Equal(t, "200 2", (<-poll).brief(), "a ping while upgrading")
		require.Equal(t, 2*time.Second, time.Since(start))
		l.say("2probe")
		require.Equal(t, "3probe", l.text())
		require.Equal(t, "200 6", v.poll().brief())
		l.say("5")
		require.Equal(t, 2*time.Second, time.Since(start))
		time.Sleep(4*time.Second - 1)
		l.say("3") // the reply comes on the new transport
		require.Equal(t, "2", l.text(), "the next one, an interval later")
		require.Equal(t, 8*time.Second-1, time.Since(start))
		l.say("3")
		l.requireEcho("alive")
		require.NoError(t, l.conn.Close())

		// The client falls silent after its probe.
		v = w.open(engineio.Revision4)
		start = time.Now()
		poll = later(v.poll)
		l = v.upgrade()
		require.Equal(t, "200 2", (<-poll).brief())
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.end(v.sid))
		require.Equal(t, 6*time.Second, time.Since(start))
		_, err := l.frame()
		require.ErrorIs(t, err, io.EOF, "the probing socket ends with its session")
		require.NoError(t, l.conn.Close())
		synctest.Wait()
		requireNothingLeft(t, w.srv)
	})
}
