package interop

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio"
)

// saying is one observation of a server: the value of one field in one step of a script.
type saying struct{ step, field, value string }

// caller sends raw bytes to a server and records the responses. It never fails: it records errors too.
type caller struct {
	addr     string
	patience time.Duration // bounds each wait
	notes    []saying
	conns    []net.Conn

	rev   engineio.Revision // of the session that was opened last
	sid   string
	query string // of its requests by polling
}

// patience bounds each wait of a caller. A wait reaches it only if the servers differ.
const patience = 10 * time.Second

func (c *caller) note(step, field, value string) {
	c.notes = append(c.notes, saying{step, field, c.blank(value)})
}

// aSID finds the session ID in an open packet. JSONP puts the packet into a string and escapes its quotes.
var aSID = regexp.MustCompile(`"sid\\?":\\?"([\w-]+)`)

// blank replaces the session ID, which differs between sessions.
func (c *caller) blank(s string) string {
	if found := aSID.FindStringSubmatch(s); found != nil {
		s = strings.ReplaceAll(s, found[1], "SID")
	}
	if c.sid != "" {
		s = strings.ReplaceAll(s, c.sid, "SID")
	}
	return s
}

// close closes all connections of the script.
func (c *caller) close() {
	for _, conn := range c.conns {
		_ = conn.Close()
	}
}

// control sends a command to the server that is not part of the protocol, and returns the response.
func (c *caller) control(what string) string {
	resp, err := http.Get("http://" + c.addr + "/control/" + what)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = resp.Body.Close() }()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err.Error()
	}
	return string(body)
}

type controlState struct {
	Sessions int `json:"sessions"`
	Polls    int `json:"polls"`
}

// awaitState waits until the server's state is want, for at most silence, and records the last state.
func (c *caller) awaitState(step string, want controlState) {
	var have controlState
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(silence); time.Now().Before(end); <-tick.C {
		if json.Unmarshal([]byte(c.control("state")), &have) == nil && have == want {
			break
		}
	}
	c.note(step, "sessions", strconv.Itoa(have.Sessions))
	c.note(step, "polls", strconv.Itoa(have.Polls))
}

// request returns a request as text. header holds pairs of name and value.
func (c *caller) request(method, query, body string, header ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s /engine.io/?%s HTTP/1.1\r\nHost: %s\r\n", method, query, c.addr)
	for i := 0; i+1 < len(header); i += 2 {
		fmt.Fprintf(&b, "%s: %s\r\n", header[i], header[i+1])
	}
	if body != "" {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
	}
	return b.String() + "\r\n" + body
}

// pending is a request that was sent.
type pending struct {
	c      *caller
	method string
	conn   net.Conn
	r      *bufio.Reader
}

// begin sends bytes on a new connection.
func (c *caller) begin(raw string) *pending {
	p := &pending{c: c}
	p.method, _, _ = strings.Cut(raw, " ")
	conn, err := net.DialTimeout("tcp", c.addr, c.patience)
	if err != nil {
		conn, _ = net.Pipe() // every use of it fails
		_ = conn.Close()
	} else {
		c.conns = append(c.conns, conn)
	}
	p.conn, p.r = conn, bufio.NewReader(conn)
	p.more(raw)
	return p
}

// more sends further bytes. It ignores errors, because the response shows whether the server took the bytes.
func (p *pending) more(raw string) {
	_ = p.conn.SetDeadline(time.Now().Add(p.c.patience))
	_, _ = io.WriteString(p.conn, raw)
}

// uncompared lists header fields that are not compared: the time, and the time for which the server keeps a connection.
var uncompared = []string{"Date", "Keep-Alive"}

