package engineio_test

import (
	"context"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/packet"
)

// A binary message is sent as base64 in revision 4. In revision 3 it is sent as a binary payload, unless the client
// asked for text.
func TestBinaryOverPolling(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())

	pc := ts.openPolling(engineio.Revision4)
	require.Equal(t, "200 ok", pc.post("bAQIDBA==").summary())
	require.Equal(t, "200 bAQIDBA==", pc.poll().summary())
	require.Equal(t, "200 ok", pc.post("bAQIDBA").summary(), "padding is not needed")
	require.Equal(t, "200 bAQIDBA==", pc.poll().summary())
	require.Equal(t, "200 ok", pc.post("b").summary())
	require.Equal(t, "200 b", pc.poll().summary())

	pc = ts.openPolling(engineio.Revision3)
	const binary = "\x01\x05\xff\x04\x01\x02\x03\x04"
	require.Equal(t, "200 ok", pc.post("10:b4AQIDBA==").summary())
	resp := pc.poll()
	require.Equal(t, "application/octet-stream", resp.header.Get("Content-Type"))
	require.Equal(t, "200 "+binary, resp.summary())
	require.Equal(t, "200 ok", ts.request("POST", pc.query, strings.NewReader(binary), "Content-Type", "application/octet-stream").summary())
	require.Equal(t, "200 "+binary, pc.poll().summary())

	pc = ts.openPolling(engineio.Revision3, "b64=1")
	require.Equal(t, "200 ok", pc.post("10:b4AQIDBA==").summary())
	require.Equal(t, "200 10:b4AQIDBA==", pc.poll().summary())
}

func TestSecondPollEndsTheSession(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		h := newEndRecorder()
		inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(rev)
			first := pc.waitingPoll()
			require.Equal(t, "400 ", pc.poll().summary())
			require.Equal(t, "200 "+pc.payload("1"), (<-first).summary())
			require.Equal(t, "400 "+unknownSession, pc.poll().summary())
			h.requireTransportError(t, pc.sid, "overlap from client")
		})
	})
}

func TestSecondPostEndsTheSession(t *testing.T) {
	for name, head := range halfPosts {
		t.Run(name, func(t *testing.T) {
			h := newEndRecorder()
			inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
				pc := ts.openPolling(engineio.Revision4)
				start := time.Now()
				conn := ts.sendHead("POST", pc.query, head)
				synctest.Wait()
				require.Equal(t, "400 ", pc.post("4x").summary())
				first, err := io.ReadAll(conn) // the first poll also ends at once
				require.NoError(t, err)
				require.NotContains(t, string(first), "200 OK")
				require.Zero(t, time.Since(start))
				require.NoError(t, conn.Close())
				require.Equal(t, "400 "+unknownSession, pc.poll().summary())
				h.requireTransportError(t, pc.sid, "data request overlap from client")
			})
		})
	}
}

// A body has 30 s in total, even if parts of it keep coming.
// Advisories: engine.io 6.6.13
func TestSlowBody(t *testing.T) {
	for name, head := range halfPosts {
		t.Run(name, func(t *testing.T) {
			h := newEndRecorder()
			inBubble(t, h, &engineio.ServerOptions{PingInterval: time.Hour}, func(t *testing.T, ts *testServer) {
				pc := ts.openPolling(engineio.Revision4)
				start := time.Now()
				conn := ts.sendHead("POST", pc.query, head)
				time.Sleep(20 * time.Second)
				_, err := io.WriteString(conn, map[string]string{"declared": "lf", "chunked": "2\r\nlf\r\n"}[name])
				require.NoError(t, err)
				got, err := io.ReadAll(conn)
				require.NoError(t, err)
				require.Contains(t, string(got), "408 Request Timeout")
				require.Equal(t, remoteError, h.awaitEnd(pc.sid))
				require.Equal(t, 30*time.Second, time.Since(start))
				require.NoError(t, conn.Close())
				requireNothingLeft(t, ts.srv)
			})
		})
	}
	t.Run("declared too large", func(t *testing.T) {
		inBubble(t, echoHandler, &engineio.ServerOptions{MaxPayload: 100}, func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(engineio.Revision4)
			conn := ts.sendHead("POST", pc.query, "Content-Length: 1000\r\n\r\n4")
			go pc.poll()
			got, err := io.ReadAll(conn)
			require.NoError(t, err)
			require.Contains(t, string(got), "413 Request Entity Too Large")
			require.NoError(t, conn.Close())
		})
	})
}

