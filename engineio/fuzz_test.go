package engineio_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bigcompany/mesh/engineio"
)

// FuzzHTTP sends the server a request of any shape, once without a session and once for each session. The server must
// respond with an expected status, must hold no memory, and must not panic.
// Advisories: CVE-2023-31125
func FuzzHTTP(f *testing.F) {
	for _, query := range []string{
		polling4, "EIO=3&transport=polling&b64=1", "EIO=4&transport=polling&sid=SID", "EIO=3&transport=polling&sid=SID", "EIO=4&transport=websocket",
		"EIO=4&transport=websocket&sid=SID", "transport=__proto__", "EIO=4&transport=polling&sid=SID&t=1-0", "%zz", "a;b",
		"EIO=4&transport=polling&j=1", "EIO=3&transport=polling&sid=SID&j=", "EIO=3&transport=polling&j=%5D&t=1-0",
	} {
		for _, method := range []string{"GET", "POST", "OPTIONS", "HEAD", ""} {
			f.Add(method, query, "text/plain", "", "", []byte("4x\x1e4y"))
			f.Add(method, query, "application/octet-stream", "http://host", "websocket", []byte("\x00\x02\xff4x"))
			f.Add(method, query, "", "null", "", []byte("2:4x3:4é"))
			f.Add(method, query, "", "https://good.example", "", []byte("1"))
			f.Add(method, query, "application/x-www-form-urlencoded", "", "", []byte(`a&d=4x\n%1e4y+`))
		}
	}
	statuses := []int{200, 204, 400, 403, 413, 431, 500}
	f.Fuzz(func(t *testing.T, method, query, contentType, origin, upgrade string, body []byte) {
		srv := engineio.NewServer(idle, &engineio.ServerOptions{
			Revisions: []engineio.Revision{3, 4}, MaxPayload: 1000, AllowedOrigins: []string{"https://good.example"},
			JSONP: true, Cookie: &http.Cookie{}, CompressionThreshold: 1,
		})
		for _, open := range []string{"EIO=3&transport=polling", "EIO=4&transport=polling", "EIO=3&transport=polling&j=1", "EIO=4&transport=polling&j=1"} {
			srv.ServeHTTP(httptest.NewRecorder(), request(context.Background(), "GET", open, nil))
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // so that no poll waits
		for _, s := range srv.Sockets() {
			r := request(ctx, method, strings.ReplaceAll(query, "SID", s.ID()), body)
			for name, value := range map[string]string{"Content-Type": contentType, "Origin": origin, "Upgrade": upgrade} {
				if value != "" {
					r.Header.Set(name, value)
				}
			}
			w := httptest.NewRecorder()
			srv.ServeHTTP(w, r)
			if !slices.Contains(statuses, w.Code) {
				t.Errorf("status %d", w.Code)
			}
			if w.Code == 200 && w.Body.Len() > 300+len(query) {
				t.Errorf("%d bytes of an answer", w.Body.Len())
			}
		}
		_ = srv.Close()
		requireNothingLeft(t, srv)
	})
}

func request(ctx context.Context, method, query string, body []byte) *http.Request {
	r := &http.Request{
		Method: method, URL: &url.URL{Path: "/engine.io/", RawQuery: query}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Host: "host", Header: http.Header{"Sec-Fetch-Site": {"same-origin"}, "Accept-Encoding": {"gzip;q=0.1, deflate"}}, Body: io.NopCloser(strings.NewReader(string(body))), ContentLength: int64(len(body)),
	}
	return r.WithContext(ctx)
}

// FuzzWSFrame writes any bytes after a WebSocket handshake, in pieces, over a pipe, which has no buffer. It does so for
// a new session and for an upgrade, with compression and without. The server must end the session and hold no memory.
// Advisories: CVE-2020-27813, CVE-2026-27889
func FuzzWSFrame(f *testing.F) {
	for _, s := range []string{
		"", masked(0x81, "4x"), masked(0x82, "\x04x"), masked(0x01, "4x") + masked(0x80, "y"), masked(0x81, "2probe") + masked(0x81, "5") + masked(0x81, "4x"),
		masked(0x89, "p") + masked(0x88, "\x03\xe8"), masked(0x81, "nonsense"), "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", masked(0x82, strings.Repeat("x", 2000)),
		masked(0x81, "2"), masked(0x81, "3"), masked(0x81, "1"), masked(0x81, "0{}"), masked(0x81, "b4AAAA"), masked(0xc1, "4x"), masked(0x01, "") + masked(0x00, ""),
	} {
		for mode := range uint8(8) { // see anyQuery; mode&4 means compression
			f.Add([]byte(s), mode, uint8(3))
		}
	}
	largest := 0
	var mu sync.Mutex
	h := engineio.HandlerFunc(func(ctx context.Context, s *engineio.Socket) {
		for {
			m, err := s.Read(ctx)
			if err != nil {
				return
			}
			mu.Lock()
			largest = max(largest, len(m.Data))
			mu.Unlock()
			if s.Write(ctx, m) != nil {
				return
			}
		}
	})
	f.Fuzz(func(t *testing.T, data []byte, mode, piece uint8) {
		var header []string
		if mode&4 != 0 {
			header = []string{"Sec-WebSocket-Extensions", "permessage-deflate"}
		}
		ts, stop := pipeSite(t, h)
		query := ts.anyQuery(mode)
		conn := ts.dial()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, err := io.Copy(io.Discard, conn)
			if errors.Is(err, io.ErrNoProgress) {
				t.Error(err)
			}
		}()
		writePieces(conn, []byte(ts.handshakeText(query, header...)), 200)
		writePieces(conn, data, int(piece)+1)
		_ = conn.Close()
		<-drained
		if mode&2 == 0 { // after an upgrade the session may continue with polling
			for start := time.Now(); len(ts.srv.Sockets()) > 0; runtime.Gosched() {
				if time.Since(start) > 10*time.Second {
					t.Fatal("the session does not end")
				}
			}
		}
		stop()
		mu.Lock()
		defer mu.Unlock()
		if largest > 1000 {
			t.Errorf("a message of %d bytes passed the limit", largest)
		}
	})
}

