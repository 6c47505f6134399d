package engineio

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gobwas/ws"

	"github.com/bigcompany/mesh/engineio/packet"
)

// Dial opens a session with the server at rawURL: an http, https, ws or wss URL, whose path says where Engine.IO answers
// (none means /engine.io/) and whose query is sent along with each request. ctx bounds the opening only; the session
// lives until it is closed.
//
// An answer that opens no session gives a *HandshakeError; no answer gives the error of the HTTP client.
func Dial(ctx context.Context, rawURL string, opts *DialOptions) (*Socket, error) {
	o := opts.withDefaults()
	if o.Revision != Revision3 && o.Revision != Revision4 {
		return nil, fmt.Errorf("engineio: there is no revision %d; use Revision3 or Revision4", o.Revision)
	}
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	for _, t := range o.Transports {
		if t != Polling && t != WebSocket {
			return nil, fmt.Errorf("engineio: there is no transport %q; use Polling or WebSocket", t)
		}
	}
	c := newClient(u, &o)
	var s *Socket
	if o.Transports[0] == Polling {
		s, err = c.openPolling(ctx)
	} else {
		s, err = c.openWebSocket(ctx)
	}
	if err != nil {
		c.release()
		return nil, err
	}
	return s, nil
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("engineio: the URL cannot be parsed") // what url.Parse says may quote a password
	}
	switch u.Scheme {
	case "ws":
		u.Scheme = "http"
	case "wss":
		u.Scheme = "https"
	case "http", "https":
	default:
		return nil, fmt.Errorf("engineio: the URL's scheme is %q, not http, https, ws or wss", u.Scheme)
	}
	if u.Host == "" {
		return nil, errors.New("engineio: the URL names no host")
	}
	// Stock servers answer with the slash only.
	u.Path = strings.TrimSuffix(u.Path, "/") + "/"
	if u.Path == "/" {
		u.Path = DefaultPath + "/"
	}
	u.Fragment = ""
	return u, nil
}

// client is what a client's Socket has beyond a server's.
type client struct {
	url    *url.URL
	opts   *DialOptions
	conf   *config // its times of pings are fixed once open
	http   *http.Client
	own    *http.Transport // if the HTTP client is this session's own
	ctx    context.Context // of all requests of the session
	cancel context.CancelFunc

	sid        string // fixed once open
	maxPayload int    // of the server: bytes of one POST; 0: not told
	requests   atomic.Uint64
	wg         sync.WaitGroup

	pings, pongs uint64 // ever sent and received; guarded by the Socket's lock
}

func newClient(u *url.URL, o *DialOptions) *client {
	c := &client{url: u, opts: o, http: o.HTTPClient}
	if c.http == nil {
		c.own = http.DefaultTransport.(*http.Transport).Clone()
		c.http = &http.Client{Transport: c.own}
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.conf = &config{
		upgradeTimeout: o.UpgradeTimeout,
		writeTimeout:   o.WriteTimeout,
		maxPayload:     o.MaxPayload,
		queueLimit:     o.QueueLimit,
		log:            o.Logger,
		wg:             &c.wg,
	}
	return c
}

// release frees what the session held, when it has ended.
func (c *client) release() {
	c.cancel()
	if c.own != nil {
		c.own.CloseIdleConnections()
	}
}

// wait waits for the session's goroutines. The one in Read is not among them.
func (c *client) wait() { c.wg.Wait() }

// request makes a request of the session, or of its handshake.
func (c *client) request(ctx context.Context, method string, t Transport, body io.Reader) (*http.Request, error) {
	u := *c.url
	q := u.Query()
	q.Set("EIO", strconv.Itoa(int(c.opts.Revision)))
	q.Set("transport", string(t))
	if c.sid != "" {
		q.Set("sid", c.sid)
	}
	if t == Polling { // keeps caches from answering; not of the form that old clients are known by
		q.Set("t", strconv.FormatInt(time.Now().UnixMilli(), 36)+strconv.FormatUint(c.requests.Add(1), 36))
	}
	u.RawQuery = q.Encode()
	r, err := http.NewRequestWithContext(ctx, method, u.String(), body)
	if err != nil {
		return nil, fmt.Errorf("engineio: %w", err)
	}
	for k, v := range c.opts.Header {
		r.Header[k] = slices.Clone(v)
	}
	return r, nil
}

// do makes a request. Its error does not show the query, in which the sid stands, and perhaps what the user put there.
func (c *client) do(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		failed.URL, _, _ = strings.Cut(failed.URL, "?")
	}
	return resp, err
}

