package webtransport

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
	"github.com/quic-go/webtransport-go"
	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
)

// open4 is the frame with the packet that opens a session.
const open4 = "\x010"

// frame returns the frame of a short text packet.
func frame(packet string) string { return string(rune(len(packet))) + packet }

// move returns the frame of the packet with which a session moves.
func move(s *engineio.Socket) string { return frame(`0{"sid":"` + s.ID() + `"}`) }

// An invalid frame or an invalid packet ends its session, and the close reason blames the peer.
func TestBrokenFramesEndTheSession(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct{ sent, reason string }{
		"length 0":               {"\x00", engineio.ReasonParseError},
		"length 0 of bytes":      {"\x80", engineio.ReasonParseError},
		"length 0 in two bytes":  {"\x7e\x00\x00", engineio.ReasonParseError},
		"too large by one":       {"\x7e\x03\xe9", engineio.ReasonParseError},
		"too large in 8 bytes":   {"\x7f\x00\x00\x00\x00\x01\x00\x00\x00", engineio.ReasonParseError},
		"above 2^53":             {"\x7f\x00\x20\x00\x00\x00\x00\x00\x01", engineio.ReasonParseError},
		"above 2^63":             {"\xff\xff\xff\xff\xff\xff\xff\xff\xff", engineio.ReasonParseError},
		"no packet type":         {"\x01x", engineio.ReasonParseError},
		"text that is no UTF-8":  {"\x024\xff", engineio.ReasonTransportError},
		"a ping":                 {"\x012", engineio.ReasonTransportError},
		"a close packet":         {"\x011", engineio.ReasonTransportClose},
		"the end":                {"", engineio.ReasonTransportClose},
		"the end within a frame": {"\x054abc", engineio.ReasonTransportClose},
		"the end within a head":  {"\x7e\x00", engineio.ReasonTransportClose},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ends := make(chan error, 1)
			ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
				_, err := s.Read(ctx)
				ends <- err
			}), engineio.ServerOptions{MaxPayload: 1000})
			r := ts.connect("/engine.io/")
			s := r.stream(open4 + tt.sent)
			if strings.HasPrefix(name, "the end") {
				require.NoError(t, s.Close())
			}
			end, ok := errors.AsType[*engineio.CloseError](<-ends)
			require.True(t, ok)
			require.Equal(t, tt.reason, end.Reason, "%v", end)
			require.True(t, end.Remote)
			r.awaitEnd()
		})
	}
}

// A first packet that is not a valid open packet opens no session, and the server closes the stream.
func TestFirstPacketsThatOpenNothing(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, engineio.HandlerFunc(func(context.Context, *engineio.Socket) { t.Error("a session") }), engineio.ServerOptions{})
	for name, sent := range map[string]string{
		"garbage":             "GET / HTTP/1.1\r\n\r\n" + strings.Repeat("x", 100),
		"a message":           "\x024x",
		"bytes":               "\x81\x00",
		"no JSON":             frame("0{abc}"),
		"no object":           frame("0true"),
		"no sid":              frame("0{}"),
		"an unknown sid":      frame(`0{"sid":"abcde"}`),
		"an invalid sid":      frame(`0{"sid":"__proto__"}`),
		"a sid of a number":   frame(`0{"sid":1}`),
		"length 0":            "\x00",
		"larger than allowed": "\x7f\x00\x00\x00\x00\x10\x00\x00\x00",
		"a large beginning":   "\x7f\x00\x00\x00\x00\x00\x0f\x00\x00" + "0" + strings.Repeat("x", 100_000),
	} {
		t.Run(name, func(t *testing.T) {
			r := ts.connect("/engine.io/")
			r.stream(sent)
			r.awaitEnd()
		})
	}
	require.Empty(t, ts.engine.Sockets())
}

// gracious is how long a server waits for a silent client. It is long enough for the test's earlier steps on a busy
// machine.
const gracious = 2 * time.Second

