package engineio_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// The heartbeat starts at the handshake, not at the first poll.
func TestSilenceEndsASessionThatNeverPolled(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		h := newWitness()
		inSite(t, h, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, PingInterval: 300 * time.Millisecond, PingTimeout: 200 * time.Millisecond}, func(t *testing.T, w *site) {
			v := w.open(rev)
			time.Sleep(500*time.Millisecond - 1)
			require.NotNil(t, v.socket())
			time.Sleep(1)
			require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.end(v.sid))
			require.Equal(t, "400 "+unknownSession, v.poll().brief())
		})
	}
}

func TestHeartbeatOnTheWire(t *testing.T) {
	h := newWitness()
	inSite(t, h, bothRevisions(), func(t *testing.T, w *site) {
		// Revision 4: the server pings an interval after the last pong.
		v := w.open(engineio.Revision4)
		start := time.Now()
		require.Equal(t, "200 2", v.poll().brief())
		require.Equal(t, 25*time.Second, time.Since(start))
		time.Sleep(10 * time.Second)
		require.Equal(t, "200 ok", v.post("3").brief())
		require.Equal(t, "200 2", v.poll().brief())
		require.Equal(t, 60*time.Second, time.Since(start))
		// Any packet but a pong gives one more timeout, once.
		time.Sleep(19 * time.Second)
		require.Equal(t, "200 ok", v.post("4x").brief())
		require.Equal(t, "200 4x", v.poll().brief())
		time.Sleep(19 * time.Second)
		require.Equal(t, "200 ok", v.post("4x").brief())
		require.Equal(t, "200 4x", v.poll().brief())
		pending := later(v.poll)
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.end(v.sid))
		require.Equal(t, (60+19+20)*time.Second, time.Since(start))
		require.Equal(t, "200 1", (<-pending).brief())

		// Revision 3: only a ping counts, and its data is not echoed.
		v = w.open(engineio.Revision3)
		start = time.Now()
		time.Sleep(40 * time.Second)
		require.Equal(t, "200 ok", v.post("6:2probe").brief())
		require.Equal(t, "200 1:3", v.poll().brief())
		time.Sleep(30 * time.Second)
		require.Equal(t, "200 ok", v.post("2:4x").brief())
		require.Equal(t, "200 2:4x", v.poll().brief())
		require.Equal(t, "remote "+engineio.ReasonPingTimeout, h.end(v.sid))
		require.Equal(t, 85*time.Second, time.Since(start))

		// The wrong side pings.
		v = w.open(engineio.Revision4)
		require.Equal(t, "200 ok", v.post("2").brief())
		e := <-h.of(v.sid)
		require.Equal(t, engineio.ReasonTransportError, e.Reason)
		require.ErrorContains(t, e, "invalid heartbeat direction")
		v = w.open(engineio.Revision3)
		require.Equal(t, "200 ok", v.post("1:3").brief())
		require.Equal(t, "remote "+engineio.ReasonTransportError, h.end(v.sid))
	})
}

// An interval that is shorter than the timeout also starts at the pong, even if the pong is late.
func TestPingFollowsALatePongByAnInterval(t *testing.T) {
	inSite(t, echoHandler, &engineio.ServerOptions{PingInterval: time.Second, PingTimeout: 10 * time.Second}, func(t *testing.T, w *site) {
		l, _ := w.session(engineio.Revision4)
		require.Equal(t, "2", l.text())
		time.Sleep(3500 * time.Millisecond)
		l.say("3")
		start := time.Now()
		require.Equal(t, "2", l.text())
		require.Equal(t, time.Second, time.Since(start))
		require.NoError(t, l.conn.Close())
	})
}