// openPolling opens the session with a poll.
func (c *client) openPolling(ctx context.Context) (*Socket, error) {
	r, err := c.request(ctx, http.MethodGet, Polling, nil)
	if err != nil {
		return nil, err
	}
	packets, err := c.roundTrip(r)
	if err != nil {
		if status, ok := errors.AsType[*statusError](err); ok {
			return nil, status.handshakeError()
		}
		var syntax *packet.SyntaxError
		if errors.As(err, &syntax) || errors.Is(err, ErrTooLarge) {
			return nil, &HandshakeError{Status: http.StatusOK, Code: -1, Message: "the answer is no Engine.IO payload: " + err.Error()}
		}
		return nil, fmt.Errorf("engineio: %w", err)
	}
	s, upgrades, err := c.open(packets[0], Polling)
	if err != nil {
		return nil, err
	}
	s.inbox = packets[1:]
	c.start(s)
	if !c.opts.NoUpgrade && slices.Contains(c.opts.Transports, WebSocket) && slices.Contains(upgrades, WebSocket) {
		c.wg.Go(func() { s.upgrade() })
	}
	return s, nil
}

// openWebSocket opens the session on a WebSocket.
func (c *client) openWebSocket(ctx context.Context) (*Socket, error) {
	conn, err := c.dialWebSocket(ctx)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { _ = conn.conn.Close() })
	p, err := conn.readPacket()
	if !stop() {
		_ = conn.conn.Close()
		return nil, fmt.Errorf("engineio: %w", context.Cause(ctx))
	}
	if err != nil {
		conn.end(err)
		return nil, &HandshakeError{Status: http.StatusSwitchingProtocols, Code: -1, Message: "the WebSocket opened no session: " + err.Error()}
	}
	s, _, err := c.open(p, WebSocket)
	if err != nil {
		conn.end(nil)
		return nil, err
	}
	s.adopt(conn)
	c.start(s)
	return s, nil
}

// open makes the session that an open packet describes.
func (c *client) open(p packet.Packet, t Transport) (*Socket, []Transport, error) {
	bad := func(what string) error {
		return &HandshakeError{Status: http.StatusOK, Code: -1, Message: what}
	}
	if p.Type != packet.Open {
		return nil, nil, bad(fmt.Sprintf("the first packet has type %d and opens no session", p.Type))
	}
	var h handshake
	if err := json.Unmarshal(p.Data, &h); err != nil {
		return nil, nil, bad("the open packet is no JSON: " + err.Error())
	}
	if h.SID == "" || h.PingInterval <= 0 || h.PingTimeout <= 0 {
		return nil, nil, bad("the open packet lacks sid, pingInterval or pingTimeout")
	}
	c.sid, c.maxPayload = h.SID, max(0, h.MaxPayload)
	c.conf.pingInterval = milliseconds(h.PingInterval)
	c.conf.pingTimeout = milliseconds(h.PingTimeout)
	s := newSocket(context.Background(), h.SID, c.opts.Revision, t, c.conf)
	s.client = c
	return s, h.Upgrades, nil
}

// milliseconds bounds what a server may ask for, so that sums do not overflow.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(n, int64(24*time.Hour/time.Millisecond))) * time.Millisecond
}

