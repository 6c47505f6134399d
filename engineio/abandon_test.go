package engineio_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// abandonments are the states in which a client may fall silent. Each function opens a session, brings it into one
// state, and returns the session's connection, or nil if it has no connection.
func abandonments(rev engineio.Revision) []func(ts *testServer) net.Conn {
	all := []func(ts *testServer) net.Conn{
		func(ts *testServer) net.Conn { ts.openPolling(rev); return nil }, // never polls
		func(ts *testServer) net.Conn { pc := ts.openPolling(rev); pc.requireEcho("x"); return nil },
		func(ts *testServer) net.Conn { pc := ts.openPolling(rev); pc.post(pc.payload("4x")); return nil }, // the client never fetches the echo
		func(ts *testServer) net.Conn { return ts.sendHead("GET", ts.openPolling(rev).query, "\r\n") },
		func(ts *testServer) net.Conn { wc, _ := ts.openWebSocket(rev); return wc.conn },
		func(ts *testServer) net.Conn { wc, _ := ts.openWebSocket(rev); wc.requireEcho("x"); return wc.conn },
		func(ts *testServer) net.Conn { // an unfinished message and an unfinished frame
			wc, _ := ts.openWebSocket(rev)
			_, _ = io.WriteString(wc.conn, masked(0x01, "4half")+masked(0x81, "4")[:3])
			return wc.conn
		},
		func(ts *testServer) net.Conn { // the client does not read the echoes
			wc, _ := ts.openWebSocket(rev)
			_, _ = io.WriteString(wc.conn, strings.Repeat(masked(0x82, "\x04"+strings.Repeat("x", 1000)), 20))
			return wc.conn
		},
	}
	for _, half := range halfPosts {
		all = append(all, func(ts *testServer) net.Conn { return ts.sendHead("POST", ts.openPolling(rev).query, half) })
	}
	for _, far := range []string{"101", "2probe", "3probe", "5"} {
		all = append(all, func(ts *testServer) net.Conn {
			wc := ts.openPolling(rev).upgradeTo(far)
			return wc.conn
		})
	}
	return all
}

// Sessions are opened in batches and abandoned in every state, half of them with their connection and half without.
// They leave no session and no counted byte behind, and the end of the bubble checks that they leave no goroutine. With
// the build tag soak, there are ten thousand, and the heap does not grow.
func TestAbandonedSessionsLeaveNothing(t *testing.T) {
	batches, size := 1, 100
	if interoptest.Soak {
		batches, size = 20, 500
	}
	ways := append(abandonments(engineio.Revision3), abandonments(engineio.Revision4)...)
	inBubble(t, echoHandler, bothRevisions(), func(t *testing.T, ts *testServer) {
		batch := func() {
			var left []net.Conn
			for i := range size {
				conn := ways[i%len(ways)](ts)
				switch {
				case conn == nil:
				case i/len(ways)%2 == 0:
					left = append(left, conn)
				default:
					_ = conn.Close()
				}
			}
			time.Sleep(2 * (engineio.DefaultPingInterval + engineio.DefaultPingTimeout))
			for _, conn := range left {
				_ = conn.Close()
			}
			ts.client.CloseIdleConnections()
			time.Sleep(time.Second)
			synctest.Wait()
			requireNothingLeft(t, ts.srv)
		}
		batch() // makes the objects that are made only once
		interoptest.RequireHeapGrows(t, 5<<20, func() {
			for range batches {
				batch()
			}
		})
	})
}
