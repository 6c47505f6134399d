//go:build soak

package engineio_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// A message to many sessions is encoded once: the cost of a recipient does not depend on the message's size.
func TestBroadcastIsEncodedOnce(t *testing.T) {
	const most = 500
	var mu sync.Mutex
	var sockets []*engineio.Socket
	ready := make(chan struct{}, most)
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		mu.Lock()
		sockets = append(sockets, s)
		mu.Unlock()
		ready <- struct{}{}
		idle(ctx, s)
	})
	for _, binary := range []bool{false, true} {
		for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
			recipients := most
			if raceDetector && (binary || rev == engineio.Revision3) {
				recipients /= 10 // large messages are slow
			}
			ts := newTestServer(t, h, bothRevisions())
			mu.Lock()
			sockets = nil
			mu.Unlock()
			var readers sync.WaitGroup
			var conns []net.Conn
			for range recipients {
				wc, _ := ts.openWebSocket(rev)
				conns = append(conns, wc.conn)
				readers.Go(func() { _, _ = io.Copy(io.Discard, wc.conn) })
				<-ready
			}
			broadcast := func(size, recipients int) uint64 {
				sockets := sockets[:recipients]
				data := []byte(strings.Repeat("x", size))
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				m := engineio.Prepare(engineio.Message{Binary: binary, Data: data})
				for _, s := range sockets {
					require.NoError(t, s.TryWrite(m))
				}
				for _, s := range sockets {
					require.NoError(t, s.Flush(t.Context()))
				}
				runtime.ReadMemStats(&after)
				return after.TotalAlloc - before.TotalAlloc
			}
			broadcast(50_000, recipients) // fills the pools
			for _, size := range []int{100, 50_000, 300_000} {
				recipients := recipients
				if recipients == most && (size > 100_000 || raceDetector && size > 100) {
					recipients /= 10
				}
				t.Run(fmt.Sprintf("revision %d binary %v %d bytes", rev, binary, size), func(t *testing.T) {
					least := broadcast(size, recipients)
					for range 3 { // a collection empties the pools
						least = min(least, broadcast(size, recipients))
					}
					perRecipient := (least - min(least, uint64(2*size))) / uint64(recipients)
					t.Logf("%d bytes a recipient", perRecipient)
					bound := uint64(2000)
					if raceDetector {
						bound += uint64(size) * 4 / 5
					}
					require.Less(t, perRecipient, bound)
				})
			}
			for _, conn := range conns {
				require.NoError(t, conn.Close())
			}
			readers.Wait()
			ts.awaitSockets(0)
			runtime.GC()
		}
	}
}