// However and whenever a client leaves, nothing of it remains: no session, no connection, and none of the superfluous
// streams and datagrams.
func TestNothingRemainsOfClientsThatLeave(t *testing.T) {
	t.Parallel()
	beginnings := []string{
		"", "\x01", "\x0f0{\"sid\":\"abcd\"", open4, open4 + "\x7e\x01", open4 + "\x7f\x00\x00\x00\x00\x00\x01\x00\x004" + strings.Repeat("z", 50_000),
		open4 + strings.Repeat("\x024x", 100), open4 + open4,
	}
	ways := map[string]func(r *rawSession, s *webtransport.Stream){
		"end of the stream":        func(_ *rawSession, s *webtransport.Stream) { _ = s.Close() },
		"reset":                    func(_ *rawSession, s *webtransport.Stream) { s.CancelWrite(7) },
		"reads no more":            func(_ *rawSession, s *webtransport.Stream) { s.CancelRead(7) },
		"reset in both directions": func(_ *rawSession, s *webtransport.Stream) { s.CancelWrite(7); s.CancelRead(9) },
		"end of the session":       func(r *rawSession, _ *webtransport.Stream) { _ = r.session.CloseWithError(0, "") },
		"end with a long reason": func(r *rawSession, _ *webtransport.Stream) {
			_ = r.session.CloseWithError(77, strings.Repeat("y", 2000))
		},
		"end of the connection":      func(r *rawSession, _ *webtransport.Stream) { _ = r.conn.CloseWithError(0x100, "") },
		"failure of the connection":  func(r *rawSession, _ *webtransport.Stream) { _ = r.conn.CloseWithError(5, "gone") },
		"nothing, behind other data": func(r *rawSession, _ *webtransport.Stream) { r.junk() },
		"end, behind other data":     func(r *rawSession, s *webtransport.Stream) { r.junk(); _ = s.Close() },
	}
	ts := newTestServer(t, echo, engineio.ServerOptions{
		UpgradeTimeout: gracious, PingInterval: 300 * time.Millisecond, PingTimeout: 300 * time.Millisecond, MaxPayload: 100_000,
	}, func(srv *Server) { srv.idle = gracious })
	for _, leave := range ways {
		for _, begin := range beginnings {
			r := ts.connect("/engine.io/")
			s, err := r.session.OpenStreamSync(t.Context())
			require.NoError(t, err)
			_, _ = s.Write([]byte(begin)) // the server may have rejected it in the middle
			leave(r, s)
		}
	}
	require.Eventually(t, func() bool {
		return len(ts.engine.Sockets()) == 0 && ts.quic.open.Load() == 0
	}, 10*time.Second, 10*time.Millisecond)
}

// junk sends streams and datagrams that an Engine.IO session does not use.
func (r *rawSession) junk() {
	for range maxStreams {
		if s, err := r.session.OpenStream(); err == nil {
			_, _ = s.Write([]byte(open4))
		}
		if s, err := r.session.OpenUniStream(); err == nil {
			_, _ = s.Write([]byte(open4))
		}
		_ = r.session.SendDatagram([]byte(open4))
	}
}

// The server ends clients that are silent at any point, and nothing of them remains.
func TestSilentClientsAreGivenUp(t *testing.T) {
	t.Parallel()
	ends := make(chan struct{}, 1)
	ts := newTestServer(t, engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		_, err := s.Read(ctx)
		require.ErrorContains(t, err, "forced close", "the session of the upgrade lives on")
		ends <- struct{}{}
	}), engineio.ServerOptions{UpgradeTimeout: gracious}, func(srv *Server) { srv.idle = gracious })

	nothing := ts.connect("/engine.io/") // opens no stream
	header := ts.connect("/engine.io/")
	header.stream("") // sends only a stream's header
	half := ts.connect("/engine.io/")
	half.stream("\x0f0{\"si")
	poll := ts.mustDial(engineio.Polling)
	probing := ts.connect("/engine.io/")
	probing.stream(move(poll)) // sends no probe

	for _, r := range []*rawSession{nothing, header, half, probing} {
		r.awaitEnd()
		select {
		case <-r.conn.Context().Done(): // the connection also ends, because it has no session
		case <-time.After(10 * time.Second):
			require.Fail(t, "the server leaves the connection open")
		}
	}
	require.Len(t, ts.engine.Sockets(), 1)
	poll.Abort(nil)
	require.NoError(t, ts.engine.Close())
	<-ends
}

