package engineio

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"
)

// The tests of this file are named by published faults of other implementations; docs/security.md lists them all. These are
// about what a peer sends on a WebSocket.

func TestAdvisory_CVE_2022_21676_reservedBits(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, nil)
	others := w.bystanders()
	for _, first := range []byte{0xa1, 0x91, 0xb1, 0xc1, 0xf1, 0xa0, 0xaa, 0xa9} {
		l, sid := w.session(Revision4)
		_, err := io.WriteString(l.conn, masked(first, "4x"))
		require.NoError(t, err)
		require.Equal(t, "close 1002", l.ending())
		h.end(sid)
		others.requireUnharmed()
	}
}

// Pongs and pings cost no goroutine and no timer each, whatever their number.
func TestAdvisory_CVE_2026_48802_pongFlood(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
	before := runtime.NumGoroutine()
	for rev, beat := range map[Revision]string{Revision3: "2", Revision4: "3"} {
		l, _ := w.session(rev)
		set := len(w.srv.conf.alarms.queue)
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, _ = io.WriteString(l.conn, strings.Repeat(masked(0x81, beat)+masked(0x8a, "pong")+masked(0x89, "ping"), 5000)+masked(0x81, "4end"))
		}()
		most := 0
		for {
			f, err := l.frame()
			require.NoError(t, err)
			most = max(most, runtime.NumGoroutine())
			if string(f.Payload) == "4end" {
				break
			}
		}
		<-done
		require.LessOrEqual(t, most, before+100, "the connection's own, the test's, and flushers that are about to end; not one of 5,000 each")
		w.srv.conf.alarms.mu.Lock()
		require.Len(t, w.srv.conf.alarms.queue, set)
		w.srv.conf.alarms.mu.Unlock()
		require.NoError(t, l.conn.Close())
	}
	v := w.open(Revision4)
	require.Equal(t, "200 ok", v.post("3"+strings.Repeat("\x1e3", 9999)).brief())
	v.requireEcho("alive")
}

// What one peer sent never comes out at another: buffers are pooled.
func TestAdvisory_CVE_2016_10518_CVE_2026_45736_noStaleBytes(t *testing.T) {
	w := newSite(t, echo, bothRevisions())
	const canary = "CANARY"
	secret := strings.Repeat(canary, 3000)
	var wg sync.WaitGroup
	for range 4 {
		talker, _ := w.session(Revision4)
		wg.Go(func() {
			defer func() { _ = talker.conn.Close() }()
			for i := range 40 {
				_ = talker.tryWrite(ws.Header{Fin: true, OpCode: ws.OpPing}, secret[:i])
				_ = talker.tryWrite(ws.Header{Fin: true, OpCode: ws.OpBinary}, secret)
				_ = talker.tryWrite(ws.Header{Fin: true, OpCode: ws.OpText}, "4"+secret[:i*100])
				for range 3 {
					if _, err := talker.frame(); err != nil {
						t.Errorf("talker: %v", err)
						return
					}
				}
			}
		})
	}
	for i := range 60 {
		l, _ := w.session(Revision4)
		for _, n := range []int{0, 1, 2, 100, 125} {
			l.write(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("p", n))
			f, err := l.frame()
			require.NoError(t, err)
			require.Equal(t, strings.Repeat("p", n), string(f.Payload))
		}
		for _, n := range []int{0, 1, 300, 5000, 20_000} {
			l.requireEcho(strings.Repeat("m", n))
		}
		// The shortest close frames, a broken one, and a frame that is cut off: the whole of what comes back is known.
		end := []string{masked(0x88, ""), masked(0x88, "\x03\xe8"), masked(0x88, "\x03"), masked(0x81, "x"), "\x81\xfe\xff"}
		_, err := io.WriteString(l.conn, end[i%len(end)])
		require.NoError(t, err)
		require.NoError(t, l.conn.(*net.TCPConn).CloseWrite())
		rest, _ := io.ReadAll(l.r)
		require.NotContains(t, string(rest), "CAN")
		require.LessOrEqual(t, len(rest), 4)
		require.NoError(t, l.conn.Close())
		v := w.open(Revision3)
		require.Equal(t, "200 ok", v.post("8:b4AQIDBA").brief())
		require.Equal(t, "200 \x01\x05\xff\x04\x01\x02\x03\x04", v.poll().brief())
		require.Equal(t, "200 ok", v.post("1:1").brief())
	}
	wg.Wait()
}

func TestAdvisory_CVE_2020_27813_CVE_2026_27889_lengthOverflow(t *testing.T) {
	h := newWitness()
	w := newSite(t, h, nil)
	for _, first := range []byte{0x81, 0x82, 0x01, 0x02, 0x80, 0x88, 0x89, 0x8a} {
		for _, length := range []string{
			"\xff\x80\x00\x00\x00\x00\x00\x00\x00", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\x7f\xff\xff\xff\xff\xff\xff\xff",
			"\xff\x7f\xff\xff\xff\xff\xff\xff\xfe", "\xff\x00\x00\x00\x00\xff\xff\xff\xff", "\xff\x00\x00\x00\x00\x80\x00\x00\x00", "\xfe\xff\xff",
		} {
			for _, before := range []string{"", masked(0x01, "4x")} {
				l, sid := w.session(Revision4)
				frame := before + string(first) + length + "mask"
				if int(first) > 0x7f { // string(byte) would be a rune of two bytes
					frame = before + string([]byte{first}) + length + "mask"
				}
				_, err := io.WriteString(l.conn, frame)
				require.NoError(t, err)
				require.NoError(t, l.conn.(*net.TCPConn).CloseWrite())
				_, err = io.Copy(io.Discard, l.conn)
				require.NoError(t, err)
				require.NoError(t, l.conn.Close())
				require.Contains(t, []string{remoteError, remoteClose}, h.end(sid))
			}
		}
	}
}

// A server that opens the session again and again changes nothing at a client.
func TestAdvisory_CVE_2026_29785_repeatedOpenPacket(t *testing.T) {
	_, url := fakeServer(t, func(conn net.Conn, r *http.Request) {
		open := `0{"sid":"%s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
		_, _ = io.WriteString(conn, switching(r))
		for _, text := range []string{fmt.Sprintf(open, "first"), fmt.Sprintf(open, "second"), "0", "0null", "0{}", "5", "6", "4x"} {
			_ = ws.WriteFrame(conn, ws.NewTextFrame([]byte(text)))
		}
		_, _ = io.Copy(io.Discard, conn)
	})
	s, err := Dial(testContext(t), url, &DialOptions{Transports: []Transport{WebSocket}})
	require.NoError(t, err)
	m, err := s.Read(testContext(t))
	require.NoError(t, err)
	require.Equal(t, "x", string(m.Data))
	require.Equal(t, "first", s.ID())
	s.Abort(nil)
	require.NoError(t, s.Close())
}