// answer records the response, and whether the connection stays open.
func (p *pending) answer(step string) *http.Response {
	c := p.c
	resp, err := http.ReadResponse(p.r, &http.Request{Method: p.method})
	if err != nil {
		c.note(step, "status", "none: "+ended(err))
		return nil
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.note(step, "body", "broken: "+ended(err))
	}
	if found := aSID.FindSubmatch(body); found != nil {
		c.sid = string(found[1])
	}
	for _, cookie := range resp.Cookies() { // at a WebSocket the cookie comes before the open packet
		if strings.EqualFold(cookie.Name, "io") || cookie.Name == "srv" {
			c.sid = cookie.Value
		}
	}
	c.note(step, "status", strconv.Itoa(resp.StatusCode))
	resp.Header.Del("Connection")
	switch {
	case resp.Close:
		resp.Header.Set("Connection", "close")
	case resp.StatusCode == http.StatusSwitchingProtocols:
		resp.Header.Set("Connection", "upgrade")
	default: // the default of HTTP/1.1
		resp.Header.Set("Connection", "keep-alive")
	}
	for _, te := range resp.TransferEncoding {
		resp.Header.Add("Transfer-Encoding", te)
	}
	for name, values := range resp.Header {
		if name == "Set-Cookie" {
			values = attributesSorted(values)
		}
		if name == "Sec-Websocket-Extensions" { // the space is optional
			values = []string{strings.ReplaceAll(strings.Join(values, ","), "; ", ";")}
		}
		if !slices.Contains(uncompared, name) {
			c.note(step, name, strings.Join(values, " | "))
		}
	}
	if resp.StatusCode < http.StatusOK { // the connection goes on as a WebSocket
		return resp
	}
	c.note(step, "body", decoded(resp.Header.Get("Content-Encoding"), body))
	c.note(step, "connection", p.after(resp))
	return resp
}

// attributesSorted sorts the attributes of cookies. Their order has no meaning.
func attributesSorted(cookies []string) []string {
	var all []string
	for _, cookie := range cookies {
		parts := strings.Split(cookie, "; ")
		slices.Sort(parts[1:])
		all = append(all, strings.Join(parts, "; "))
	}
	return all
}

// decoded returns the uncompressed body, or the text of an error.
func decoded(encoding string, body []byte) string {
	var r io.Reader
	var err error
	switch encoding {
	case "":
		return string(body)
	case "gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		r, err = zlib.NewReader(bytes.NewReader(body))
	default:
		return "in an encoding that the client did not request"
	}
	if err == nil {
		body, err = io.ReadAll(r)
	}
	if err != nil {
		return err.Error()
	}
	return string(body)
}

// after returns "open" if the connection takes another request, and otherwise how it ended.
func (p *pending) after(resp *http.Response) string {
	if !resp.Close {
		p.more("GET /control/state HTTP/1.1\r\nHost: x\r\n\r\n")
		if resp, err := http.ReadResponse(p.r, nil); err != nil {
			return ended(err)
		} else if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return ended(err)
		}
		return "open"
	}
	_, err := io.Copy(io.Discard, p.r)
	return ended(err)
}

// ended describes the error of a read. All ways to close a connection have the same word.
func ended(err error) string {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return "silence"
	}
	return "closed"
}

// send sends raw bytes on a new connection and records the response.
func (c *caller) send(step, raw string) *http.Response { return c.begin(raw).answer(step) }

func (c *caller) ask(step, method, query, body string, header ...string) {
	c.send(step, c.request(method, query, body, header...))
}

// open opens a session by polling.
func (c *caller) open(rev engineio.Revision, extra ...string) {
	c.rev = rev
	c.query = strings.Join(append([]string{fmt.Sprintf("EIO=%d&transport=polling", rev)}, extra...), "&")
	c.ask(fmt.Sprint("open, revision ", rev), "GET", c.query, "")
	c.query += "&sid=" + c.sid
}

func (c *caller) poll(step string, header ...string) { c.ask(step, "GET", c.query, "", header...) }

// hold sends a poll and returns when the server holds it.
func (c *caller) hold() *pending {
	p := c.begin(c.request("GET", c.query, ""))
	c.awaitState("hold", controlState{Sessions: 1, Polls: 1})
	return p
}

