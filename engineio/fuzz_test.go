package engineio

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// FuzzHTTP gives the server a request of any shape, once without a session and once with. It must answer with a status
// that it knows, keep nothing, and not panic.
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
		srv := NewServer(idle, &ServerOptions{
			Revisions: []Revision{3, 4}, MaxPayload: 1000, AllowedOrigins: []string{"https://good.example"},
			JSONP: true, Cookie: &http.Cookie{}, CompressionThreshold: 1,
		})
		for _, open := range []string{"EIO=3&transport=polling", "EIO=4&transport=polling", "EIO=3&transport=polling&j=1", "EIO=4&transport=polling&j=1"} {
			srv.ServeHTTP(httptest.NewRecorder(), request(context.Background(), "GET", open, nil))
		}
		ctx, cancel := context.WithCancel(context.Background())
		cancel() // no poll waits
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

// FuzzWebSocketBytes writes any bytes behind a WebSocket handshake, in pieces, over a pipe, which holds nothing back: as a
// session's transport and as an upgrade. The server must come to an end of them and keep nothing.
func FuzzWebSocketBytes(f *testing.F) {
	for _, s := range []string{
		"", masked(0x81, "4x"), masked(0x82, "\x04x"), masked(0x01, "4x") + masked(0x80, "y"), masked(0x81, "2probe") + masked(0x81, "5") + masked(0x81, "4x"),
		masked(0x89, "p") + masked(0x88, "\x03\xe8"), masked(0x81, "nonsense"), "\x81\xff\x80\x00\x00\x00\x00\x00\x00\x00mask", masked(0x82, strings.Repeat("x", 2000)),
		masked(0x81, "2"), masked(0x81, "3"), masked(0x81, "1"), masked(0x81, "0{}"), masked(0x81, "b4AAAA"), masked(0xc1, "4x"), masked(0x01, "") + masked(0x00, ""),
	} {
		for _, mode := range []uint8{0, 1, 2, 3} {
			f.Add([]byte(s), mode, uint8(3))
		}
	}
	largest := 0
	var mu sync.Mutex
	h := HandlerFunc(func(ctx context.Context, s *Socket) {
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
		srv := NewServer(h, &ServerOptions{Revisions: []Revision{3, 4}, MaxPayload: 1000, BufferLimit: 1 << 20})
		l := newPipeListener()
		web := &http.Server{Handler: srv}
		served := make(chan error, 1)
		go func() { served <- web.Serve(l) }()
		transport := &http.Transport{DialContext: l.dial}
		w := &site{t: t, base: "http://pipe/engine.io/", client: &http.Client{Transport: transport}, srv: srv}

		rev := "4"
		if mode&1 != 0 {
			rev = "3"
		}
		query := "EIO=" + rev + "&transport=websocket"
		if mode&2 != 0 {
			if a := w.ask("GET", "EIO="+rev+"&transport=polling", nil); a.status != 200 {
				t.Fatalf("handshake: %s", a.brief())
			}
			query += "&sid=" + srv.Sockets()[0].ID()
		}
		conn, err := l.dial(context.Background(), "", "")
		if err != nil {
			t.Fatal(err)
		}
		_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
		drained := make(chan struct{})
		go func() {
			defer close(drained)
			_, err := io.Copy(io.Discard, conn)
			if errors.Is(err, io.ErrNoProgress) {
				t.Error(err)
			}
		}()
		handshake := "GET /engine.io/?" + query + " HTTP/1.1\r\nHost: pipe\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		writePieces(conn, []byte(handshake), 200)
		writePieces(conn, data, int(piece)+1)
		_ = conn.Close()
		<-drained
		if mode&2 == 0 { // the session of an upgrade may live on with polling
			for start := time.Now(); len(srv.Sockets()) > 0; runtime.Gosched() {
				if time.Since(start) > 10*time.Second {
					t.Fatal("the session does not end")
				}
			}
		}
		_ = srv.Close()
		transport.CloseIdleConnections()
		_ = web.Close()
		<-served
		requireNothingLeft(t, srv)
		mu.Lock()
		defer mu.Unlock()
		if largest > 1000 {
			t.Errorf("a message of %d bytes passed the limit", largest)
		}
	})
}

func writePieces(conn net.Conn, data []byte, size int) {
	for len(data) > 0 {
		n, err := conn.Write(data[:min(size, len(data))])
		if err != nil {
			return // the server has heard enough
		}
		data = data[n:]
	}
}
