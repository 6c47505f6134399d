package engineio_test

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// When the budget is spent, the server ends sessions of peers that do not read, the longest-waiting first. Peers that
// read lose no messages.
func TestBufferLimitEndsThePeersThatDoNotRead(t *testing.T) {
	const limit = 1_000_000
	inBubble(t, idle, &engineio.ServerOptions{BufferLimit: limit}, func(t *testing.T, ts *testServer) {
		private := func() engineio.Message { return engineio.Text(strings.Repeat("x", 10_000)) }
		var deaf, reading []*pollingClient
		for range 10 {
			deaf = append(deaf, ts.openPolling(engineio.Revision4))
		}
		for range 10 {
			reading = append(reading, ts.openPolling(engineio.Revision4))
		}
		write := func(pc *pollingClient, n int) {
			for range n {
				require.NoError(t, pc.socket().TryWrite(private()))
			}
		}
		var sockets []*engineio.Socket
		for i, pc := range deaf {
			sockets = append(sockets, pc.socket())
			write(pc, 5) // 50 KB each
			time.Sleep(time.Second)
			require.NoError(t, sockets[i].Context().Err())
		}
		for round := range 10 { // 700 KB each time, beside the other queues
			for _, pc := range reading {
				write(pc, 7)
				require.LessOrEqual(t, ts.srv.SendBudgetUsed(), limit)
			}
			for _, pc := range reading {
				require.Equal(t, 70_000, strings.Count(pc.poll().body, "x"), round)
			}
			synctest.Wait()
		}
		ended := 0
		for i, s := range sockets {
			if s.Context().Err() == nil {
				continue
			}
			require.ErrorIs(t, context.Cause(s.Context()), engineio.ErrBufferLimit)
			require.Equal(t, i, ended, "the session that has waited longest ends first")
			ended++
		}
		require.NotZero(t, ended)
		require.Less(t, ended, 10, "no more than needed")
		for _, s := range ts.srv.Sockets() {
			s.Abort(nil)
		}
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
	})
}

// A message in the queues of many sockets exists once, and counts once.
func TestSharedMessagesCountOnce(t *testing.T) {
	const sessions, messages, size = 50, 40, 5_000
	inBubble(t, idle, &engineio.ServerOptions{BufferLimit: 3 * messages * size}, func(t *testing.T, ts *testServer) {
		var visits []*pollingClient
		for range sessions {
			visits = append(visits, ts.openPolling(engineio.Revision4))
		}
		publish := func(n int) {
			for range n {
				m := engineio.Prepare(engineio.Text(strings.Repeat("x", size)))
				for _, pc := range visits {
					require.NoError(t, pc.socket().TryWrite(m))
				}
			}
		}
		publish(messages) // 10 MB counted, 200 KB real
		require.Greater(t, ts.srv.SendBudgetUsed(), 5_000_000)

		// The count of shared bytes stays right when some of them leave: the unshared bytes of one session get no more
		// room than the budget has.
		for _, pc := range visits[1:] {
			require.Equal(t, messages*size, strings.Count(pc.poll().body, "x"))
		}
		synctest.Wait()
		require.Less(t, ts.srv.SendBudgetUsed(), 300_000)
		var held int
		for i := 1; ; i++ {
			s := visits[i].socket()
			require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("y", 100_000))))
			if synctest.Wait(); visits[0].socket() == nil {
				break
			}
			held += 100_000
			require.LessOrEqual(t, held, 3*messages*size, "the limit holds")
		}
		require.GreaterOrEqual(t, held, messages*size)
		for _, s := range ts.srv.Sockets() {
			s.Abort(nil)
		}
		synctest.Wait()
		requireNothingLeft(t, ts.srv)
	})
}

func TestMessageLargerThanBufferLimit(t *testing.T) {
	inBubble(t, idle, &engineio.ServerOptions{BufferLimit: 100_000}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		require.ErrorIs(t, s.TryWrite(engineio.Text(strings.Repeat("x", 200_000))), engineio.ErrQueueFull)
		require.ErrorIs(t, s.Write(t.Context(), engineio.Text(strings.Repeat("x", 200_000))), engineio.ErrQueueFull)
		require.NoError(t, s.TryWrite(engineio.Text("small")))
		require.Equal(t, "200 4small", pc.poll().summary())
	})
}

func TestWritersWithALowerLimitLeaveTheRestToOthers(t *testing.T) {
	inBubble(t, idle, &engineio.ServerOptions{QueueLimit: 10_000}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		m := engineio.Text(strings.Repeat("x", 1000-wire.Overhead))
		for range 5 {
			require.NoError(t, s.TryWriteBelow(5000, m))
		}
		require.ErrorIs(t, s.TryWriteBelow(5000, m), engineio.ErrQueueFull)
		require.ErrorIs(t, s.TryWriteBelow(6500, m, m), engineio.ErrQueueFull, "all or none")
		require.NoError(t, s.TryWriteBelow(1<<30, m))
		for range 4 {
			require.NoError(t, s.TryWrite(m))
		}
		require.ErrorIs(t, s.TryWriteBelow(1<<30, m), engineio.ErrQueueFull, "QueueLimit is the highest")
		wrote := make(chan error, 1)
		go func() { wrote <- s.WaitBelow(t.Context(), 5000) }()
		synctest.Wait()
		require.Empty(t, wrote)
		pc.poll()
		require.NoError(t, <-wrote)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("x", 9000))))
		require.ErrorIs(t, s.WaitBelow(ctx, 5000), context.DeadlineExceeded)
		s.Abort(io.ErrClosedPipe)
		require.ErrorIs(t, s.WaitBelow(t.Context(), 5000), io.ErrClosedPipe)
	})
}