func TestAbortedPollEndsTheSession(t *testing.T) {
	h := newEndRecorder()
	inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		conn := ts.sendHead("GET", pc.query, "\r\n")
		synctest.Wait()
		require.NotNil(t, pc.socket())
		require.NoError(t, conn.Close())
		h.requireTransportError(t, pc.sid, "poll connection closed prematurely")
		require.Equal(t, "400 "+unknownSession, pc.poll().summary())
	})
}

func TestAbortedPostEndsTheSession(t *testing.T) {
	for name, head := range halfPosts {
		t.Run(name, func(t *testing.T) {
			h := newEndRecorder()
			inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
				pc := ts.openPolling(engineio.Revision4)
				conn := ts.sendHead("POST", pc.query, head)
				synctest.Wait()
				require.NotNil(t, pc.socket())
				require.NoError(t, conn.Close())
				h.requireTransportError(t, pc.sid, "data request connection closed prematurely")
			})
		})
	}
}

// The limit counts bytes and is inclusive, for both kinds of bodies. No part of a larger body is delivered.
func TestPostLimit(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("revision %d chunked %v", rev, chunked), func(t *testing.T) {
				opts := bothRevisions()
				opts.MaxPayload = 100
				ts := newTestServer(t, echoHandler, opts)
				pc := ts.openPolling(rev)
				post := func(size int) response {
					payload := ""
					for n := size; len(payload) != size; n-- { // the length prefix of revision 3 counts too
						payload = pc.payload("4" + strings.Repeat("x", n))
					}
					var body io.Reader = strings.NewReader(payload)
					if chunked {
						body = io.MultiReader(body) // hides the length from net/http
					}
					return ts.request("POST", pc.query, body)
				}
				sizes := []int{101, 102}
				if chunked && rev == engineio.Revision4 { // net/http lingers for half a second
					sizes = append(sizes, 300_000)
				}
				for _, size := range sizes {
					pc = ts.openPolling(rev)
					require.Equal(t, "200 ok", post(100).summary())
					require.Len(t, pc.poll().body, 100)
					require.Equal(t, "413 ", post(size).summary())
					require.Equal(t, "400 "+unknownSession, pc.poll().summary(), "the session has ended")
				}
			})
		}
	}
}

func TestBinaryPostOnRevision4EndsTheSession(t *testing.T) {
	h := newEndRecorder()
	inBubble(t, h, nil, func(t *testing.T, ts *testServer) {
		pc := ts.openPolling(engineio.Revision4)
		first := pc.waitingPoll()
		require.Equal(t, "400 ", pc.ts.request("POST", pc.query, strings.NewReader("4x"), "Content-Type", "application/octet-stream").summary())
		require.Equal(t, "200 1", (<-first).summary())
		h.requireTransportError(t, pc.sid, "invalid content")
	})
}

func TestPostsThatAreNoPayload(t *testing.T) {
	for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
		bodies := map[engineio.Revision][]string{
			engineio.Revision4: {"", "abc", "7x", "\x1e", "4a\x1e", "\x1e4a", "4a\x1e\x1e4b", "b!!", "4\xff\xfe", "\x00", "bA"},
			engineio.Revision3: {"", "abc", "7x", ":", "1:", "2:4", "3:4a", "-1:4", "0:", "1:7", "99999999999999999999:4", "2:4a3:4b", "2:4\xff", "1:4x", "2:b5"},
		}[rev]
		for _, body := range bodies {
			t.Run(fmt.Sprintf("revision %d %q", rev, body), func(t *testing.T) {
				h := newEndRecorder()
				inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
					pc := ts.openPolling(rev)
					first := pc.waitingPoll()
					require.Equal(t, "400 ", pc.post(body).summary())
					require.Equal(t, "200 "+pc.payload("1"), (<-first).summary())
					require.Equal(t, "remote "+engineio.ReasonParseError, h.awaitEnd(pc.sid))
					require.Equal(t, "400 "+unknownSession, pc.poll().summary())
				})
			})
		}
	}
}

