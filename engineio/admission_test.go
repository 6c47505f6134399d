package engineio_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

// gatekeeper admits a peer whose first message begins with "let me in". It does so after a delay, and then reads until
// the session ends.
type gatekeeper struct {
	messages chan string
	errs     chan error
	takes    time.Duration
}

func newGatekeeper() *gatekeeper {
	return &gatekeeper{messages: make(chan string, 100_000), errs: make(chan error, 1000), takes: time.Second}
}

func (g *gatekeeper) ServeSocket(ctx context.Context, s *engineio.Socket) {
	for first := true; ; first = false {
		m, err := s.Read(ctx)
		if err != nil {
			g.errs <- err
			if errors.Is(err, engineio.ErrUnadmitted) {
				continue
			}
			return
		}
		if first && strings.HasPrefix(string(m.Data), "let me in") {
			time.Sleep(g.takes)
			s.SetAdmitted(true)
		}
		g.messages <- string(m.Data)
	}
}

func admitting() *engineio.ServerOptions {
	return &engineio.ServerOptions{Revisions: []engineio.Revision{engineio.Revision3, engineio.Revision4}, Admission: &engineio.Admission{}}
}

// payloads are the forms in which clients post packets.
var payloads = []struct {
	name        string
	rev         engineio.Revision
	enc         packet.Encoding
	contentType string
}{
	{"revision 3", engineio.Revision3, packet.Text, "text/plain;charset=UTF-8"},
	{"revision 3 binary", engineio.Revision3, packet.Binary, typeBinary},
	{"revision 4", engineio.Revision4, packet.Text, "text/plain;charset=UTF-8"},
}

// A client may post its first packet and many others in one body. If the handler admits the client because of the first
// packet, no packet is lost.
func TestFirstBodyOfAnAdmittedPeer(t *testing.T) {
	for _, c := range payloads {
		for _, size := range []int{20, 3_000, engineio.MaxAllowance - 9, engineio.MaxAllowance, 500_000} {
			t.Run(fmt.Sprint(c.name, " ", size), func(t *testing.T) {
				g := newGatekeeper()
				inBubble(t, g, admitting(), func(t *testing.T, ts *testServer) {
					want := []string{"let me in"}
					packets := []packet.Packet{{Type: packet.Message, Data: []byte(want[0])}}
					for n := 0; n < max(size, 150_000); n += size {
						text := fmt.Sprint(n, strings.Repeat("é", size/2))
						want = append(want, text)
						packets = append(packets, packet.Packet{Type: packet.Message, Data: []byte(text)})
					}
					pc := ts.openPolling(c.rev)
					body := packet.AppendPayload(nil, c.rev, c.enc, packets...)
					posted := pc.post(string(body), "Content-Type", c.contentType)
					require.Equal(t, "200 ok", posted.summary())
					for _, text := range want {
						require.Equal(t, text, <-g.messages)
					}
					require.Equal(t, "200 ok", pc.post(string(packet.AppendPayload(nil, c.rev, packet.Text, packet.Packet{Type: packet.Message, Data: []byte("after")}))).summary())
					require.Equal(t, "after", <-g.messages)
					require.Empty(t, g.errs)
				})
			})
		}
	}
}

// A server reads 40 KB of a body that is too long for an unadmitted peer. The POST gets its response a second after the
// rejection, and the session continues until the handler ends it.
func TestFirstBodyOfAnUnadmittedPeer(t *testing.T) {
	for _, c := range payloads {
		for _, first := range []int{10, 100_000} { // a first packet that is too large never arrives
			t.Run(fmt.Sprint(c.name, " ", first), func(t *testing.T) {
				g := newGatekeeper()
				inBubble(t, g, admitting(), func(t *testing.T, ts *testServer) {
					packets := []packet.Packet{{Type: packet.Message, Data: []byte(strings.Repeat("x", first))}}
					for range 300 {
						packets = append(packets, packet.Packet{Type: packet.Message, Data: []byte(strings.Repeat("y", 1000))})
					}
					pc := ts.openPolling(c.rev)
					posted := inBackground(func() response {
						return pc.post(string(packet.AppendPayload(nil, c.rev, c.enc, packets...)), "Content-Type", c.contentType)
					})
					require.ErrorIs(t, <-g.errs, engineio.ErrUnadmitted)
					received := 0
					for len(g.messages) > 0 {
						received += len(<-g.messages)
					}
					require.Less(t, received, engineio.EarlyPart)
					if first < 1000 {
						require.Greater(t, received, engineio.EarlyPart-2_000, "the packets before the limit arrive")
					}
					synctest.Wait()
					select {
					case resp := <-posted:
						require.Fail(t, "the POST got an answer before the session ended", resp.summary())
					default:
					}
					rejected := time.Now()
					if resp := <-posted; resp.err == nil { // the client may see the end of the connection first
						require.Equal(t, "413 "+engineio.ErrUnadmitted.Error()+"\n", resp.summary())
					}
					require.Equal(t, engineio.RejectedWait, time.Since(rejected))
					ts.srv.Sockets()[0].Abort(nil)
					require.ErrorContains(t, <-g.errs, engineio.ReasonForcedClose)
				})
			})
		}
	}
}

