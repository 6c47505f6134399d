package engineio_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// Each close reason, in the situation that it names, at both ends.
func TestCloseReasons(t *testing.T) {
	type end struct {
		Reason string
		Remote bool
	}
	for _, c := range []struct {
		name           string
		act            func(t *testing.T, e *bothEnds)
		server, client end
	}{
		{"the server closes", func(t *testing.T, e *bothEnds) { require.NoError(t, e.there.Close()) },
			end{engineio.ReasonForcedClose, false}, end{engineio.ReasonTransportClose, true}},
		{"the client closes", func(t *testing.T, e *bothEnds) { require.NoError(t, e.here.Close()) },
			end{engineio.ReasonTransportClose, true}, end{engineio.ReasonForcedClose, false}},
		{"the client parses nonsense", func(t *testing.T, e *bothEnds) { e.nonsenseToClient(t) },
			end{engineio.ReasonTransportClose, true}, end{engineio.ReasonParseError, true}},
		{"the server parses nonsense", func(t *testing.T, e *bothEnds) { e.nonsenseToServer(t) },
			end{engineio.ReasonParseError, true}, end{engineio.ReasonTransportClose, true}},
		{"the network falls silent", func(_ *testing.T, e *bothEnds) { e.net.silence() },
			end{engineio.ReasonPingTimeout, true}, end{engineio.ReasonPingTimeout, true}},
	} {
		for way, o := range everyTransport {
			t.Run(c.name+", "+way, func(t *testing.T) {
				inBothEnds(t, o, func(t *testing.T, e *bothEnds) {
					nonsense := strings.HasSuffix(c.name, "nonsense")
					polling := e.here.Transport() == engineio.Polling
					c.act(t, e)
					check := func(want end, s *engineio.Socket, parses bool) {
						<-s.Context().Done()
						var closed *engineio.CloseError
						require.ErrorAs(t, context.Cause(s.Context()), &closed)
						require.ErrorIs(t, closed, net.ErrClosed)
						got := end{closed.Reason, closed.Remote}
						if nonsense && polling && parses {
							require.ErrorContains(t, closed, "invalid packet type")
						}
						if nonsense && polling && (!parses || s == e.here) {
							// The parsing end does not announce the close. A client notices it at its next request, and
							// a server at the end of its poll or by silence. A client's poll is one request, which
							// fails.
							require.Contains(t, []end{want, {engineio.ReasonTransportError, true}, {engineio.ReasonPingTimeout, true}}, got)
							return
						}
						require.Equal(t, want, got, "%v", closed)
					}
					check(c.server, e.there, c.server.Reason == engineio.ReasonParseError)
					check(c.client, e.here, c.client.Reason == engineio.ReasonParseError)
				})
			})
		}
	}
}

// bothEnds is a session whose test has both ends.
type bothEnds struct {
	*testServer
	there, here *engineio.Socket // the ends of the server and of the client
	garbled     atomic.Bool      // polls get nonsense
}

// nonsenseToClient makes the server send a packet of an unknown type.
func (e *bothEnds) nonsenseToClient(t *testing.T) {
	if e.here.Transport() != engineio.Polling {
		_, server := e.net.last()
		_, err := io.WriteString(server, "\x81\x019")
		require.NoError(t, err)
		return
	}
	e.garbled.Store(true)
	require.NoError(t, e.there.TryWrite(engineio.Text("ends the poll")))
}

// nonsenseToServer makes the client send a packet of an unknown type.
func (e *bothEnds) nonsenseToServer(t *testing.T) {
	if e.here.Transport() != engineio.Polling {
		client, _ := e.net.last()
		_, err := io.WriteString(client, masked(0x81, "9"))
		require.NoError(t, err)
		return
	}
	rev := e.here.Revision()
	pc := &pollingClient{ts: e.testServer, rev: rev, query: fmt.Sprintf("EIO=%d&transport=polling&sid=%s", rev, e.here.ID())}
	require.Equal(t, "400 ", pc.post(pc.payload("9")).summary())
}

// inBothEnds opens a session in a bubble and waits until it has moved to its last transport. Both ends read.
func inBothEnds(t *testing.T, o engineio.DialOptions, f func(t *testing.T, e *bothEnds)) {
	t.Helper()
	var e bothEnds
	garble := intercept(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !e.garbled.Load() {
			return false
		}
		_, _ = io.WriteString(w, asciiPayload(o.Revision, "9"))
		return true
	})
	inBubbleBehind(t, garble, idle, bothRevisions(), func(t *testing.T, ts *testServer) {
		e.testServer, e.here = ts, ts.connect(&o)
		e.here.Discard()
		synctest.Wait()
		e.there = ts.srv.Sockets()[0]
		f(t, &e)
		e.here.Abort(nil)
		require.NoError(t, e.here.Close())
		e.there.Abort(nil)
		time.Sleep(time.Second)
		requireNothingLeft(t, ts.srv)
	})
}

// The response to a handshake does not wait for ever for a client that does not read.
func TestHandshakeWithAClientThatTakesNothing(t *testing.T) {
	inBubble(t, newEndRecorder(), nil, func(t *testing.T, ts *testServer) {
		for _, query := range []string{"EIO=4&transport=websocket", polling4, ts.openPolling(engineio.Revision4).query} {
			conn := ts.dial()
			_, err := io.WriteString(conn, ts.handshakeText(query))
			require.NoError(t, err)
			time.Sleep(defaultWriteTimeout - 1)
			require.Len(t, ts.srv.Sockets(), 1+boolInt(query == "EIO=4&transport=websocket"))
			time.Sleep(2)
			synctest.Wait()
			require.Len(t, ts.srv.Sockets(), 1)
			_, err = io.WriteString(conn, "x")
			require.Error(t, err, "the connection is closed")
			require.NoError(t, conn.Close())
		}
	})
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}
