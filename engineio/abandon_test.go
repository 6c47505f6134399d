package engineio_test

import (
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// abandonments are the states in which a client may fall silent. Each function opens a session, brings it into one
// state, and returns the session's connection, or nil if it has no connection.
func abandonments(rev engineio.Revision) []func(w *site) net.Conn {
	all := []func(w *site) net.Conn{
		func(w *site) net.Conn { w.open(rev); return nil }, // never polls
		func(w *site) net.Conn { v := w.open(rev); v.requireEcho("x"); return nil },
		func(w *site) net.Conn { v := w.open(rev); v.post(v.framed("4x")); return nil }, // the client never fetches the echo
		func(w *site) net.Conn { return w.head("GET", w.open(rev).query, "\r\n") },
		func(w *site) net.Conn { l, _ := w.session(rev); return l.conn },
		func(w *site) net.Conn { l, _ := w.session(rev); l.requireEcho("x"); return l.conn },
		func(w *site) net.Conn { // an unfinished message and an unfinished frame
			l, _ := w.session(rev)
			_, _ = io.WriteString(l.conn, masked(0x01, "4half")+masked(0x81, "4")[:3])
			return l.conn
		},
		func(w *site) net.Conn { // the client does not read the echoes
			l, _ := w.session(rev)
			_, _ = io.WriteString(l.conn, strings.Repeat(masked(0x82, "\x04"+strings.Repeat("x", 1000)), 20))
			return l.conn
		},
	}
	for _, half := range halfPosts {
		all = append(all, func(w *site) net.Conn { return w.head("POST", w.open(rev).query, half) })
	}
	for _, far := range []string{"101", "2probe", "3probe", "5"} {
		all = append(all, func(w *site) net.Conn {
			l := w.open(rev).upgrade()
			if far != "101" {
				l.say("2probe")
			}
			if far == "3probe" || far == "5" {
				require.Equal(w.t, "3probe", l.text())
			}
			if far == "5" {
				l.say("5")
			}
			return l.conn
		})
	}
	return all
}

// Sessions are opened in batches and abandoned in every state, half of them with their connection and half without. They
// leave no session and no counted byte behind, and the end of the bubble checks that they leave no goroutine. With the
// build tag soak, there are ten thousand, and the heap does not grow.
func TestAbandonedSessionsLeaveNothing(t *testing.T) {
	batches, size := 1, 100
	if soak {
		batches, size = 20, 500
	}
	ways := append(abandonments(engineio.Revision3), abandonments(engineio.Revision4)...)
	inSite(t, echoHandler, bothRevisions(), func(t *testing.T, w *site) {
		batch := func() {
			var left []net.Conn
			for i := range size {
				conn := ways[i%len(ways)](w)
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
			w.client.CloseIdleConnections()
			time.Sleep(time.Second)
			synctest.Wait()
			requireNothingLeft(t, w.srv)
		}
		batch() // makes the objects that are made only once
		requireHeapGrows(t, 5<<20, func() {
			for range batches {
				batch()
			}
		})
	})
}