// The limit also applies to a WebSocket. Read reports it once, and later reports the end of the session.
func TestUnadmittedWebSocket(t *testing.T) {
	g := newGatekeeper()
	g.takes = 0
	ts := newTestServer(t, g, admitting())
	text := func(first byte, n int) string { return "4" + string(first) + strings.Repeat("x", n) }

	wc, _ := ts.openWebSocket(engineio.Revision4)
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, text('a', 40_000))
	require.Len(t, <-g.messages, 40_001)
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, text('b', 40_000))
	require.ErrorIs(t, <-g.errs, engineio.ErrUnadmitted)
	require.Empty(t, g.messages)
	ts.srv.Sockets()[0].Abort(nil)
	require.ErrorContains(t, <-g.errs, engineio.ReasonForcedClose)

	wc, _ = ts.openWebSocket(engineio.Revision4) // many small frames, and fragments
	for i := range 100 {
		if wc.trySendFrame(ws.Header{Fin: i%2 == 1, OpCode: []ws.OpCode{ws.OpText, ws.OpContinuation}[i%2]}, []string{text('c', 990), "x"}[i%2]) != nil {
			break
		}
		_ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("p", 125))
		_ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("p", 125))
		_ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpPing}, strings.Repeat("p", 125))
	}
	require.ErrorIs(t, <-g.errs, engineio.ErrUnadmitted)
	received := 0
	for len(g.messages) > 0 {
		received += len(<-g.messages)
	}
	require.Less(t, received, 50_000, "control frames count too")
	require.NoError(t, ts.srv.Close()) // does not wait for the peer
	require.ErrorContains(t, <-g.errs, engineio.ReasonForcedClose)
}

// Read has returned ErrUnadmitted, so the server has dropped a part of the peer's input. An admission that comes later
// ends the session at once.
func TestAdmissionAfterErrUnadmitted(t *testing.T) {
	for _, transport := range []engineio.Transport{engineio.Polling, engineio.WebSocket} {
		t.Run(string(transport), func(t *testing.T) {
			ended := make(chan error, 1)
			ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				_, err := s.Read(ctx)
				for ; errors.Is(err, engineio.ErrUnadmitted) && s.Context().Err() == nil; _, err = s.Read(ctx) {
					s.SetAdmitted(true)
				}
				ended <- err
			}), admitting())
			large := "4" + strings.Repeat("x", 100_000)
			if transport == engineio.Polling {
				require.Equal(t, "413 "+engineio.ErrUnadmitted.Error()+"\n", ts.openPolling(engineio.Revision4).post(large).summary())
			} else {
				wc, _ := ts.openWebSocket(engineio.Revision4)
				defer func() { _ = wc.conn.Close() }()
				_ = wc.trySendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, large) // the server may close meanwhile
			}
			select {
			case err := <-ended:
				var closed *engineio.CloseError
				require.ErrorAs(t, err, &closed)
				require.ErrorIs(t, err, engineio.ErrUnadmitted)
				require.Equal(t, engineio.ReasonTransportError, closed.Reason)
			case <-testContext(t).Done():
				require.Fail(t, "Read does not return")
			}
			require.Empty(t, ts.srv.Sockets())
		})
	}
}

func TestAdmittedWebSocket(t *testing.T) {
	g := newGatekeeper()
	ts := newTestServer(t, g, admitting())
	wc, _ := ts.openWebSocket(engineio.Revision4)
	defer func() { _ = wc.conn.Close() }() // not earlier: a connection without references is closed
	wc.sendText("4let me in")
	wc.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, "4"+strings.Repeat("x", 500_000))
	require.Equal(t, "let me in", <-g.messages)
	require.Len(t, <-g.messages, 500_000)
	require.Empty(t, g.errs)
}