// Stalled distinguishes a peer that reads slowly from a peer that does not read.
func TestStalled(t *testing.T) {
	inBubble(t, idle, nil, func(t *testing.T, ts *testServer) {
		wc, sid := ts.openWebSocket(engineio.Revision4)
		defer func() { require.NoError(t, wc.conn.Close()) }()
		s := (&pollingClient{ts: ts, sid: sid}).socket()
		require.Zero(t, s.Stalled())
		require.NoError(t, s.TryWrite(engineio.Text("small")))
		time.Sleep(time.Second)
		require.Zero(t, s.Stalled(), "a small queue is not looked at")
		for range 10 {
			require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("x", wire.BatchSize))))
		}
		time.Sleep(3 * time.Second)
		require.Equal(t, 3*time.Second, s.Stalled())
		_ = wc.readText()
		_ = wc.readText()
		synctest.Wait()
		require.Zero(t, s.Stalled())
		queued := s.Queued()
		time.Sleep(time.Second)
		_ = wc.readText()
		synctest.Wait()
		require.Zero(t, s.Stalled())
		require.Equal(t, queued-wire.BatchSize-wire.Overhead, s.Queued(), "the queue shrinks while it is written")
		time.Sleep(2 * time.Second)
		require.Equal(t, 2*time.Second, s.Stalled())
	})
}

// A queue that has become small is no backlog any more, even if it never becomes empty: it holds no part of the budget,
// and the peer's silence does not count. When the queue grows again, a new backlog begins.
func TestBacklogEndsWhenTheQueueIsSmall(t *testing.T) {
	inBubble(t, idle, nil, func(t *testing.T, ts *testServer) {
		wc, sid := ts.openWebSocket(engineio.Revision4)
		defer func() { require.NoError(t, wc.conn.Close()) }()
		s := (&pollingClient{ts: ts, sid: sid}).socket()
		large, small := engineio.Text(strings.Repeat("x", wire.BatchSize)), engineio.Text(strings.Repeat("y", 1000))
		require.NoError(t, s.TryWrite(large))
		for range 10 {
			require.NoError(t, s.TryWrite(small))
		}
		require.NotZero(t, ts.srv.SendBudgetUsed())
		_ = wc.readText()
		synctest.Wait()
		require.Equal(t, 10*(1000+wire.Overhead), s.Queued())
		require.Zero(t, ts.srv.SendBudgetUsed())
		time.Sleep(3 * time.Second)
		require.Zero(t, s.Stalled())
		require.NoError(t, s.TryWrite(large))
		require.Zero(t, s.Stalled(), "the new backlog has just begun")
		time.Sleep(2 * time.Second)
		require.Equal(t, 2*time.Second, s.Stalled())
	})
}

// The part of a frame that the kernel did not accept waits in the queue and counts in it.
func TestQueuedCountsThePartlyWrittenFrame(t *testing.T) {
	reply := engineio.Text(strings.Repeat("x", engineio.FreeAllowance))
	queued := make(chan int)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		if _, err := s.Read(ctx); err != nil {
			return
		}
		for s.Queued() == 0 && s.Write(ctx, reply) == nil { // until the kernel holds no more for a peer that does not read
		}
		queued <- s.Queued()
	}), nil)
	wc, _ := ts.openWebSocket(engineio.Revision4)
	defer func() { require.NoError(t, wc.conn.Close()) }()
	wc.sendText("4x")
	n := <-queued
	require.NotZero(t, n, "a part of the frame is in the queue")
	require.LessOrEqual(t, n, engineio.FreeAllowance+5, "only a part of one frame")
}

// slowly reads n bytes at a steady rate, in small parts.
func slowly(conn net.Conn, n int, rate int) (got int, err error) {
	b := make([]byte, rate/20)
	for got < n && err == nil {
		time.Sleep(time.Second / 20)
		var m int
		m, err = io.ReadFull(conn, b[:min(len(b), n-got)])
		got += m
	}
	return got, err
}

