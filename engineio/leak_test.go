package engineio_test

import (
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// departure is a way in which a client begins an action and vanishes in the middle of it, with a FIN or a RST.
type departure struct {
	name string
	f    func(ts *testServer)
}

func vanish(conn net.Conn, how string) {
	if how == "RST" {
		reset(conn)
	} else {
		_ = conn.Close()
	}
}

func departures(transport string, rev engineio.Revision) []departure {
	var all []departure
	add := func(name string, f func(ts *testServer)) { all = append(all, departure{name, f}) }
	for _, how := range []string{"FIN", "RST"} {
		switch transport {
		case "polling":
			add("mid-poll "+how, func(ts *testServer) {
				pc := ts.openPolling(rev)
				conn := ts.sendHead("GET", pc.query, "\r\n")
				pc.awaitPoll()
				vanish(conn, how)
			})
			for _, half := range halfPosts {
				add("mid-POST "+how, func(ts *testServer) { vanish(ts.sendHead("POST", ts.openPolling(rev).query, half), how) })
			}
			add("close packet", func(ts *testServer) { pc := ts.openPolling(rev); pc.closeSession() })
			add("garbage", func(ts *testServer) { pc := ts.openPolling(rev); _ = pc.post("nonsense") })
		case "websocket":
			add("idle "+how, func(ts *testServer) { wc, _ := ts.openWebSocket(rev); vanish(wc.conn, how) })
			add("half a frame "+how, func(ts *testServer) {
				wc, _ := ts.openWebSocket(rev)
				_, _ = io.WriteString(wc.conn, masked(0x81, "4half")[:7])
				vanish(wc.conn, how)
			})
			add("unread echoes "+how, func(ts *testServer) {
				wc, _ := ts.openWebSocket(rev)
				_, _ = io.WriteString(wc.conn, strings.Repeat(masked(0x82, "\x04"+strings.Repeat("x", 1000)), 20))
				vanish(wc.conn, how)
			})
			add("close frame "+how, func(ts *testServer) {
				wc, _ := ts.openWebSocket(rev)
				wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpClose}, "")
				vanish(wc.conn, how)
			})
			add("garbage "+how, func(ts *testServer) { wc, _ := ts.openWebSocket(rev); wc.sendText("nonsense"); vanish(wc.conn, how) })
			add("mid-handshake "+how, func(ts *testServer) {
				conn := ts.dial()
				_, _ = io.WriteString(conn, ts.handshakeText(fmt.Sprintf("EIO=%d&transport=websocket", rev)))
				vanish(conn, how)
			})
		case "upgrade":
			for _, far := range []string{"handshake", "101", "2probe", "3probe", "5"} {
				add("after "+far+" "+how, func(ts *testServer) {
					pc := ts.openPolling(rev)
					query := strings.Replace(pc.query, "polling", "websocket", 1)
					if far == "handshake" {
						conn := ts.dial()
						_, _ = io.WriteString(conn, ts.handshakeText(query))
						vanish(conn, how)
					} else {
						vanish(pc.upgradeTo(far).conn, how)
					}
					pc.closeSession() // the session continues with polling; end it now, so that the test need not wait for its timeout
				})
			}
		}
	}
	return all
}