// pipeSite serves h over a pipe, in both revisions and with compression. stop closes the server and checks that nothing
// remains.
func pipeSite(t *testing.T, h engineio.Handler) (ts *testServer, stop func()) {
	srv := engineio.NewServer(h, &engineio.ServerOptions{Revisions: []engineio.Revision{3, 4}, MaxPayload: 1000, BufferLimit: 1 << 20, PerMessageDeflate: true})
	l := newNetwork()
	web := &http.Server{Handler: srv, ErrorLog: log.New(io.Discard, "", 0)}
	served := make(chan error, 1)
	go func() { served <- web.Serve(l) }()
	transport := &http.Transport{DialContext: l.dial}
	ts = &testServer{t: t, base: "http://pipe/engine.io/", client: &http.Client{Transport: transport}, srv: srv}
	return ts, func() {
		_ = srv.Close()
		transport.CloseIdleConnections()
		_ = web.Close()
		<-served
		requireNothingLeft(t, srv)
	}
}

// anyQuery returns the query of a WebSocket handshake: mode&1 means revision 3, and mode&2 means the upgrade of a
// session.
func (ts *testServer) anyQuery(mode uint8) string {
	rev := engineio.Revision4 - engineio.Revision(mode&1)
	if mode&2 != 0 {
		return strings.Replace(ts.openPolling(rev).query, "polling", "websocket", 1)
	}
	return fmt.Sprintf("EIO=%d&transport=websocket", rev)
}

// FuzzUpgradeHeaders adds any bytes to the header of a WebSocket handshake, for a new session and for an upgrade. The
// server must respond soon, with an expected status and with expected header fields only.
// Advisories: GHSA-5v72-xg48-5rpm, CVE-2021-32640, CVE-2024-37890
func FuzzUpgradeHeaders(f *testing.F) {
	for _, s := range []string{
		"", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits", "Sec-WebSocket-Extensions: ,;=,;=\r\nSec-WebSocket-Extensions: constructor",
		"Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=\"10\\\"", "Sec-WebSocket-Protocol: a, b\r\nSec-WebSocket-Protocol:", "Sec-WebSocket-Protocol: a\tb",
		"Origin: https://evil.example", "Origin: null", "Connection: keep-alive, Upgrade", "Upgrade: h2c", "Upgrade: websocket, websocket", "Sec-WebSocket-Version: 99",
		"Sec-WebSocket-Key: short", "Content-Length: 5", "Transfer-Encoding: chunked", "Host: other", "Expect: 100-continue", "X-Forwarded-Host: a, b", "\r\n\r\nGET / HTTP/1.1\r\n", "Cookie: \x00",
		" folded", "a:b\nc:d", "Sec-WebSocket-Extensions: " + strings.Repeat("permessage-deflate;", 200), strings.Repeat("X-A: b\r\n", 500),
	} {
		for _, mode := range []uint8{0, 1, 2, 3} {
			f.Add([]byte(s), mode)
		}
	}
	statuses := []int{101, 200, 400, 403, 404, 405, 413, 417, 426, 431, 500, 501, 505}
	names := []string{
		"Upgrade", "Connection", "Sec-Websocket-Accept", "Sec-Websocket-Protocol", "Sec-Websocket-Extensions", "Sec-Websocket-Version",
		"Content-Type", "Content-Length", "Date", "Cache-Control", "X-Content-Type-Options", "Allow", "Transfer-Encoding",
	}
	f.Fuzz(func(t *testing.T, header []byte, mode uint8) {
		ts, stop := pipeSite(t, idle)
		line, rest, _ := strings.Cut(ts.handshakeText(ts.anyQuery(mode)), "\r\n")
		conn := ts.dial()
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		sent := make(chan struct{})
		go func() {
			defer close(sent)
			writePieces(conn, []byte(line+"\r\n"+string(header)+"\r\n"+rest), 4096)
		}()
		r := bufio.NewReader(conn)
		resp, err := http.ReadResponse(r, nil)
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			t.Error("no answer")
		case err == nil:
			if !slices.Contains(statuses, resp.StatusCode) {
				t.Errorf("status %d", resp.StatusCode)
			}
			for name, values := range resp.Header {
				if !slices.Contains(names, name) || len(strings.Join(values, "")) > len(header)+100 {
					t.Errorf("%s: %q", name, values)
				}
			}
		}
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, _ = io.Copy(io.Discard, r) // until the end of the connection
		}()
		stop()
		_ = conn.Close()
		<-sent
		<-drained
	})
}

func writePieces(conn net.Conn, data []byte, size int) {
	for len(data) > 0 {
		n, err := conn.Write(data[:min(size, len(data))])
		if err != nil {
			return // the server has closed the connection
		}
		data = data[n:]
	}
}
