//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	enc "encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/interop/interoptest"
	"github.com/bigcompany/mesh/mesh"
)

// memoryAllowance bounds the growth of a hub's memory under attack, in KB beyond its idle memory.
const memoryAllowance = 64 << 10

// attackers is the number of concurrent attackers.
const attackers = 64

// TestHubUnderAttack sends a hub garbage, half packets, endless bodies, 100 MB payloads and wrong methods while two
// nodes use it. Each attack gets the right response, the hub's memory stays bounded, and the attacks do not affect the
// nodes.
func TestHubUnderAttack(t *testing.T) {
	p := spawn(t, nil, "listen", "--addr", anyPort)
	hub := p.is()
	u, err := url.Parse(hub.url)
	require.NoError(t, err)
	target := target{host: u.Host, base: "http://" + u.Host + "/engine.io/"}

	stop := exchange(t, hub.url)
	idle := residentMemory(t, p.Cmd.Process.Pid)
	peak := watchMemory(t, p.Cmd.Process.Pid)
	for _, attack := range attacks {
		t.Run(attack.name, func(t *testing.T) {
			var wg sync.WaitGroup
			for range attackers {
				wg.Go(func() { attack.run(t, target) })
			}
			wg.Wait()
		})
	}
	highest := peak()
	t.Logf("resident memory: %d KB idle, %d KB at most under attack", idle, highest)
	interoptest.RequireMemory(t, memoryAllowance<<10, (highest-idle)<<10, "of a hub under attack")
	stop()
	p.Interrupt(os.Interrupt)
}

// exchange makes one node emit numbered events and another one receive them. The function that it returns ends that,
// and fails the test if an event was lost, duplicated or out of order.
func exchange(t *testing.T, hub string) func() {
	t.Helper()
	from, err := mesh.Connect(t.Context(), &mesh.Options{Addr: hub})
	require.NoError(t, err)
	to, err := mesh.Connect(t.Context(), &mesh.Options{Addr: hub})
	require.NoError(t, err)
	heard := make(chan string, 1<<16)
	to.On("n", func(e mesh.Event) { heard <- string(e.Payload) })
	require.NoError(t, to.Flush(t.Context()))
	ctx, cancel := context.WithCancel(t.Context())
	emitted := make(chan int)
	go func() {
		n := 0
		for ctx.Err() == nil && n < cap(heard) {
			if err := from.Emit("n", n); err != nil {
				t.Error(err)
				break
			}
			n++
			if err := from.Flush(t.Context()); err != nil { // the hub sets the pace
				t.Error(err)
				break
			}
		}
		emitted <- n
	}()
	return func() {
		cancel()
		n := <-emitted
		require.Positive(t, n)
		for i := range n {
			select {
			case got := <-heard:
				require.Equal(t, strconv.Itoa(i), got)
			case <-time.After(patience):
				t.Fatalf("event %d of %d was lost", i, n)
			}
		}
		require.NoError(t, from.Close())
		require.NoError(t, to.Close())
		t.Logf("%d events crossed the hub meanwhile", n)
	}
}

// residentMemory returns the resident memory of a process in KB.
func residentMemory(t *testing.T, pid int) int {
	t.Helper()
	kb, err := readResidentMemory(pid)
	require.NoError(t, err)
	return kb
}

func readResidentMemory(pid int) (kb int, err error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(status), "VmRSS:")
	_, err = fmt.Sscan(rest, &kb)
	return kb, err
}

// watchMemory measures until the caller calls the function that it returns. That function returns the highest resident
// memory in KB.
func watchMemory(t *testing.T, pid int) func() int {
	t.Helper()
	done, result := make(chan struct{}), make(chan int)
	go func() {
		highest := 0
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				if now, err := readResidentMemory(pid); err == nil {
					highest = max(highest, now)
				}
			case <-done:
				result <- highest
				return
			}
		}
	}()
	return func() int {
		close(done)
		return <-result
	}
}

type target struct{ host, base string }

// open opens a polling session and returns its URL.
func (h target) open(t *testing.T) string {
	status, body := h.do(t, http.MethodGet, h.base+"?EIO=4&transport=polling", "", nil)
	var opened struct{ SID string }
	if status != http.StatusOK || json.Unmarshal([]byte(strings.TrimPrefix(body, "0")), &opened) != nil {
		t.Errorf("no session: %d %s", status, body)
	}
	return h.base + "?EIO=4&transport=polling&sid=" + opened.SID
}

// do makes a request on a new connection.
func (h target) do(t *testing.T, method, url, contentType string, body io.Reader) (status int, answer string) {
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	r.Header.Set("Content-Type", contentType)
	r.Close = true
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err)
		return 0, ""
	}
	defer func() { _ = resp.Body.Close() }()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return resp.StatusCode, string(b)
}

