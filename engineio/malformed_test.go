package engineio_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/gobwas/ws"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

func TestMalformedFrames(t *testing.T) {
	const limit = 2000
	type row struct {
		name, send, ending, reason string
		revs                       []engineio.Revision
	}
	rows := []row{
		{"unmasked", "\x81\x024x", "close 1002", remoteError, nil},
		{"RSV1", masked(0xc1, "4x"), "close 1002", remoteError, nil},
		{"RSV2", masked(0xa1, "4x"), "close 1002", remoteError, nil},
		{"RSV3", masked(0x91, "4x"), "close 1002", remoteError, nil},
		{"all RSV", masked(0xf1, "4x"), "close 1002", remoteError, nil},
		{"RSV on a ping", masked(0xc9, "x"), "close 1002", remoteError, nil},
		{"ping in fragments", masked(0x09, "x"), "close 1002", remoteError, nil},
		{"long ping", masked(0x89, strings.Repeat("x", 126)), "close 1002", remoteError, nil},
		{"long close", masked(0x88, strings.Repeat("x", 126)), "close 1002", remoteError, nil},
		{"length 2^63", "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04", "close 1002", remoteError, nil},
		{"length 2^64-1", "\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", "close 1002", remoteError, nil},
		{"length 2^63-1", "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", "close 1009", remoteError, nil},
		{"length 2^32", "\x82\xff\x00\x00\x00\x01\x00\x00\x00\x00\x01\x02\x03\x04", "close 1009", remoteError, nil},
		{"oversize", masked(0x81, "4"+strings.Repeat("x", limit)), "close 1009", remoteError, nil},
		{"oversize in fragments", masked(0x01, "4"+strings.Repeat("x", limit-1)) + masked(0x80, "x"), "close 1009", remoteError, nil},
		{"far too large", masked(0x82, strings.Repeat("x", 3<<20)), "close 1009", remoteError, nil},
		{"fragments overflow an int", masked(0x01, "4x") + "\x80\xff\x7f\xff\xff\xff\xff\xff\xff\xff\x01\x02\x03\x04", "close 1009", remoteError, nil},
		{"invalid UTF-8", masked(0x81, "4\xff"), "close 1007", remoteError, nil},
		{"surrogate", masked(0x81, "4\xed\xa0\x80"), "close 1007", remoteError, nil},
		{"half a character", masked(0x81, "4\xe2\x82"), "close 1007", remoteError, nil},
		{"invalid UTF-8 over fragments", masked(0x01, "4\xe2") + masked(0x80, "x"), "close 1007", remoteError, nil},
		{"empty text", masked(0x81, ""), "close", remoteParse, nil},
		{"empty text of fragments", masked(0x01, "") + masked(0x00, "") + masked(0x80, ""), "close", remoteParse, nil},
		{"garbage", masked(0x81, "abc"), "close", remoteParse, nil},
		{"unknown type", masked(0x81, "7x"), "close", remoteParse, nil},
		{"bad base64", masked(0x81, "b4!!!"), "close", remoteParse, nil},
		{"empty binary, revision 3", masked(0x82, ""), "close", remoteParse, []engineio.Revision{3}},
		{"binary of no message, revision 3", masked(0x82, "\x02probe"), "close", remoteParse, []engineio.Revision{3}},
		{"a continuation of nothing", masked(0x80, "4x"), "close 1002", remoteError, nil},
		{"a message within a message", masked(0x01, "4x") + masked(0x81, "4y"), "close 1002", remoteError, nil},
		{"ping of the wrong side", masked(0x81, "2"), "close", remoteError, []engineio.Revision{4}},
		{"pong of the wrong side", masked(0x81, "3"), "close", remoteError, []engineio.Revision{3}},
		{"close packet", masked(0x81, "1"), "close", remoteClose, nil},
		{"close frame", masked(0x88, ""), "close", remoteClose, nil},
		{"close frame 1000", masked(0x88, "\x03\xe8"), "close 1000", remoteClose, nil},
		{"close frame 4999", masked(0x88, "\x13\x87why"), "close 4999", remoteClose, nil},
		{"close frame of one byte", masked(0x88, "\x03"), "close 1002", remoteError, nil},
		{"close frame 0", masked(0x88, "\x00\x00"), "close 1002", remoteError, nil},
		{"close frame 999", masked(0x88, "\x03\xe7"), "close 1002", remoteError, nil},
		{"close frame 1004", masked(0x88, "\x03\xec"), "close 1002", remoteError, nil},
		{"close frame 1005", masked(0x88, "\x03\xed"), "close 1002", remoteError, nil},
		{"close frame 1006", masked(0x88, "\x03\xee"), "close 1002", remoteError, nil},
		{"close frame 1015", masked(0x88, "\x03\xf7"), "close 1002", remoteError, nil},
		{"close frame with a broken reason", masked(0x88, "\x03\xe8\xff"), "close 1007", remoteError, nil},
		{"close frame within a message", masked(0x01, "4x") + masked(0x88, "\x03\xe8"), "close 1000", remoteClose, nil},
	}
	for _, op := range []byte{3, 4, 5, 6, 7, 11, 12, 13, 14, 15} {
		rows = append(rows, row{fmt.Sprint("opcode ", op), masked(0x80|op, "4x"), "close 1002", remoteError, nil})
	}
	h := newEndRecorder()
	ts := newTestServer(t, h, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, MaxPayload: limit})
	others := ts.bystanders()
	for _, c := range rows {
		if c.revs == nil {
			c.revs = []engineio.Revision{engineio.Revision3, engineio.Revision4}
		}
		for _, rev := range c.revs {
			t.Run(fmt.Sprintf("%s, revision %d", c.name, rev), func(t *testing.T) {
				wc, sid := ts.openWebSocket(rev)
				go func() { _, _ = io.WriteString(wc.conn, c.send) }() // the server may stop reading
				require.Equal(t, c.ending, wc.readEnd())
				require.Equal(t, c.reason, h.awaitEnd(sid))
				others.requireUnharmed()
			})
		}
	}
	t.Run("while upgrading, none of it touches the session", func(t *testing.T) {
		pc := ts.openPolling(engineio.Revision4)
		for _, c := range append(rows,
			row{name: "a message", send: masked(0x81, "4x"), ending: "close"},
			row{name: "a ping that is no probe", send: masked(0x81, "2"), ending: "close"},
			row{name: "another probe", send: masked(0x81, "2probe?"), ending: "close"},
			row{name: "a binary message", send: masked(0x82, "x"), ending: "close"},
			row{name: "a message after the probe", send: masked(0x81, "2probe") + masked(0x81, "4x"), ending: "close"},
			row{name: "an open packet", send: masked(0x81, "0{}"), ending: "close"},
		) {
			if c.revs != nil {
				continue
			}
			wc := ts.webSocket(strings.Replace(pc.query, "polling", "websocket", 1))
			go func() { _, _ = io.WriteString(wc.conn, c.send) }()
			require.Equal(t, c.ending, wc.readEnd(), c.name)
			pc.requireEcho("alive") // after the close frame and the end of the connection
			require.Equal(t, engineio.Polling, pc.socket().Transport())
		}
		require.Equal(t, "200 ok", pc.post("1").summary())
		<-h.ends(pc.sid)
		others.requireUnharmed()
	})
}

