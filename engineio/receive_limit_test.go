package engineio_test

import (
	"bytes"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// An endless body stops at the limit and ends its session. It does not affect other sessions.
func TestEndlessBodies(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, nil)
	others := ts.bystanders()
	pc := ts.openPolling(engineio.Revision4)

	// The client sends chunks until the server stops reading.
	conn := ts.sendHead("POST", pc.query, "Transfer-Encoding: chunked\r\n\r\n")
	chunk := fmt.Sprintf("%x\r\n%s\r\n", 64<<10, strings.Repeat("4", 64<<10))
	sent := 0
	for range 100 << 20 / len(chunk) {
		n, err := io.WriteString(conn, chunk)
		sent += n
		if err != nil {
			break
		}
	}
	require.Less(t, sent, 50<<20, "the server takes no more")
	require.NoError(t, conn.Close())
	<-h.ends(pc.sid)

	// The client gets a response if it reads.
	pc = ts.openPolling(engineio.Revision4)
	resp := ts.request("POST", pc.query, io.LimitReader(endless{}, 10<<20))
	if resp.err == nil { // net/http may see the end of the connection first
		require.Equal(t, "413 ", resp.summary())
	}
	<-h.ends(pc.sid)
	pc = ts.openPolling(engineio.Revision4)

	// A body with a declared length of 100 MB is rejected before its first byte has come.
	conn = ts.sendHead("POST", pc.query, "Content-Length: 100000000\r\n\r\n")
	var got [12]byte
	_, err := io.ReadFull(conn, got[:])
	require.NoError(t, err)
	require.Equal(t, "HTTP/1.1 413", string(got[:]))
	require.NoError(t, conn.Close())
	<-h.ends(pc.sid)
	others.requireUnharmed()
}

// endless is a body without end.
type endless struct{}

func (endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = '4'
	}
	return len(p), nil
}

// Fragments of one byte cost only their bytes. A session that ends with an unfinished message returns the message's
// bytes.
// Advisories: CVE-2026-48779
func TestOneByteFragments(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, nil)
	others := ts.bystanders()
	wc, sid := ts.openWebSocket(engineio.Revision4)
	const n = 400_000
	var burst bytes.Buffer
	burst.WriteString(masked(0x01, "4"))
	for range n {
		burst.WriteString(masked(0x00, "x"))
	}
	burst.WriteString(masked(0x89, "there"))
	interoptest.RequireHeapGrows(t, 4*n, func() {
		_, err := wc.conn.Write(burst.Bytes())
		require.NoError(t, err)
		f, err := wc.readFrame()
		require.NoError(t, err)
		require.Equal(t, ws.OpPong, f.Header.OpCode, "all of it has been read")
	})
	used := ts.srv.ReceiveLimitUsed()
	require.GreaterOrEqual(t, used, n-receivelimit.Free, "the unfinished message is on the account")
	require.LessOrEqual(t, used, 2*n)
	reset(wc.conn)
	h.awaitEnd(sid)
	others.requireUnharmed()
	runtime.KeepAlive(burst)
}

// When ReceiveLimit is reached, large messages wait, on both transports; small messages do not. A message that is not
// finished while others wait is evicted.
// Advisories: CVE-2026-33151, CVE-2026-69185, CVE-2026-48804, GHSA-55mf-67qm-4wpg
func TestLargeMessagesWaitForTheFirst(t *testing.T) {
	large := strings.Repeat("x", 240_000)
	h := newEndRecorder()
	inBubble(t, h, &engineio.ServerOptions{ReceiveLimit: 300_000}, func(t *testing.T, ts *testServer) {
		others := ts.bystanders()
		start := time.Now()
		slow, slowID := ts.openWebSocket(engineio.Revision4)
		slow.requireEcho("small")
		go func() { _, _ = io.WriteString(slow.conn, masked(0x01, "4"+large)) }() // the end is missing
		synctest.Wait()

		waiting, _ := ts.openWebSocket(engineio.Revision4)
		go func() { _, _ = io.WriteString(waiting.conn, masked(0x81, "4"+large)) }()
		posting := ts.openPolling(engineio.Revision4)
		answer := make(chan string, 1)
		go func() { answer <- posting.post("4" + large).summary() }()
		synctest.Wait()
		others.v.requireEcho("polling")
		others.l.requireEcho("websocket")
		require.Empty(t, answer)
		require.LessOrEqual(t, ts.srv.ReceiveLimitUsed(), 300_000)
		require.Zero(t, time.Since(start))

		require.Equal(t, "4"+large, waiting.readText())
		require.Equal(t, "200 ok", <-answer)
		require.Equal(t, receivelimit.SlowSenderTimeout, time.Since(start))
		e := <-h.ends(slowID)
		require.ErrorIs(t, e, receivelimit.ErrEvicted)
		require.Equal(t, engineio.ReasonTransportError, e.Reason)
		require.Zero(t, ts.srv.ReceiveLimitUsed())
		require.NoError(t, slow.conn.Close())
		require.NoError(t, waiting.conn.Close())
	})
}

// A burst of large messages beyond the limit ends no session: the server finishes one message after the other.
func TestBurstOfLargeMessagesIsReceivedWhole(t *testing.T) {
	const peers = 20
	large := strings.Repeat("x", 200_000)
	inBubble(t, echoHandler, &engineio.ServerOptions{ReceiveLimit: 300_000}, func(t *testing.T, ts *testServer) {
		start := time.Now()
		var lines []*webSocketClient
		for range peers {
			wc, _ := ts.openWebSocket(engineio.Revision4)
			lines = append(lines, wc)
			go func() {
				for _, part := range []string{masked(0x01, "4"+large), masked(0x00, large), masked(0x80, large)} {
					_, _ = io.WriteString(wc.conn, part)
				}
			}()
		}
		for _, wc := range lines {
			require.Equal(t, "4"+large+large+large, wc.readText())
			require.NoError(t, wc.conn.Close())
		}
		require.Zero(t, time.Since(start))
	})
}

// Peers that begin large messages and do not finish them must not end the sessions of other peers.
// Advisories: CVE-2026-33151, CVE-2026-69185, CVE-2026-48804, GHSA-55mf-67qm-4wpg
func TestHogsDoNotCostOthersTheirMessages(t *testing.T) {
	inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
		var hogs []*webSocketClient
		for range 12 {
			for range 40 {
				wc, _ := ts.openWebSocket(engineio.Revision4)
				hogs = append(hogs, wc)
				go func() { _, _ = io.Copy(io.Discard, wc.conn) }()
				go func() { _, _ = io.WriteString(wc.conn, masked(0x01, "4"+strings.Repeat("x", 40_000))) }()
			}
			time.Sleep(receivelimit.SlowSenderTimeout)
		}
		require.Greater(t, ts.srv.ReceiveLimitUsed(), defaultReceiveLimit-(1<<17), "the limit is reached")
		wc, _ := ts.openWebSocket(engineio.Revision4)
		start := time.Now()
		go wc.sendText("4" + strings.Repeat("y", 100_000))
		require.Len(t, wc.readText(), 100_001)
		require.LessOrEqual(t, time.Since(start), receivelimit.SlowSenderTimeout)
		require.NoError(t, wc.conn.Close())
		for _, wc := range hogs {
			require.NoError(t, wc.conn.Close())
		}
	})
}
