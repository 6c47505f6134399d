package interop

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/interop/interoptest"
)

// startEcho runs examples/echo in both revisions and returns its address.
func startEcho(t testing.TB, args ...string) string {
	t.Helper()
	exe, err := build("./examples/echo")
	require.NoError(t, err)
	cmd := exec.Command(exe, append([]string{"--addr", "127.0.0.1:0", "--revisions", "3,4"}, args...)...)
	said, err := cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	r := bufio.NewReader(said)
	line, err := r.ReadString('\n')
	require.NoError(t, err)
	go func() { _, _ = io.Copy(io.Discard, r) }()
	return regexp.MustCompile(`https?://([^/]+)`).FindStringSubmatch(line)[1]
}

// occupy keeps both cores busy until t ends.
func occupy(t testing.TB) {
	for range 2 {
		cmd := exec.Command("sh", "-c", "while :; do :; done")
		require.NoError(t, cmd.Start())
		t.Cleanup(func() {
			_ = cmd.Process.Kill()
			_ = cmd.Wait()
		})
	}
}

// racer is a client that has several connections open, so that it can use two of them at once.
type racer struct {
	t    *testing.T
	addr string
	rev  engineio.Revision
	a, b *racerConn // idle between the steps
	sid  string
}

type racerConn struct {
	net.Conn
	r *bufio.Reader
}

func (c *racer) dial() *racerConn {
	conn, err := net.Dial("tcp", c.addr)
	require.NoError(c.t, err)
	_ = conn.SetDeadline(time.Now().Add(time.Minute)) // on a broken connection the next read fails
	return &racerConn{conn, bufio.NewReader(conn)}
}

// begin opens a session and leaves two idle connections.
func (c *racer) begin() {
	c.a, c.b = c.dial(), c.dial()
	c.sid = ""
	c.get(c.a)
	body := c.hear(c.a).body
	var open struct{ SID string }
	_, handshake, found := strings.Cut(body, "0{")
	require.True(c.t, found, body)
	require.NoError(c.t, json.NewDecoder(strings.NewReader("{"+handshake)).Decode(&open), body)
	c.sid = open.SID
	c.say(c.b, "GET", "EIO=4&transport=none", "")
	require.Equal(c.t, http.StatusBadRequest, c.hear(c.b).status)
}

func (c *racer) end() {
	_ = c.a.Close()
	_ = c.b.Close()
}

func (c *racer) query(transport string) string {
	q := fmt.Sprintf("EIO=%d&transport=%s&b64=1", c.rev, transport)
	if c.sid != "" {
		q += "&sid=" + c.sid
	}
	return q
}

func (c *racer) say(conn *racerConn, method, query, body string) {
	text := fmt.Sprintf("%s /engine.io/?%s HTTP/1.1\r\nHost: x\r\n", method, query)
	if method == "POST" {
		text += fmt.Sprintf("Content-Type: text/plain;charset=UTF-8\r\nContent-Length: %d\r\n", len(body))
	}
	_, err := io.WriteString(conn, text+"\r\n"+body)
	require.NoError(c.t, err)
}

func (c *racer) get(conn *racerConn) { c.say(conn, "GET", c.query("polling"), "") }
func (c *racer) post(conn *racerConn, text string) {
	c.say(conn, "POST", c.query("polling"), c.payload(text))
}

// payload frames one packet.
func (c *racer) payload(text string) string {
	if c.rev == engineio.Revision3 {
		return fmt.Sprintf("%d:%s", len(text), text)
	}
	return text
}

type racerAnswer struct {
	status int
	body   string
}