// The server closes a connection without a request.
func TestIdleConnectionsAreClosed(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{}, func(srv *Server) { srv.idle = 100 * time.Millisecond })
	config := ts.tls.Clone()
	config.NextProtos = []string{http3.NextProtoH3}
	conn, err := quic.DialAddr(t.Context(), strings.TrimPrefix(ts.url, "http://"), config, quicConfig())
	require.NoError(t, err)
	select {
	case <-conn.Context().Done():
	case <-time.After(10 * time.Second):
		require.Fail(t, "the server leaves the connection open")
	}
}

// A second stream is not part of the session, and does not affect it.
func TestOnlyTheFirstStreamCounts(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	r := ts.connect("/engine.io/")
	first := r.stream(open4)
	next := func() string {
		head := make([]byte, 1, 3)
		_, err := io.ReadFull(first, head)
		require.NoError(t, err)
		n := int(head[0])
		if n == 126 {
			_, err = io.ReadFull(first, head[1:3])
			require.NoError(t, err)
			n = int(binary.BigEndian.Uint16(head[1:3]))
		}
		body := make([]byte, n)
		_, err = io.ReadFull(first, body)
		require.NoError(t, err)
		return string(body)
	}
	require.Contains(t, next(), `"upgrades":[]`)
	second := r.stream(open4)
	_, err := second.Write([]byte("\x034no"))
	require.NoError(t, err)
	_, err = first.Write([]byte("\x044yes"))
	require.NoError(t, err)
	require.Equal(t, "4yes", next())
	require.Len(t, ts.engine.Sockets(), 1)
	require.NoError(t, second.SetReadDeadline(time.Now().Add(50*time.Millisecond)))
	_, err = second.Read(make([]byte, 1))
	require.ErrorIs(t, err, os.ErrDeadlineExceeded)
}

// The server closes the stream of a second upgrade. The session is unaffected.
func TestOneUpgradeAtATime(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	s := ts.mustDial(engineio.WebTransport)
	r := ts.connect("/engine.io/")
	r.stream(move(s))
	r.awaitEnd()
	require.NoError(t, s.Write(t.Context(), engineio.Text("still here")))
	m, err := s.Read(t.Context())
	require.NoError(t, err)
	require.Equal(t, "still here", string(m.Data))
}

// The server checks the request as it checks any Engine.IO request.
func TestRefusals(t *testing.T) {
	t.Parallel()
	reasons := make(chan string, 1)
	ts := newTestServer(t, echo, engineio.ServerOptions{
		AllowedOrigins:    []string{"https://good.example"},
		OnConnectionError: func(e *engineio.ConnectionError) { reasons <- e.Reason },
	})
	own := "https" + ts.url[len("http"):]
	for _, tt := range []struct {
		path, origin string
		status       int
		reason       string
	}{
		{"/engine.io/", "", 200, ""},
		{"/engine.io", own, 200, ""},
		{"/engine.io/?EIO=4&transport=webtransport&foo=bar", "https://good.example", 200, ""},
		{"/engine.io/", "https://evil.example", 403, "FORBIDDEN: origin https://evil.example"},
		{"/engine.io/", "null", 403, "FORBIDDEN: origin null"},
		{"/engine.io/?EIO=3", "", 400, "UNSUPPORTED_PROTOCOL_VERSION: 3"},
		{"/other/", "", 404, ""},
	} {
		var header []string
		if tt.origin != "" {
			header = []string{"Origin", tt.origin}
		}
		require.Equal(t, tt.status, ts.connect(tt.path, header...).status, tt.path)
		if tt.reason != "" {
			require.Equal(t, tt.reason, <-reasons)
		}
	}
}

func TestAServerThatDoesNotListTheTransport(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{Transports: []engineio.Transport{engineio.Polling, engineio.WebSocket}})
	_, err := ts.dial(engineio.DialOptions{Transports: []engineio.Transport{engineio.WebTransport}})
	refusal, ok := errors.AsType[*engineio.HandshakeError](err)
	require.True(t, ok, "%v", err)
	require.Equal(t, engineio.HandshakeError{Status: 400, Code: engineio.CodeUnknownTransport, Message: "Transport unknown"}, *refusal)
	s := ts.mustDial()
	s.Discard()
	require.Equal(t, engineio.WebSocket, upgraded(t, s))
}