func (c *client) start(s *Socket) {
	c.wg.Add(1) // given back by finish
	s.startHeartbeat()
}

// dialWebSocket makes a WebSocket handshake through the HTTP client, and so through its proxy, TLS and cookies.
func (c *client) dialWebSocket(ctx context.Context) (*wsConn, error) {
	r, err := c.request(ctx, http.MethodGet, WebSocket, nil)
	if err != nil {
		return nil, err
	}
	var nonce [16]byte
	_, _ = rand.Read(nonce[:]) // never fails
	key := base64.StdEncoding.EncodeToString(nonce[:])
	r.Header.Set("Connection", "Upgrade")
	r.Header.Set("Upgrade", "websocket")
	r.Header.Set("Sec-WebSocket-Version", "13")
	r.Header.Set("Sec-WebSocket-Key", key)
	resp, err := c.do(r)
	if err != nil {
		return nil, fmt.Errorf("engineio: %w", err)
	}
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if resp.StatusCode != http.StatusSwitchingProtocols || !ok {
		defer func() { _ = resp.Body.Close() }()
		return nil, readStatus(resp).handshakeError()
	}
	if !strings.EqualFold(resp.Header.Get("Upgrade"), "websocket") || resp.Header.Get("Sec-WebSocket-Accept") != acceptKey(key) {
		_ = conn.Close()
		return nil, &HandshakeError{Status: resp.StatusCode, Code: -1, Message: "the answer to the WebSocket handshake does not fit"}
	}
	return newWSConn(conn, c.opts.Revision, ws.StateClientSide, c.conf), nil
}

// statusError is an answer that is no 200.
type statusError struct {
	status  int
	code    int // of Engine.IO, or -1
	message string
}

func (e *statusError) Error() string {
	return fmt.Sprintf("the server answered with HTTP status %d: %s", e.status, e.message)
}

func (e *statusError) handshakeError() *HandshakeError {
	return &HandshakeError{Status: e.status, Code: e.code, Message: e.message}
}

// errorBodyLimit bounds what is read of an error's body, in bytes.
const errorBodyLimit = 4 << 10

func readStatus(resp *http.Response) *statusError {
	e := &statusError{status: resp.StatusCode, code: -1}
	body, _ := io.ReadAll(io.LimitReader(resp.Body, errorBodyLimit)) // what came is what there is to say
	var refusal struct {
		Code    *int
		Message string
	}
	if json.Unmarshal(body, &refusal) == nil && refusal.Code != nil {
		e.code, e.message = *refusal.Code, refusal.Message
		return e
	}
	e.message = strings.Join(strings.Fields(string(body)), " ")
	if strings.HasPrefix(e.message, "<") { // a page helps nobody in an error
		e.message = http.StatusText(resp.StatusCode) + " (a page of HTML)"
	}
	if code := slices.Index(codeMessages[:], e.message); code >= 0 {
		e.code = code // the answer to a WebSocket handshake is plain text
	}
	if len(e.message) > 200 {
		e.message = e.message[:200] + "…"
	}
	if e.message == "" {
		e.message = http.StatusText(resp.StatusCode)
	}
	return e
}

// roundTrip makes a poll.
func (c *client) roundTrip(r *http.Request) ([]packet.Packet, error) {
	resp, err := c.do(r)
	if err != nil {
		return nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return nil, readStatus(resp)
	}
	body, err := readBody(io.LimitReader(resp.Body, int64(c.opts.MaxPayload)+1), c.opts.MaxPayload, func(int) error { return nil })
	if err != nil {
		return nil, err
	}
	if len(body) > c.opts.MaxPayload {
		return nil, ErrTooLarge
	}
	enc := packet.Text
	if mediaType, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); mediaType == typeBinary && c.opts.Revision == Revision3 {
		enc = packet.Binary
	}
	return packet.ParsePayload(c.opts.Revision, enc, body)
}