// A frame that is cut off by the end of its connection ends only its own session.
func TestHalfFrames(t *testing.T) {
	h := newEndRecorder()
	ts := newTestServer(t, h, nil)
	others := ts.bystanders()
	whole := masked(0x81, "4"+strings.Repeat("x", 200))
	for _, n := range []int{0, 1, 2, 3, 4, 5, 7, 8, 100, len(whole) - 1} {
		wc, sid := ts.openWebSocket(engineio.Revision4)
		_, err := io.WriteString(wc.conn, whole[:n])
		require.NoError(t, err)
		require.NoError(t, wc.conn.(*net.TCPConn).CloseWrite())
		require.Equal(t, remoteClose, h.awaitEnd(sid), "after %d bytes", n)
		require.NoError(t, wc.conn.Close())

		wc, sid = ts.openWebSocket(engineio.Revision4)
		_, err = io.WriteString(wc.conn, whole[:n])
		require.NoError(t, err)
		reset(wc.conn)
		require.Contains(t, []string{remoteClose, remoteError}, h.awaitEnd(sid), "reset after %d bytes", n)
		others.requireUnharmed()
	}
}

func TestValidButUnusualFrames(t *testing.T) {
	ts := newTestServer(t, echoHandler, bothRevisions())
	wc, _ := ts.openWebSocket(engineio.Revision4)
	defer func() { require.NoError(t, wc.conn.Close()) }()
	ping := func(body string) {
		f, err := wc.readFrame()
		require.NoError(t, err)
		require.Equal(t, ws.OpPong, f.Header.OpCode)
		require.Equal(t, body, string(f.Payload))
	}
	raw := func(s string) {
		_, err := io.WriteString(wc.conn, s)
		require.NoError(t, err)
	}
	raw(masked(0x01, "") + masked(0x00, "4h\xe2") + masked(0x89, "a") + masked(0x00, "\x82") + masked(0x8a, "unasked") + masked(0x80, "\xac"))
	ping("a")
	require.Equal(t, "4h€", wc.readText(), "a character over three fragments, pings between")
	raw(masked(0x89, "") + masked(0x89, strings.Repeat("p", 125)))
	ping("")
	ping(strings.Repeat("p", 125))
	raw(masked(0x82, ""))
	f, err := wc.readFrame()
	require.NoError(t, err)
	require.Equal(t, ws.OpBinary, f.Header.OpCode)
	require.Empty(t, f.Payload)
	raw("\x81\xfe\x00\x02\x00\x00\x00\x004x") // lengths in a longer form than necessary
	require.Equal(t, "4x", wc.readText())
	raw("\x81\xff\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x004y")
	require.Equal(t, "4y", wc.readText())
	raw(masked(0x81, "4"+strings.Repeat("x", 999_999)))
	require.Len(t, wc.readText(), 1_000_000, "the limit is inclusive")
	// packets to which the server does not reply, and then a message
	raw(masked(0x81, "0{}") + masked(0x81, "5") + masked(0x81, "6") + masked(0x81, "3") + masked(0x81, "4z"))
	require.Equal(t, "4z", wc.readText())
}