// In the reference up to engine.io 6.6.6, WebTransport sessions bypassed the middlewares, and no version calls
// allowRequest for them.
// Advisories: GHSA-gr94-w7qr-f4j3, engine.io 6.6.7
func TestAllowRequestForWebTransport(t *testing.T) {
	t.Parallel()
	reported := make(chan engineio.ConnectionError, 1)
	allow := func(r *http.Request) error {
		if r.URL.Query().Get("token") == "good" || r.URL.Query().Get("transport") == "polling" {
			return nil
		}
		return errors.New("no token")
	}
	ts := newTestServer(t, echo, engineio.ServerOptions{
		AllowRequest:      allow,
		OnConnectionError: func(e *engineio.ConnectionError) { reported <- *e },
	})
	r := ts.connect("/engine.io/")
	r.stream(open4)
	r.awaitEnd()
	refused := <-reported
	require.Equal(t, engineio.CodeForbidden, refused.Code)
	require.Equal(t, "no token", refused.Message)
	require.Empty(t, ts.engine.Sockets())

	s, err := ts.dial(engineio.DialOptions{
		Transports: []engineio.Transport{engineio.WebTransport}, Query: map[string][]string{"token": {"good"}},
	})
	require.NoError(t, err)
	require.NoError(t, s.Close())

	s = ts.mustDial(engineio.Polling, engineio.WebTransport) // an admitted session may move
	s.Discard()
	require.Equal(t, engineio.WebTransport, upgraded(t, s))
}

// A page of another origin gets no session by WebTransport, neither a new session nor an existing session whose ID it
// knows.
// Advisories: GHSA-gr94-w7qr-f4j3, engine.io 6.6.7
func TestOriginForWebTransport(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{AllowedOrigins: []string{"https://good.example"}})
	s := ts.mustDial(engineio.Polling)
	for _, origin := range []string{"https://evil.example", "null", "https://good.example.evil.example", "http://good.example"} {
		for _, path := range []string{"/engine.io/", "/engine.io/?EIO=4&transport=webtransport&sid=" + s.ID()} {
			require.Equal(t, http.StatusForbidden, ts.connect(path, "Origin", origin).status, "%s from %s", path, origin)
		}
	}
	require.Len(t, ts.engine.Sockets(), 1)
	r := ts.connect("/engine.io/", "Origin", "https://good.example")
	require.Equal(t, http.StatusOK, r.status)
	r.stream(open4)
	require.Eventually(t, func() bool { return len(ts.engine.Sockets()) == 2 }, 10*time.Second, time.Millisecond)
}

// The handshake of a client that vanishes leaves nothing behind: engine.io up to 6.6.7 kept a part of it.
// Advisories: engine.io 6.6.8
func TestFailedHandshakesLeaveNothing(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	poll := ts.mustDial(engineio.Polling)
	for _, sent := range []string{"", "\x01", open4, open4 + "\x7e", move(poll), move(poll) + frame("2probe")} {
		r := ts.connect("/engine.io/")
		r.stream(sent)
		require.NoError(t, r.conn.CloseWithError(0, ""))
	}
	require.Eventually(t, func() bool { return ts.quic.open.Load() == 0 && len(ts.engine.Sockets()) == 1 }, 10*time.Second, time.Millisecond)
	poll.Discard()
	require.NoError(t, poll.TryWrite(engineio.Text("still here")))
}

// A peer may open and close streams for ever: the server frees closed streams, and limits the number of open ones.
// Advisories: CVE-2026-21438
func TestStreamLimit(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	r := ts.connect("/engine.io/")
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	n := 0
	for ; n < 10*maxStreams; n++ {
		s, err := r.session.OpenStreamSync(ctx)
		if err != nil {
			break
		}
		_, _ = s.Write([]byte("x"))
	}
	require.Less(t, n, maxStreams, "unread streams")
}