func (c *racer) hear(conn *racerConn) racerAnswer {
	resp, err := http.ReadResponse(conn.r, nil)
	require.NoError(c.t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(c.t, err)
	return racerAnswer{resp.StatusCode, string(body)}
}

// upgrade opens the probing stream.
func (c *racer) upgrade() *racerConn {
	ws := c.dial()
	_, err := fmt.Fprintf(ws, "GET /engine.io/?%s HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n", c.query("websocket"))
	require.NoError(c.t, err)
	resp, err := http.ReadResponse(ws.r, nil)
	require.NoError(c.t, err)
	require.Equal(c.t, http.StatusSwitchingProtocols, resp.StatusCode)
	return ws
}

func (c *racer) send(ws *racerConn, texts ...string) {
	var b strings.Builder
	for _, text := range texts {
		b.WriteString(frame(textFrame, text))
	}
	_, err := io.WriteString(ws, b.String())
	require.NoError(c.t, err)
}

// receive reads a short text frame.
func (c *racer) receive(ws *racerConn) string {
	head := make([]byte, 2)
	_, err := io.ReadFull(ws.r, head)
	require.NoError(c.t, err)
	body := make([]byte, head[1])
	_, err = io.ReadFull(ws.r, body)
	require.NoError(c.t, err)
	return string(body)
}

// TestTwoConnectionsOfOneClient: a client that uses two connections at once knows which request it sent first. The
// server must handle them in that order, as the single-threaded reference does. The protocol's own test suites depend
// on it.
func TestTwoConnectionsOfOneClient(t *testing.T) {
	tries := 25
	if interoptest.Full() {
		tries = 1000
		occupy(t)
	}
	addr := startEcho(t)
	races := []struct {
		name string
		run  func(t *testing.T, c *racer)
	}{
		{"a poll and then a close packet", func(t *testing.T, c *racer) {
			c.get(c.a)
			c.post(c.b, "1")
			require.Equal(t, racerAnswer{200, c.payload("6")}, c.hear(c.a))
			require.Equal(t, racerAnswer{200, "ok"}, c.hear(c.b))
			c.get(c.a)
			require.Equal(t, 400, c.hear(c.a).status, "no second poll gets it")
		}},
		{"a poll on a new connection and then a close packet", func(t *testing.T, c *racer) {
			fresh := c.dial()
			defer func() { _ = fresh.Close() }()
			c.get(fresh)
			c.post(c.b, "1")
			require.Equal(t, racerAnswer{200, c.payload("6")}, c.hear(fresh))
			require.Equal(t, racerAnswer{200, "ok"}, c.hear(c.b))
		}},
		{"5 and then a poll", func(t *testing.T, c *racer) {
			ws := c.upgrade()
			defer func() { _ = ws.Close() }()
			c.send(ws, "2probe")
			require.Equal(t, "3probe", c.receive(ws))
			c.send(ws, "5")
			c.get(c.b)
			require.Equal(t, 400, c.hear(c.b).status)
			c.send(ws, "4hello")
			require.Equal(t, "4hello", c.receive(ws))
		}},
		{"2probe and 5 and then a poll", func(t *testing.T, c *racer) {
			ws := c.upgrade()
			defer func() { _ = ws.Close() }()
			c.send(ws, "2probe", "5")
			c.get(c.b)
			require.Equal(t, 400, c.hear(c.b).status)
			require.Equal(t, "3probe", c.receive(ws))
			c.send(ws, "4hello")
			require.Equal(t, "4hello", c.receive(ws))
		}},
		{"5 and then a POST", func(t *testing.T, c *racer) {
			ws := c.upgrade()
			defer func() { _ = ws.Close() }()
			c.send(ws, "2probe")
			require.Equal(t, "3probe", c.receive(ws))
			c.send(ws, "5")
			c.post(c.b, "4posted")
			require.Equal(t, 400, c.hear(c.b).status)
			c.send(ws, "4hello")
			require.Equal(t, "4hello", c.receive(ws))
		}},
		{"3probe and then a poll", func(t *testing.T, c *racer) {
			ws := c.upgrade()
			defer func() { _ = ws.Close() }()
			c.send(ws, "2probe")
			require.Equal(t, "3probe", c.receive(ws))
			c.get(c.b)
			require.Equal(t, racerAnswer{200, c.payload("6")}, c.hear(c.b))
			c.send(ws, "5", "4hello")
			require.Equal(t, "4hello", c.receive(ws))
		}},
	}
	for _, race := range races {
		for _, rev := range []engineio.Revision{engineio.Revision3, engineio.Revision4} {
			t.Run(fmt.Sprintf("%s, revision %d", race.name, rev), func(t *testing.T) {
				for range tries {
					c := &racer{t: t, addr: addr, rev: rev}
					c.begin()
					race.run(t, c)
					c.end()
				}
			})
		}
	}
}