// A peer that reads slowly gets all messages that were queued before Close, even if one frame takes longer than all
// timeouts.
func TestCloseWaitsForAPeerThatReads(t *testing.T) {
	for name, sizes := range map[string][]int{"one large message": {900_000}, "many": {90_000, 90_000, 90_000, 90_000, 90_000, 90_000, 90_000, 90_000, 90_000, 90_000}} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, idle, nil, func(t *testing.T, ts *testServer) {
				wc, sid := ts.openWebSocket(engineio.Revision4)
				s := (&pollingClient{ts: ts, sid: sid}).socket()
				total := 0
				for _, n := range sizes {
					require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("x", n))))
					total += n
				}
				closed := make(chan time.Duration, 1)
				start := time.Now()
				go func() {
					_ = s.Close()
					closed <- time.Since(start)
				}()
				got, err := slowly(wc.conn, total, 30_000)
				require.NoError(t, err)
				require.Equal(t, total, got)
				require.NoError(t, wc.conn.Close())
				require.Greater(t, <-closed, 29*time.Second)
			})
		})
	}
}

// Close does not wait longer for a peer that stops reading, and never waits for ever.
func TestCloseIsBounded(t *testing.T) {
	closing := func(t *testing.T, read func(conn net.Conn)) time.Duration {
		var took time.Duration
		inBubble(t, idle, nil, func(t *testing.T, ts *testServer) {
			wc, sid := ts.openWebSocket(engineio.Revision4)
			s := (&pollingClient{ts: ts, sid: sid}).socket()
			for range 10 {
				require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("x", 90_000))))
			}
			reader := make(chan struct{})
			go func() {
				defer close(reader)
				read(wc.conn)
			}()
			start := time.Now()
			require.NoError(t, s.Close())
			took = time.Since(start)
			require.NoError(t, wc.conn.Close())
			<-reader
		})
		return took
	}
	require.Equal(t, engineio.CloseTimeout, closing(t, func(net.Conn) {}))
	took := closing(t, func(conn net.Conn) { _, _ = slowly(conn, 300_000, 50_000) })
	require.InDelta(t, (6*time.Second + engineio.CloseTimeout).Seconds(), took.Seconds(), 2)
	took = closing(t, func(conn net.Conn) {
		for range 900_000 / 50_000 {
			if _, err := io.ReadFull(conn, make([]byte, 50_000)); err != nil {
				return
			}
			time.Sleep(4 * time.Second)
		}
	})
	require.LessOrEqual(t, took, engineio.CloseLimit)
}

// A closed polling session whose queue needs several polls gets the time for them.
func TestCloseWaitsForAPollingClientThatPolls(t *testing.T) {
	inBubble(t, idle, &engineio.ServerOptions{QueueLimit: 1 << 30}, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		s := pc.socket()
		const n = 25_000 // three payloads
		for range n {
			require.NoError(t, s.TryWrite(engineio.Text("x")))
		}
		closed := make(chan error, 1)
		go func() { closed <- s.Close() }()
		got := 0
		for range 3 {
			time.Sleep(20 * time.Second)
			got += strings.Count(pc.poll().body, "x")
		}
		require.Equal(t, n, got)
		require.NoError(t, <-closed)
	})
}

// WriteTimeout ends the session of a peer that accepts no data. A peer that accepts a large message slowly keeps its
// session.
func TestLargeMessageToASlowPeer(t *testing.T) {
	inBubble(t, idle, nil, func(t *testing.T, ts *testServer) {
		wc, sid := ts.openWebSocket(engineio.Revision4)
		defer func() { require.NoError(t, wc.conn.Close()) }()
		s := (&pollingClient{ts: ts, sid: sid}).socket()
		require.NoError(t, s.TryWrite(engineio.Text(strings.Repeat("x", 900_000))))
		_, err := slowly(wc.conn, 900_000, 30_000) // 30 s
		require.NoError(t, err)
		require.NoError(t, s.Context().Err())
	})
}

// A message for which the server would end the session is an error, in each state of the session.
func TestWriteAboveTheServersMaxPayload(t *testing.T) {
	const limit = 1000
	onEveryTransport(t, &engineio.ServerOptions{MaxPayload: limit}, func() (engineio.Handler, func(*testing.T, *engineio.Server, *engineio.Socket)) {
		var got []int
		h := reading(func(m engineio.Message) { got = append(got, len(m.Data)) })
		return h, func(t *testing.T, _ *engineio.Server, s *engineio.Socket) {
			s.Discard()
			synctest.Wait() // the upgrade has ended
			var want []int
			for _, form := range []func(n int) engineio.Message{
				func(n int) engineio.Message { return engineio.Text(strings.Repeat("x", n)) },
				func(n int) engineio.Message { return engineio.Text(strings.Repeat("é", n/2)) },
				func(n int) engineio.Message { return engineio.Binary(make([]byte, n)) },
			} {
				largest := 0
				for n := 700; n <= 1100; n += 2 {
					m := form(n)
					err := s.Write(t.Context(), m)
					if err == nil {
						require.NoError(t, s.Flush(t.Context()))
						want, largest = append(want, n), n
						continue
					}
					require.ErrorIs(t, err, engineio.ErrTooLarge)
					require.ErrorContains(t, err, "1000")
					require.ErrorIs(t, s.TryWrite(m), engineio.ErrTooLarge)
				}
				require.Greater(t, largest, 700)
				require.LessOrEqual(t, largest, limit)
			}
			synctest.Wait()
			require.NoError(t, s.Context().Err(), "the session lives on")
			require.Equal(t, want, got, "no message was lost")
		}
	})
}