// Sessions on each transport and in both revisions end in every way but silence. They leave no goroutine behind, and
// the garbage collector frees them, even while the server still runs. With the build tag soak, there are ten thousand,
// and the heap does not grow after the first batch.
func TestNothingRemainsOfSessions(t *testing.T) {
	batches, size := 1, 150
	if interoptest.Soak {
		batches, size = 20, 500
	}
	before := goleak.IgnoreCurrent()
	var c census
	ts := newTestServer(t, c.handler(echoHandler), bothRevisions())
	var ways []departure
	for _, transport := range []string{"polling", "websocket", "upgrade"} {
		ways = append(ways, departures(transport, engineio.Revision3)...)
		ways = append(ways, departures(transport, engineio.Revision4)...)
	}
	begun := 0
	batch := func() {
		for range size {
			ways[begun%len(ways)].f(ts)
			begun++
		}
		ts.awaitSockets(0)
		ts.client.CloseIdleConnections()
	}
	batch() // makes the objects that are made only once
	interoptest.RequireHeapGrows(t, 5<<20, func() {
		for range batches {
			batch()
		}
		if interoptest.Soak {
			c.requireExtinct(t) // a session that still ends counts in the heap
		}
	})
	ts.close()
	goleak.VerifyNone(t, before)
	c.requireExtinct(t)
	// Some clients vanish before the session exists.
	require.LessOrEqual(t, c.born.Load(), int64(begun))
	require.Greater(t, c.born.Load(), int64(begun*8/10))
}

// Sessions that fall silent, also during upgrades, are gone after their timeout, in every state. The end of the bubble
// checks that no goroutine is left.
func TestNothingRemainsOfSilentSessions(t *testing.T) {
	var c census
	inBubble(t, c.handler(echoHandler), &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, UpgradeTimeout: 3 * time.Second}, func(t *testing.T, ts *testServer) {
		var conns []net.Conn
		const rounds = 40
		for i := range rounds {
			rev := engineio.Revision3 + engineio.Revision(i%2)
			ts.openPolling(rev) // the client never polls
			conns = append(conns, ts.sendHead("GET", ts.openPolling(rev).query, "\r\n"))
			for _, half := range halfPosts {
				conns = append(conns, ts.sendHead("POST", ts.openPolling(rev).query, half))
			}
			wc, _ := ts.openWebSocket(rev)
			conns = append(conns, wc.conn)
			wc, _ = ts.openWebSocket(rev)
			_, err := io.WriteString(wc.conn, masked(0x01, "4half")+masked(0x81, "4")[:3])
			require.NoError(t, err)
			conns = append(conns, wc.conn)
			for _, far := range []string{"101", "2probe", "3probe", "5"} {
				wc := ts.openPolling(rev).upgradeTo(far)
				conns = append(conns, wc.conn)
			}
		}
		require.Len(t, ts.srv.Sockets(), rounds*10)
		time.Sleep(45*time.Second + defaultWriteTimeout)
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
		for _, conn := range conns {
			_ = conn.Close()
		}
	})
	require.EqualValues(t, 400, c.born.Load())
	c.requireExtinct(t)
}

// The client's side also leaves nothing behind, however its server vanishes.
func TestNothingRemainsOfClients(t *testing.T) {
	before := goleak.IgnoreCurrent()
	ts := newTestServer(t, echoHandler, bothRevisions())
	var alive atomic.Int64
	ctx := testContext(t)
	for i := range 200 {
		for _, o := range everyTransport {
			if i >= 20 && o.Transports == nil {
				continue
			}
			s, err := engineio.Dial(ctx, ts.url, &o)
			require.NoError(t, err)
			alive.Add(1)
			runtime.AddCleanup(s, func(n *atomic.Int64) { n.Add(-1) }, &alive)
			if i%2 == 0 {
				require.NoError(t, s.Write(ctx, engineio.Text("x")))
				_, err = s.Read(ctx)
				require.NoError(t, err)
			}
			switch i % 3 {
			case 0:
				require.NoError(t, s.Close())
			case 1:
				s.Abort(nil)
				require.NoError(t, s.Close())
			case 2:
				for _, there := range ts.srv.Sockets() {
					there.Abort(nil)
				}
				s.Discard()
				<-s.Context().Done()
				require.NoError(t, s.Close())
			}
		}
	}
	ts.close()
	goleak.VerifyNone(t, before)
	for range 100 {
		if runtime.GC(); alive.Load() == 0 {
			break
		}
		runtime.Gosched()
	}
	require.Zero(t, alive.Load(), "sockets that something still refers to")
}