// The server ignores packets that have no meaning for it.
func TestIgnoredPackets(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		ts := newTestServer(t, echoHandler, bothRevisions())
		pc := ts.openPolling(rev)
		require.Equal(t, "200 ok", pc.post(pc.payload("0x", "5", "6")).summary())
		pc.requireEcho("alive")
	})
}

func TestClosePacketOverPolling(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		h := newEndRecorder()
		inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(rev)
			pending := pc.waitingPoll()
			require.Equal(t, "200 ok", pc.post(pc.payload("1")).summary())
			require.Equal(t, "200 "+pc.payload("6"), (<-pending).summary())
			require.Equal(t, "remote "+engineio.ReasonTransportClose, h.awaitEnd(pc.sid))
			require.Equal(t, "400 "+unknownSession, pc.poll().summary())
		})
	})
}

// Messages that a client posts before its close packet still reach the handler.
func TestMessagesBeforeAClosePacketArrive(t *testing.T) {
	got := make(chan string, 10)
	h := collect(got)
	ts := newTestServer(t, h, nil)
	pc := ts.openPolling(engineio.Revision4)
	require.Equal(t, "200 ok", pc.post("4a\x1e4b\x1e1\x1e4c").summary())
	require.Equal(t, []string{"a", "b", "end"}, []string{<-got, <-got, <-got})
}

func TestServerClosesAPollingSession(t *testing.T) {
	onBothRevisions(t, func(t *testing.T, rev engineio.Revision) {
		h := newEndRecorder()
		inBubble(t, h, bothRevisions(), func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(rev)
			pending := pc.waitingPoll()
			require.NoError(t, pc.socket().Close())
			require.Equal(t, "200 "+pc.payload("1"), (<-pending).summary(), "a poll that waits")
			require.Equal(t, "local "+engineio.ReasonForcedClose, h.awaitEnd(pc.sid))

			pc = ts.openPolling(rev)
			s := pc.socket()
			done := make(chan error, 1)
			go func() { done <- s.Close() }()
			time.Sleep(29 * time.Second)
			require.Equal(t, "200 "+pc.payload("6", "1"), pc.poll().summary(), "a poll that comes later")
			require.NoError(t, <-done)
			require.Equal(t, "400 "+unknownSession, pc.poll().summary())

			pc = ts.openPolling(rev)
			start := time.Now()
			require.NoError(t, pc.socket().Close(), "no poll comes")
			require.Equal(t, 30*time.Second, time.Since(start))
		})
	})
}

// collect sends the text of each message, and then "end", to got.
func collect(got chan<- string) engineio.Handler {
	return engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				got <- "end"
				return
			}
			got <- string(m.Data)
		}
	})
}

// A burst with as many packets as a payload may have arrives; with one more packet the payload is rejected.
func TestPacketsOfOnePayload(t *testing.T) {
	var read int
	done := make(chan int, 1)
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			if _, err := s.Read(ctx); err != nil {
				done <- read
				return
			}
			read++
		}
	})
	ts := newTestServer(t, h, nil)
	pc := ts.openPolling(engineio.Revision4)
	require.Equal(t, "200 ok", pc.post("4x"+strings.Repeat("\x1e4x", packet.MaxPackets-1)).summary())
	require.Equal(t, "400 ", pc.post("4x"+strings.Repeat("\x1e4x", packet.MaxPackets)).summary())
	require.Equal(t, packet.MaxPackets, <-done)
}

// A client of python-engineio ends the session when it gets a payload of more than 16 packets.
func TestPayloadsForPython(t *testing.T) {
	for client, most := range map[string]int{
		"Python/3.11 aiohttp/3.8.4": engineio.PythonMaxPackets, "python-requests/2.28.1": engineio.PythonMaxPackets, "node-XMLHttpRequest": 40,
	} {
		inBubble(t, echoHandler, nil, func(t *testing.T, ts *testServer) {
			pc := ts.openPolling(engineio.Revision4)
			require.Equal(t, "200 ok", pc.post("4x"+strings.Repeat("\x1e4x", 39)).summary())
			synctest.Wait()
			for got := 0; got < 40; {
				answer := ts.request("GET", pc.query, nil, "User-Agent", client)
				n := len(answer.packets(t, engineio.Revision4))
				require.LessOrEqual(t, n, most, client)
				if got += n; most == 40 {
					require.Equal(t, 40, n, client)
				}
			}
		})
	}
}