func (c *caller) post(step, body string, header ...string) {
	c.ask(step, "POST", c.query, body, append([]string{"Content-Type", "text/plain;charset=UTF-8"}, header...)...)
}

// echo records whether a message comes back.
func (c *caller) echo(step string) {
	c.post(step+", sent", c.framed("4alive"))
	c.poll(step + ", back")
}

// framed returns packets of ASCII as a text payload of the session's revision.
func (c *caller) framed(packets ...string) string {
	if c.rev == engineio.Revision4 {
		return strings.Join(packets, "\x1e")
	}
	var b strings.Builder
	for _, p := range packets {
		fmt.Fprintf(&b, "%d:%s", len(p), p)
	}
	return b.String()
}

// handshake returns a WebSocket handshake as text.
func (c *caller) handshake(query string, header ...string) string {
	return c.request("GET", query, "", append([]string{
		"Connection", "Upgrade", "Upgrade", "websocket",
		"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==",
	}, header...)...)
}

// upgradeQuery returns the query of a WebSocket for the open session.
func (c *caller) upgradeQuery() string { return strings.Replace(c.query, "polling", "websocket", 1) }

// socket sends a WebSocket handshake and records the response.
func (c *caller) socket(step, query string, header ...string) *pending {
	p := c.begin(c.handshake(query, header...))
	p.answer(step)
	return p
}

// session opens a session on a WebSocket.
func (c *caller) session(rev engineio.Revision, extra ...string) *pending {
	c.rev = rev
	query := strings.Join(append([]string{fmt.Sprintf("EIO=%d&transport=websocket", rev)}, extra...), "&")
	p := c.socket(fmt.Sprint("handshake, revision ", rev), query)
	p.hear(fmt.Sprint("open packet, revision ", rev))
	c.query = strings.Replace(query, "websocket", "polling", 1) + "&sid=" + c.sid
	return p
}

// frame returns a client's frame with the given first byte.
func frame(first byte, body string) string {
	h := ws.Header{
		Fin: first&0x80 != 0, Rsv: first >> 4 & 7, OpCode: ws.OpCode(first & 15),
		Length: int64(len(body)), Masked: true, Mask: [4]byte{9, 8, 7, 6},
	}
	var b bytes.Buffer
	_ = ws.WriteHeader(&b, h) // cannot fail on a buffer
	data := []byte(body)
	ws.Cipher(data, h.Mask, 0)
	b.Write(data)
	return b.String()
}

// First bytes of unfragmented frames.
const (
	textFrame   = 0x81
	binaryFrame = 0x82
	closeFrame  = 0x88
	pingFrame   = 0x89
)

func (p *pending) say(text string) { p.more(frame(textFrame, text)) }

// hear records the next frame. It responds to a close frame as a client does, and records the end of the connection.
func (p *pending) hear(step string) {
	_ = p.conn.SetDeadline(time.Now().Add(p.c.patience))
	f, err := ws.ReadFrame(p.r)
	if err != nil {
		p.c.note(step, "frame", ended(err))
		return
	}
	compressed := ""
	if f.Header.Rsv1() {
		compressed = "compressed "
		z := flate.NewReader(strings.NewReader(string(f.Payload) + "\x00\x00\xff\xff"))
		f.Payload, _ = io.ReadAll(z) // ignored: the stream has no end
	}
	if found := aSID.FindSubmatch(f.Payload); found != nil {
		p.c.sid = string(found[1])
	}
	if f.Header.OpCode != ws.OpClose {
		p.c.note(step, "frame", fmt.Sprintf("%s%02x %q", compressed, byte(f.Header.OpCode)|f.Header.Rsv&3<<4, f.Payload))
		return
	}
	p.more(frame(closeFrame, string(f.Payload)))
	_, err = io.Copy(io.Discard, p.r)
	p.c.note(step, "frame", fmt.Sprintf("close %q, %s", f.Payload, ended(err)))
	_ = p.conn.Close() // the reference waits for the end of the connection
}
