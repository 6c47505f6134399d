package engineio_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/engineio/internal/receivelimit"
)

func TestEachRefusalIsReportedOnceWithItsReason(t *testing.T) {
	var reported recorder[*engineio.ConnectionError]
	deny, noID := false, false
	opts := &engineio.ServerOptions{
		Revisions:         []engineio.Revision{engineio.Revision4},
		OnConnectionError: reported.add,
		AllowRequest: func(*http.Request) error {
			if deny {
				return errors.New("no thank you")
			}
			return nil
		},
		GenerateID: func(*http.Request) (string, error) {
			if noID {
				return "", errors.New("no more IDs")
			}
			return engineio.NewSID(), nil
		},
	}
	ts := newTestServer(t, echoHandler, opts)
	pc := ts.openPolling(engineio.Revision4)
	stream, sid := ts.openWebSocket(engineio.Revision4)
	require.Empty(t, reported.take())
	asWebSocket := func(query string) string { return strings.Replace(query, "polling", "websocket", 1) }
	const ws4 = "EIO=4&transport=websocket"
	for _, c := range []struct {
		name, method, query string
		upgrade             bool
		header              []string
		code                int
		message, reason     string
	}{
		{"unknown transport", "GET", "EIO=4&transport=tobi", false, nil, 0, "Transport unknown", "UNKNOWN_TRANSPORT: tobi"},
		{"unknown transport, upgrade", "GET", "EIO=4&transport=tobi", true, nil, 0, "Transport unknown", "UNKNOWN_TRANSPORT: tobi"},
		{"unknown session", "GET", polling4 + "&sid=secret", false, nil, 1, "Session ID unknown", "UNKNOWN_SID"},
		{"method", "PUT", polling4, false, nil, 2, "Bad handshake method", "BAD_HANDSHAKE_METHOD: PUT"},
		{"no upgrade", "GET", ws4, false, nil, 3, "Bad request", "TRANSPORT_HANDSHAKE_ERROR: no upgrade"},
		{"transport of the session", "GET", asWebSocket(pc.query), false, nil, 3, "Bad request", "TRANSPORT_MISMATCH: websocket, the session's is polling"},
		{"poll of a WebSocket's session", "GET", polling4 + "&sid=" + sid, false, nil, 3, "Bad request", "TRANSPORT_MISMATCH: polling, the session's is websocket"},
		{"revision of the session", "GET", strings.Replace(pc.query, "EIO=4", "EIO=3", 1), false, nil, 3, "Bad request", "PROTOCOL_MISMATCH: 3, the session's is 4"},
		{"unreadable origin", "GET", polling4, false, []string{"Origin", "http://%zz"}, 3, "Bad request", "INVALID_ORIGIN: http://%zz"},
		{"origin", "GET", polling4, false, []string{"Origin", "http://evil.example"}, 4, "Forbidden", "FORBIDDEN: origin http://evil.example"},
		{"origin, upgrade", "GET", ws4, true, []string{"Origin", "http://evil.example"}, 4, "Forbidden", "FORBIDDEN: origin http://evil.example"},
		{"revision", "GET", "EIO=3&transport=polling", false, nil, 5, "Unsupported protocol version", "UNSUPPORTED_PROTOCOL_VERSION: 3"},
		{"JSONP", "GET", polling4 + "&j=0", false, nil, 0, "Transport unknown", "UNKNOWN_TRANSPORT: jsonp"},
		{"WebSocket of another version", "GET", ws4, true, []string{"Sec-WebSocket-Key", "short"}, 3, `handshake error: bad "Sec-WebSocket-Key" header`, `TRANSPORT_HANDSHAKE_ERROR: handshake error: bad "Sec-WebSocket-Key" header`},
		{"too large", "GET", polling4 + "&x=" + strings.Repeat("x", engineio.MaxSavedRequest), false, nil, -1, "request headers too large", "REQUEST_TOO_LARGE"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.upgrade {
				raw := ts.handshakeText(c.query, c.header...)
				if len(c.header) > 0 && c.header[0] == "Sec-WebSocket-Key" {
					raw = strings.Replace(raw, "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", 1)
				}
				_, wc := ts.sendRaw(raw)
				_, err := wc.r.ReadByte() // the connection ends after the report
				require.Error(t, err)
				require.NoError(t, wc.conn.Close())
			} else {
				require.NoError(t, ts.request(c.method, c.query, nil, c.header...).err)
			}
			var got []*engineio.ConnectionError
			require.Eventually(t, func() bool { got = append(got, reported.take()...); return len(got) > 0 }, receivelimit.SlowSenderTimeout, 1)
			require.Len(t, got, 1)
			require.Equal(t, c.code, got[0].Code)
			require.Equal(t, c.message, got[0].Message)
			require.Equal(t, c.reason, got[0].Reason)
			require.Equal(t, c.query, got[0].Request.URL.RawQuery)
			require.NotContains(t, got[0].Error(), "secret")
			require.ErrorContains(t, got[0], c.reason)
		})
	}
	pc.requireEcho("alive")
	stream.requireEcho("alive")
	require.NoError(t, stream.conn.Close())

	noID = true
	require.Equal(t, "400 "+badRequest, ts.request("GET", polling4, nil).summary())
	got := reported.take()
	require.Len(t, got, 1)
	require.Equal(t, "ID_GENERATION_ERROR: no more IDs", got[0].Reason)

	deny = true
	ts.request("GET", polling4, nil)
	got = reported.take()
	require.Len(t, got, 1)
	require.Equal(t, engineio.CodeForbidden, got[0].Code)
	require.Equal(t, "no thank you", got[0].Message)
	require.Equal(t, "FORBIDDEN: AllowRequest", got[0].Reason)

	deny, noID = false, false
	require.NoError(t, ts.srv.Close())
	require.Equal(t, http.StatusServiceUnavailable, ts.request("GET", polling4, nil).status)
	got = reported.take()
	require.Len(t, got, 1)
	require.Equal(t, -1, got[0].Code)
	require.Equal(t, "SERVER_CLOSED", got[0].Reason)
}

// Only rejections are reported: no requests of sessions, and no errors that end a session.
func TestWhatEndsASessionIsNoConnectionError(t *testing.T) {
	var reported recorder[*engineio.ConnectionError]
	ts := newTestServer(t, echoHandler, &engineio.ServerOptions{OnConnectionError: reported.add, MaxPayload: 10})
	pc := ts.openPolling(engineio.Revision4)
	pc.requireEcho("x")
	require.Equal(t, "500 ", ts.request("PUT", pc.query, nil).summary())
	require.Equal(t, "400 ", pc.post("abc").summary())
	require.Equal(t, "413 ", ts.openPolling(engineio.Revision4).post(strings.Repeat("4", 11)).summary())
	require.Empty(t, reported.take())
	require.Equal(t, "400 "+unknownSession, pc.poll().summary())
	require.Len(t, reported.take(), 1)
}