// raw sends bytes on a new connection and returns the response. It then closes the sending half of the connection, also
// if send fails.
func (h target) raw(t *testing.T, send func(io.Writer) error) string {
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.host)
	if err != nil {
		t.Error(err)
		return ""
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	_ = send(conn) // the hub may close before it has read all bytes
	_ = conn.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(conn) // a reset after the response does not matter
	return string(answer)
}

const (
	hundredMB    = 100_000_000
	badRequest   = "HTTP/1.1 400 Bad Request"
	tooLarge     = "HTTP/1.1 413 Request Entity Too Large"
	wsHandshake  = "GET /engine.io/?EIO=4&transport=websocket HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
	unknownCode  = `{"code":0,"message":"Transport unknown"}`
	unknownSID   = `{"code":1,"message":"Session ID unknown"}`
	badHandshake = `{"code":2,"message":"Bad handshake method"}`
	badSession   = `{"code":3,"message":"Bad request"}`
)

// want checks a response. Any goroutine may call it.
func want(t *testing.T, what string, status, wantStatus int, body, wantBody string) {
	if status != wantStatus || body != wantBody {
		t.Errorf("%s: got %d %q, want %d %q", what, status, body, wantStatus, wantBody)
	}
}

var attacks = []struct {
	name string
	run  func(t *testing.T, h target)
}{
	{"wrong requests", func(t *testing.T, h target) {
		for _, tt := range []struct {
			method, query, body string
			status              int
		}{
			{http.MethodGet, "", unknownCode, 400},
			{http.MethodGet, "?EIO=4&transport=constructor", unknownCode, 400},
			{http.MethodGet, "?EIO=4&transport=polling&sid=__proto__", unknownSID, 400},
			{http.MethodPost, "?EIO=4&transport=polling", badHandshake, 400},
			{http.MethodPut, "?EIO=4&transport=polling", badHandshake, 400},
			{http.MethodDelete, "?EIO=4&transport=polling", badHandshake, 400},
			{http.MethodGet, "?EIO=4&transport=websocket", badSession, 400},
		} {
			status, body := h.do(t, tt.method, h.base+tt.query, "", nil)
			want(t, tt.method+" "+tt.query, status, tt.status, body, tt.body)
		}
		status, body := h.do(t, http.MethodPut, h.open(t), "", nil)
		want(t, "PUT to a session", status, 500, body, "")
	}},
	{"malformed packets", func(t *testing.T, h target) {
		for _, body := range []string{"", "x", "7", "\x1e", "4a\x1e", "\x1e4a", "b!", "\xff\xfe", "4\xff"} {
			status, answer := h.do(t, http.MethodPost, h.open(t), "text/plain", strings.NewReader(body))
			want(t, fmt.Sprintf("POST %q", body), status, 400, answer, "")
		}
	}},
	{"malformed mesh packets", func(t *testing.T, h target) {
		// The Engine.IO packets are valid, so the response is ok. The mesh rejects and counts their contents.
		for _, body := range []string{
			"4", "4x", "4{", "4null", `4{"event":1}`, `4{"event":"m","payload":`, `4{"event":"m","payload":null}x`,
			`4{"payload":1}`, `4{"event":"m","eventTable":[1,null]}`, "4" + strings.Repeat("[", 100_000), "bAAEC",
		} {
			status, answer := h.do(t, http.MethodPost, h.open(t), "text/plain", strings.NewReader(body))
			want(t, fmt.Sprintf("POST %.30q", body), status, 200, answer, "ok")
		}
	}},
	{"bytes that are no HTTP", func(t *testing.T, h target) {
		for _, b := range []string{"\x00\x01\x02\x03\r\n\r\n", "GET\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"} {
			answer := h.raw(t, func(w io.Writer) error {
				_, err := io.WriteString(w, b)
				return err
			})
			if !strings.HasPrefix(answer, badRequest) {
				t.Errorf("%q: got %q", b, answer)
			}
		}
	}},
	{"half requests", func(t *testing.T, h target) {
		session, err := url.Parse(h.open(t))
		if err != nil {
			t.Error(err)
			return
		}
		for _, b := range []string{
			"GET /engine.io/?EIO=4", "GET /engine.io/?EIO=4&transport=polling HTTP/1.1\r\nHost: x\r\n",
			"POST " + session.RequestURI() + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n4half",
			wsHandshake + "\x81\xfe\x10", wsHandshake + "\x01\x84abcd",
		} {
			h.raw(t, func(w io.Writer) error {
				_, err := io.WriteString(w, b)
				return err
			})
		}
	}},
	{"a payload of 100 MB", func(t *testing.T, h target) {
		session, err := url.Parse(h.open(t))
		if err != nil {
			t.Error(err)
			return
		}
		answer := h.raw(t, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n", session.RequestURI(), hundredMB)
			if err == nil {
				err = pour(w, hundredMB)
			}
			return err
		})
		// The hub responds and closes before it has read everything. The reset may overtake the response.
		if answer != "" && !strings.HasPrefix(answer, tooLarge) {
			t.Errorf("got %q", answer)
		}
	}},
	{"an endless chunked body", func(t *testing.T, h target) {
		session, err := url.Parse(h.open(t))
		if err != nil {
			t.Error(err)
			return
		}
		answer := h.raw(t, func(w io.Writer) error {
			_, err := fmt.Fprintf(w, "POST %s HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", session.RequestURI())
			chunk := []byte(fmt.Sprintf("%x\r\n%s\r\n", 64<<10, bytes.Repeat([]byte("4"), 64<<10)))
			for range hundredMB / len(chunk) { // enough to count as endless
				if err != nil {
					return err
				}
				_, err = w.Write(chunk)
			}
			return err
		})
		if answer != "" && !strings.HasPrefix(answer, tooLarge) {
			t.Errorf("got %q", answer)
		}
	}},
	{"a WebSocket frame of 100 MB", func(t *testing.T, h target) {
		frame := enc.BigEndian.AppendUint64([]byte{0x81, 0xff}, hundredMB)
		h.closes(t, 1009, func(w io.Writer) error {
			if _, err := w.Write(append(frame, 0, 0, 0, 0)); err != nil {
				return err
			}
			return pour(w, hundredMB)
		})
	}},
	{"a WebSocket message in endless fragments", func(t *testing.T, h target) {
		h.closes(t, 1009, func(w io.Writer) error {
			fragment := append([]byte{0x01, 0xfe, 0x40, 0, 0, 0, 0, 0}, bytes.Repeat([]byte("4"), 16<<10)...)
			for range hundredMB / len(fragment) {
				if _, err := w.Write(fragment); err != nil {
					return err
				}
				fragment[0] = 0x00
			}
			return nil
		})
	}},
	{"WebSocket frames that break the protocol", func(t *testing.T, h target) {
		for _, frame := range []string{
			"\x81\x01\x34",              // not masked
			"\xb1\x81\x00\x00\x00\x004", // RSV bits
			"\x83\x81\x00\x00\x00\x004", // a reserved opcode
			"\x80\x81\x00\x00\x00\x004", // a continuation of no message
			"\x81\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00\x00\x00\x00", // 2^64-1 bytes
			"\x89\xfe\x00\x7e\x00\x00\x00\x00",                         // a ping of 126 bytes
		} {
			h.closes(t, 1002, func(w io.Writer) error {
				_, err := io.WriteString(w, frame)
				return err
			})
		}
		h.closes(t, 1007, func(w io.Writer) error {
			_, err := io.WriteString(w, "\x81\x82\x00\x00\x00\x004\xff")
			return err
		})
	}},
}

