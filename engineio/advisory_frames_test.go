package engineio_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// The tests of this file cover published faults of other implementations. docs/security.md lists them all.
// These tests check the frames that a peer sends on a WebSocket.

// A frame with a reserved bit ends its own connection with code 1002, and no other.
// Advisories: CVE-2022-21676
func TestReservedBits(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, bothRevisions())
	others := ts.bystanders()
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		pc := ts.openPolling(rev)
		for _, first := range []byte{0xa1, 0x91, 0xb1, 0xc1, 0xf1, 0xa0, 0xaa, 0xa9} {
			wc := ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1)) // an upgrade; the session stays on polling
			_, err := io.WriteString(wc.conn, masked(first, "4x"))
			require.NoError(t, err)
			require.Equal(t, "close 1002", wc.readEnd())
			pc.requireEcho("alive")

			wc, sid := ts.openWebSocket(rev)
			_, err = io.WriteString(wc.conn, masked(first, "4x"))
			require.NoError(t, err)
			require.Equal(t, "close 1002", wc.readEnd())
			require.Equal(t, remoteError, h.awaitEnd(sid))
		}
		require.Equal(t, "200 ok", pc.post(pc.payload("1")).summary())
		h.awaitEnd(pc.sid)
		others.requireUnharmed()
	}
}

// The server replies to each ping of a flood, on each transport, and takes part in nothing else.
// Advisories: CVE-2026-48802, CVE-2026-48809
func TestPongFlood(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	const n = 5000
	for rev, beat := range map[engineio.Revision]string{engineio.Revision3: "2", engineio.Revision4: "3"} {
		wc, _ := ts.openWebSocket(rev)
		go func() {
			_, _ = io.WriteString(wc.conn, strings.Repeat(masked(0x81, beat)+masked(0x8a, "pong")+masked(0x89, "ping"), n)+masked(0x81, "4end"))
		}()
		replies := map[string]int{}
		for replies["4end"] == 0 {
			f, err := wc.readFrame()
			require.NoError(t, err)
			replies[string(f.Payload)]++
		}
		want := map[string]int{"ping": n, "4end": 1}
		if rev == engineio.Revision3 {
			want["3"] = n
		}
		require.Equal(t, want, replies)
		require.NoError(t, wc.conn.Close())

		pc := ts.openPolling(rev)
		require.Equal(t, "200 ok", pc.post(pc.payload(slices.Repeat([]string{beat}, packet.MaxPackets)...)).summary())
		require.Equal(t, "200 ok", pc.post(pc.payload("4end")).summary(), "all of them were dealt with")
		pongs := 0
		for text := ""; !strings.HasSuffix(text, pc.payload("4end")); {
			text = pc.poll().body
			pongs += strings.Count(text, pc.payload("3"))
		}
		require.Equal(t, rev == engineio.Revision3, pongs == packet.MaxPackets, "%d answers", pongs)
	}
}

// One peer's data never reaches another peer, although buffers are pooled.
// Advisories: CVE-2016-10518, CVE-2026-45736
func TestNoStaleBytes(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	const canary = "CANARY"
	secret := strings.Repeat(canary, 3000)
	var wg sync.WaitGroup
	for range 4 {
		talker, _ := ts.openWebSocket(engineio.Revision4)
		wg.Go(func() {
			defer func() { _ = talker.conn.Close() }()
			for i := range 40 {
				_ = talker.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, secret[:i])
				_ = talker.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpBinary}, secret)
				_ = talker.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, "4"+secret[:i*100])
				for range 3 {
					if _, err := talker.readFrame(); err != nil {
						t.Errorf("talker: %v", err)
						return
					}
				}
			}
		})
	}
	for i := range 60 {
		wc, _ := ts.openWebSocket(engineio.Revision4)
		for _, n := range []int{0, 1, 2, 100, 125} {
			wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("p", n))
			f, err := wc.readFrame()
			require.NoError(t, err)
			require.Equal(t, strings.Repeat("p", n), string(f.Payload))
		}
		for _, n := range []int{0, 1, 300, 5000, 20_000} {
			wc.requireEcho(strings.Repeat("m", n))
		}
		// These are the shortest close frames, a broken one, and a frame that is cut off. The test knows every byte of
		// the responses.
		end := []string{masked(0x88, ""), masked(0x88, "\x03\xe8"), masked(0x88, "\x03"), masked(0x81, "x"), "\x81\xfe\xff"}
		_, err := io.WriteString(wc.conn, end[i%len(end)])
		require.NoError(t, err)
		require.NoError(t, wc.conn.(*net.TCPConn).CloseWrite())
		rest, _ := io.ReadAll(wc.r)
		require.NotContains(t, string(rest), "CAN")
		require.LessOrEqual(t, len(rest), 4)
		require.NoError(t, wc.conn.Close())
		pc := ts.openPolling(engineio.Revision3)
		require.Equal(t, "200 ok", pc.post("8:b4AQIDBA").summary())
		require.Equal(t, "200 \x01\x05\xff\x04\x01\x02\x03\x04", pc.poll().summary())
		pc.closeSession()
	}
	wg.Wait()
}

// A frame with an enormous length ends its connection. It causes no panic and no endless loop.
// Advisories: CVE-2020-27813, CVE-2026-27889
func TestFrameLengthOverflow(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, bothRevisions())
	pc := ts.openPolling(engineio.Revision4)
	for _, first := range []byte{0x81, 0x82, 0x01, 0x02, 0x80, 0x88, 0x89, 0x8a} {
		for _, length := range []string{
			"\xff\x80\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
			"\xff\x7f\xff\xff\xff\xff\xff\xff\xfe", "\xff\x00\x00\x00\x00\xff\xff\xff\xff", "\xff\x00\x00\x00\x00\x80\x00\x00\x00", "\xfe\xff\xff",
		} {
			for _, before := range []string{"", masked(0x01, "4x")} {
				ends := func(wc *webSocketClient) {
					_, err := io.WriteString(wc.conn, before+string([]byte{first})+length+"mask")
					require.NoError(t, err)
					require.NoError(t, wc.conn.(*net.TCPConn).CloseWrite())
					_, err = io.Copy(io.Discard, wc.conn)
					require.NoError(t, err)
					require.NoError(t, wc.conn.Close())
				}
				for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
					wc, sid := ts.openWebSocket(rev)
					ends(wc)
					require.Contains(t, []string{remoteError, remoteClose}, h.awaitEnd(sid))
				}
				ends(ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1)))
				pc.requireEcho("alive")
			}
		}
	}
}

// A server that sends the open packet again and again changes nothing at a client.
// Advisories: CVE-2026-29785
func TestRepeatedOpenPacket(t *testing.T) {
	_, url := serveConnections(t, func(conn net.Conn, r *http.Request) {
		open := `0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
		_, _ = io.WriteString(conn, switching(r))
		for _, text := range []string{fmt.Sprintf(open, "first"), fmt.Sprintf(open, "second"), "0", "0null", "0{}", "5", "6", "4x"} {
			_ = ws.WriteFrame(conn, ws.NewTextFrame([]byte(text)))
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	s, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.WebSocket}})
	require.NoError(t, err)
	m, err := s.Read(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "x", string(m.Data))
	require.Equal(t, "first", s.ID())
	s.Abort(nil)
	require.NoError(t, s.Close())
}
