package engineio

import (
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// Each of many sessions is onPing exactly at its own time, independently of the other sessions.
func TestHeartbeatsOfManySessions(t *testing.T) {
	const interval = time.Second
	inSite(t, echo, &ServerOptions{PingInterval: interval, PingTimeout: interval}, func(t *testing.T, w *site) {
		rnd := rand.New(rand.NewPCG(1, 2))
		pinged := make(chan time.Duration, 100)
		var lines []*line
		for range 100 {
			l, _ := w.session(Revision4)
			opened := time.Now()
			lines = append(lines, l)
			go func() {
				for {
					f, err := l.frame()
					if err != nil {
						return
					}
					if string(f.Payload) == "2" {
						pinged <- time.Since(opened)
						return // it does not reply
					}
				}
			}()
			time.Sleep(time.Duration(rnd.IntN(9)) * time.Millisecond) // all before the first ping
		}
		rnd.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
		for _, l := range lines[:50] {
			require.NoError(t, l.conn.Close())
		}
		for range 50 {
			require.Equal(t, interval, <-pinged)
		}
		time.Sleep(interval - time.Nanosecond)
		synctest.Wait()
		require.NotEmpty(t, w.srv.Sockets(), "the last one has time left")
		time.Sleep(interval)
		synctest.Wait()
		require.Empty(t, w.srv.Sockets(), "all were given up")
		require.Empty(t, pinged)
		for _, l := range lines[50:] {
			_ = l.conn.Close()
		}
	})
}

// The queue of timers behaves like a sorted list.
func TestAlarmsStayInOrder(t *testing.T) {
	var a timers
	rnd := rand.New(rand.NewPCG(1, 2))
	sockets := make([]*Socket, 50)
	for i := range sockets {
		sockets[i] = new(Socket)
	}
	for range 5000 {
		s := sockets[rnd.IntN(len(sockets))]
		if rnd.IntN(3) == 0 {
			a.stop(s)
			require.Zero(t, s.timerIndex)
		} else {
			a.set(s, time.Hour+time.Duration(rnd.IntN(1e9)))
			require.Same(t, s, a.queue[s.timerIndex-1])
		}
		set := 0
		for _, s := range sockets {
			if s.timerIndex > 0 {
				set++
			}
		}
		require.Len(t, a.queue, set)
		if set > 0 {
			first := slices.MinFunc(a.queue, func(x, y *Socket) int { return int(x.timerAt - y.timerAt) })
			require.Equal(t, first.timerAt, a.queue[0].timerAt)
			require.True(t, a.armed && a.next <= first.timerAt, "every alarm is in time")
		}
	}
	for _, s := range sockets {
		a.stop(s)
	}
	require.False(t, a.armed, "without sockets there is no alarm")
}