// go.mod must require a version of the library without the known faults. Up to v0.11.0 the library stored capsules of
// any size (CVE-2026-57497). Up to v0.9.0 it stored close reasons of any size and closed streams (CVE-2026-21434,
// CVE-2026-21438), and a peer could delay a close (CVE-2026-21435).
// Advisories: CVE-2026-21434, CVE-2026-21435, CVE-2026-21438, CVE-2026-57497
func TestWebTransportVersion(t *testing.T) {
	t.Parallel()
	requirePinned(t, "quic-go/webtransport-go", 12)
}

// go.mod must require a version of the library without the known faults: it stored headers and trailers of HTTP/3
// without a limit after decompression.
// Advisories: CVE-2025-64702, CVE-2026-40898
func TestQUICVersion(t *testing.T) {
	t.Parallel()
	requirePinned(t, "quic-go/quic-go", 60)
}

func requirePinned(t *testing.T, module string, least int) {
	t.Helper()
	mod, err := os.ReadFile("../../go.mod")
	require.NoError(t, err)
	found := regexp.MustCompile(module + ` v0\.(\d+)\.(\d+)\n`).FindSubmatch(mod)
	require.NotNil(t, found)
	minor, err := strconv.Atoi(string(found[1]))
	require.NoError(t, err)
	require.GreaterOrEqual(t, minor, least)
}

func TestMaxSessions(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{}, func(srv *Server) { srv.opts.MaxSessions = 2 })
	only := []engineio.Transport{engineio.WebTransport}
	ts.mustDial(only...)
	second := ts.mustDial(only...)
	_, err := ts.dial(engineio.DialOptions{Transports: only})
	require.Error(t, err)
	second.Abort(nil)
	require.Eventually(t, func() bool {
		s, err := ts.dial(engineio.DialOptions{Transports: only})
		if err == nil {
			s.Abort(nil)
		}
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
}

// A client rejects a server whose certificate it does not trust.
// Advisories: CVE-2016-10536
func TestCertificatesAreVerified(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	_, err := engineio.Dial(t.Context(), ts.url, &engineio.DialOptions{
		Transports: []engineio.Transport{engineio.WebTransport}, WebTransport: new(Dialer).Dial,
	})
	require.ErrorContains(t, err, "certificate")
}

// Dial ends with its context, at every step.
func TestDialEndsWithItsContext(t *testing.T) {
	t.Parallel()
	block := make(chan struct{})
	ts := newTestServer(t, engineio.HandlerFunc(func(context.Context, *engineio.Socket) {}), engineio.ServerOptions{
		AllowRequest: func(*http.Request) error { <-block; return errors.New("no") },
	})
	defer close(block)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	_, err := engineio.Dial(ctx, ts.url, &engineio.DialOptions{
		Transports: []engineio.Transport{engineio.WebTransport}, WebTransport: (&Dialer{TLSConfig: ts.tls}).Dial,
	})
	require.ErrorIs(t, err, context.DeadlineExceeded)
}

// Handler also serves polls, on the program's HTTP/3 server.
func TestHandlerServesAllTransports(t *testing.T) {
	t.Parallel()
	ts := newTestServer(t, echo, engineio.ServerOptions{})
	recorder := httptest.NewRecorder()
	Handler(new(webtransport.Server), ts.engine).ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, "/engine.io/?EIO=4&transport=polling", nil))
	require.Contains(t, recorder.Body.String(), `"upgrades":["websocket","webtransport"]`)
}

// A silent server that has accepted the connection cannot delay Dial beyond its context, and the error is the
// context's.
func TestDialOfASilentServerEndsWithItsContext(t *testing.T) {
	t.Parallel()
	certificate, _, err := SelfSigned("127.0.0.1")
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(certificate.Leaf)
	silent, err := quic.ListenAddr("127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}, NextProtos: []string{http3.NextProtoH3}}, quicConfig())
	require.NoError(t, err)
	defer silent.Close()
	for range 20 {
		ctx, cancel := context.WithCancelCause(t.Context())
		why := errors.New("enough")
		go func() {
			_, _ = silent.Accept(t.Context())
			cancel(why)
		}()
		r, err := http.NewRequestWithContext(ctx, http.MethodConnect, "https://"+silent.Addr().String(), http.NoBody)
		require.NoError(t, err)
		_, _, err = (&Dialer{TLSConfig: &tls.Config{RootCAs: pool}}).Dial(ctx, r)
		require.ErrorIs(t, err, why)
	}
}