// Unfinished messages of unadmitted peers do not delay the messages of admitted peers.
func TestUnadmittedPeersHaveTheirOwnBudget(t *testing.T) {
	g := newGatekeeper()
	g.takes = 0
	opts := admitting()
	opts.ReceiveLimit, opts.Admission.ReceiveLimit = 100_000, 100_000
	ts := newTestServer(t, g, opts)
	member, _ := ts.openWebSocket(engineio.Revision4)
	member.sendText("4let me in")
	require.Equal(t, "let me in", <-g.messages)
	for range 20 {
		wc, _ := ts.openWebSocket(engineio.Revision4)
		wc.sendFrame(ws.Header{Fin: false, OpCode: ws.OpText}, "4"+strings.Repeat("x", 40_000))
		_, err := fmt.Fprintf(ts.dial(), "POST /engine.io/?%s HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n\r\n4%s", ts.openPolling(engineio.Revision4).query, strings.Repeat("x", 50_000))
		require.NoError(t, err)
	}
	require.Eventually(t, func() bool { return ts.srv.UnadmittedLimitUsed() > 30_000 }, 10*time.Second, time.Millisecond)
	require.Zero(t, ts.srv.ReceiveLimitUsed())
	start := time.Now()
	for range 10 {
		member.sendFrame(ws.Header{Fin: true, OpCode: ws.OpText}, "4"+strings.Repeat("m", 60_000))
		require.Len(t, <-g.messages, 60_000)
	}
	require.Less(t, time.Since(start), receivelimit.SlowSenderTimeout/2, "of the time after which a message gives way")
}

// A session counts for its address until it is admitted or ends.
func TestSessionsOfOneAddress(t *testing.T) {
	g := newGatekeeper()
	g.takes = 0
	opts := admitting()
	reasons := make(chan string, 100)
	opts.OnConnectionError = func(e *engineio.ConnectionError) { reasons <- e.Reason }
	opts.Admission.SessionsPerAddr = 2
	opts.Admission.Addr = func(r *http.Request) netip.Addr {
		addr, _ := netip.ParseAddr(r.Header.Get("Test-Addr"))
		return addr
	}
	ts := newTestServer(t, g, opts)
	open := func(addr string) response { return ts.request(http.MethodGet, polling4, nil, "Test-Addr", addr) }
	sid := func(resp response) string {
		require.Equal(t, http.StatusOK, resp.status, resp.body)
		_, rest, _ := strings.Cut(resp.body, `"sid":"`)
		id, _, _ := strings.Cut(rest, `"`)
		return id
	}
	one, two := sid(open("192.0.2.1")), sid(open("192.0.2.1"))
	for range 2 {
		resp := open("192.0.2.1")
		require.Equal(t, "503 "+engineio.ErrCrowded.Error()+"\n", resp.summary())
		require.Equal(t, "5", resp.header.Get("Retry-After"))
		require.Equal(t, engineio.ReasonTooManySessions, <-reasons)
	}
	resp, _ := ts.handshake("EIO=4&transport=websocket", "Test-Addr", "192.0.2.1")
	require.Equal(t, http.StatusServiceUnavailable, resp.status)
	sid(open("192.0.2.2"))
	for range 5 {
		sid(open(""))
	}

	// One session is admitted and the other one ends: each makes room.
	require.Equal(t, "200 ok", ts.request(http.MethodPost, polling4+"&sid="+one, strings.NewReader("4let me in")).summary())
	require.Equal(t, "let me in", <-g.messages)
	sid(open("192.0.2.1"))
	require.Equal(t, http.StatusServiceUnavailable, open("192.0.2.1").status)
	require.Equal(t, "200 ok", ts.request(http.MethodPost, polling4+"&sid="+two, strings.NewReader("1")).summary())
	<-g.errs
	sid(open("192.0.2.1"))
	require.Equal(t, http.StatusServiceUnavailable, open("192.0.2.1").status)

	require.NoError(t, ts.srv.Close())
	require.Zero(t, ts.srv.CountedAddrs(), "addresses are forgotten")
}

func TestAddressesThatCount(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234":            "192.0.2.1",
		"[::ffff:192.0.2.1]:1234":   "192.0.2.1",
		"[2001:db8:1:2:3:4:5:6]:80": "2001:db8:1:2::",
		"[fe80::1%eth0]:80":         "fe80::",
		"127.0.0.1:80":              "invalid IP",
		"127.8.9.1:80":              "invalid IP",
		"[::1]:80":                  "invalid IP",
		"[::ffff:127.0.0.1]:80":     "invalid IP",
		"pipe":                      "invalid IP",
		"":                          "invalid IP",
	} {
		require.Equal(t, want, engineio.ConnAddr(&http.Request{RemoteAddr: remote}).String(), remote)
	}
}