// net/http rejects garbage at the HTTP level; it does not affect the sessions.
func TestGarbageRequests(t *testing.T) {
	ts := newTestServer(t, newEndRecorder(), nil)
	others := ts.bystanders()
	for _, raw := range []string{
		"\x00\x01\x02\x03\r\n\r\n", "GET\r\n\r\n", "GET /engine.io/?EIO=4&transport=polling HTTP/9.9\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00",
		"GET /engine.io/?EIO=4&transport=polling&sid=\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
		"POST /engine.io/?" + polling4 + " HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n",
		"POST /engine.io/?" + polling4 + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\nxyz",
		"GET /engine.io/?EIO=%&transport=%%% HTTP/1.1\r\nHost: x\r\n\r\n", strings.Repeat("A", 100),
	} {
		conn := ts.dial()
		_, err := io.WriteString(conn, raw)
		require.NoError(t, err)
		require.NoError(t, conn.(*net.TCPConn).CloseWrite())
		_, err = io.Copy(io.Discard, conn)
		if err != nil {
			require.True(t, isReset(err), err)
		}
		require.NoError(t, conn.Close())
		others.requireUnharmed()
	}
}

// A client's side gets the same frames from a server.
func TestClientAgainstMalformedFrames(t *testing.T) {
	const open = `0{"sid":"s","upgrades":[],"pingInterval":25000,"pingTimeout":20000,"maxPayload":1000000}`
	frame := func(first byte, body string) string {
		var b bytes.Buffer
		_ = ws.WriteHeader(&b, ws.Header{Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 15), Length: int64(len(body))})
		return b.String() + body
	}
	for _, c := range []struct {
		name, send, reason string
	}{
		{"masked", masked(0x81, "4x"), engineio.ReasonTransportError},
		{"RSV", frame(0xc1, "4x"), engineio.ReasonTransportError},
		{"opcode", frame(0x83, "4x"), engineio.ReasonTransportError},
		{"length 2^63", "\x81\x7f\x80\x00\x00\x00\x00\x00\x00\x00", engineio.ReasonTransportError},
		{"length 2^63-1", "\x81\x7f\x7f\xff\xff\xff\xff\xff\xff\xff", engineio.ReasonTransportError},
		{"invalid UTF-8", frame(0x81, "4\xff"), engineio.ReasonTransportError},
		{"empty text", frame(0x81, ""), engineio.ReasonParseError},
		{"garbage", frame(0x81, "abc"), engineio.ReasonParseError},
		{"pong", frame(0x81, "3"), engineio.ReasonTransportError},
		{"close packet", frame(0x81, "1"), engineio.ReasonTransportClose},
		{"close frame", frame(0x88, ""), engineio.ReasonTransportClose},
		{"bad close frame", frame(0x88, "\x03"), engineio.ReasonTransportError},
		{"half a frame", "\x81\x7f", engineio.ReasonTransportClose},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, url := serveConnections(t, func(conn net.Conn, r *http.Request) {
				_, _ = io.WriteString(conn, switching(r)+frame(0x81, open)+c.send)
				if tcp, ok := conn.(*net.TCPConn); ok && c.name == "half a frame" {
					_ = tcp.CloseWrite()
				}
				_, _ = io.Copy(io.Discard, conn)
			})
			s, err := engineio.Dial(testContext(t), url, &engineio.DialOptions{Transports: []engineio.Transport{engineio.WebSocket}})
			require.NoError(t, err)
			_, err = s.Read(testContext(t))
			var closed *engineio.CloseError
			require.ErrorAs(t, err, &closed)
			require.Equal(t, c.reason, closed.Reason)
			require.True(t, closed.Remote)
			require.NoError(t, s.Close())
		})
	}
}