// closes opens a WebSocket session, sends, and checks the code of the hub's close frame.
func (h target) closes(t *testing.T, code uint16, send func(io.Writer) error) {
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", h.host)
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(conn, wsHandshake); err != nil {
		t.Error(err)
		return
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		_ = send(conn) // the hub closes before it has read all bytes
	}()
	in := bufio.NewReader(conn)
	got, err := closeCode(in)
	_ = conn.Close()
	<-sent
	// With much data in flight, the reset may overtake the close frame.
	if err == nil && got != code {
		t.Errorf("got code %d, want %d", got, code)
	}
}

// closeCode reads up to the close frame and returns its code.
func closeCode(in *bufio.Reader) (uint16, error) {
	if _, err := http.ReadResponse(in, nil); err != nil {
		return 0, err
	}
	for {
		var head [2]byte
		if _, err := io.ReadFull(in, head[:]); err != nil {
			return 0, err
		}
		n := int(head[1]) // the hub's frames have no mask, and less than 64 KiB here
		if n == 126 {
			var size [2]byte
			if _, err := io.ReadFull(in, size[:]); err != nil {
				return 0, err
			}
			n = int(enc.BigEndian.Uint16(size[:]))
		}
		body := make([]byte, n)
		if _, err := io.ReadFull(in, body); err != nil {
			return 0, err
		}
		if head[0] == 0x88 {
			if n < 2 {
				return 0, nil
			}
			return enc.BigEndian.Uint16(body), nil
		}
	}
}

// pour writes n bytes.
func pour(w io.Writer, n int) error {
	block := bytes.Repeat([]byte("4"), 64<<10)
	for n > 0 {
		m, err := w.Write(block[:min(n, len(block))])
		if n -= m; err != nil {
			return err
		}
	}
	return nil
}
