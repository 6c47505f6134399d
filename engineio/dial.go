package engineio

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/packet"
	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// Dial opens a session with the server at rawURL, an http, https, ws or wss URL. The URL's path is the path of the
// Engine.IO server (an empty path means /engine.io/), and its query is sent with each request. ctx bounds only the
// opening; the session lives until it is closed.
//
// If a response opens no session, the error is a *HandshakeError. If there is no response, it is the error of the HTTP
// client. If Dial tried several transports, the error joins the error of each.
func Dial(ctx context.Context, rawURL string, opts *DialOptions) (*Socket, error) {
	o := opts.withDefaults()
	if o.Revision != Revision3 && o.Revision != Revision4 {
		return nil, fmt.Errorf("engineio: there is no revision %d; use Revision3 or Revision4", o.Revision)
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	u, err := parseURL(rawURL)
	if err != nil {
		return nil, err
	}
	for _, t := range o.Transports {
		switch {
		case t == Polling, t == WebSocket:
		case t != WebTransport:
			return nil, fmt.Errorf("engineio: there is no transport %q; use Polling, WebSocket or WebTransport", t)
		case o.WebTransport == nil:
			return nil, errors.New("engineio: the transport WebTransport needs the option WebTransport")
		case o.Revision != Revision4:
			return nil, errors.New("engineio: the transport WebTransport is for Revision4")
		}
	}
	if o.HTTPClient != nil && o.HTTPClient.Timeout != 0 {
		return nil, errors.New("engineio: the HTTPClient has a Timeout, which would end every poll; bound Dial with its context")
	}
	c := newClient(u, &o)
	s, err := c.dial(ctx)
	if err != nil {
		c.release(true)
		return nil, err
	}
	return s, nil
}

// dial opens the session with the first transport that works.
func (c *client) dial(ctx context.Context) (*Socket, error) {
	order := c.opts.order()
	var failures []error
	for i, t := range order {
		s, err := c.attempt(ctx, t, i == len(order)-1)
		if err == nil {
			return s, nil
		}
		c.failed = append(c.failed, t)
		if len(order) > 1 {
			err = fmt.Errorf("%s: %w", t, err)
		}
		failures = append(failures, err)
		if ctx.Err() != nil {
			break
		}
	}
	if len(failures) == 1 {
		return nil, failures[0]
	}
	return nil, errors.Join(failures...)
}

// order returns the transports to try, in this order.
func (o *DialOptions) order() []Transport {
	order := o.Transports
	if !o.TryAllTransports {
		order = order[:1]
	}
	if slices.Contains(o.Transports, WebSocket) && o.Hint.webSocketWorks() {
		// If the WebSocket has stopped working since, the session opens as without the hint.
		rest := slices.DeleteFunc(slices.Clone(order), func(t Transport) bool { return t == WebSocket })
		order = append([]Transport{WebSocket}, rest...)
	}
	return order
}

func (c *client) attempt(ctx context.Context, t Transport, last bool) (*Socket, error) {
	if !last {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, c.opts.UpgradeTimeout)
		defer cancel()
	}
	if t == Polling {
		return c.openPolling(ctx)
	}
	s, err := c.openStream(ctx, t)
	if t == WebSocket {
		c.recordHint(err == nil)
	}
	return s, err
}

func parseURL(raw string) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil {
		return nil, errors.New("engineio: the URL cannot be parsed") // the error of url.Parse may quote a password
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
	// Stock servers respond only to the path with the trailing slash.
	u.Path = strings.TrimSuffix(u.Path, "/") + "/"
	if u.Path == "/" {
		u.Path = DefaultPath + "/"
	}
	u.Fragment = ""
	return u, nil
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
	var better []Transport
	for _, t := range []Transport{WebTransport, WebSocket} {
		if slices.Contains(upgrades, t) && c.mayUpgrade(t) {
			better = append(better, t)
		}
	}
	if len(better) > 0 {
		c.wg.Go(func() { s.upgrade(better) })
	}
	return s, nil
}

func (c *client) mayUpgrade(t Transport) bool {
	return !c.opts.NoUpgrade && slices.Contains(c.opts.Transports, t) && !slices.Contains(c.failed, t)
}

// dialStream opens a stream for the session by a transport other than polling.
func (c *client) dialStream(ctx context.Context, t Transport) (*wire.Stream, error) {
	if t == WebTransport {
		return c.dialWebTransport(ctx)
	}
	return c.dialWebSocket(ctx)
}

// openStream opens the session on a stream.
func (c *client) openStream(ctx context.Context, t Transport) (*Socket, error) {
	conn, err := c.dialStream(ctx, t)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	p, err := conn.ReadPacket()
	if !stop() {
		conn.Close()
		return nil, fmt.Errorf("engineio: %w", context.Cause(ctx))
	}
	if err != nil {
		conn.End(err)
		return nil, &HandshakeError{Code: -1, Message: fmt.Sprintf("the stream by %s opened no session: %v", t, err)}
	}
	s, _, err := c.open(p, t)
	if err != nil {
		conn.End(nil)
		return nil, err
	}
	s.setStream(conn)
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
	c.maxPackets = packet.MaxPackets
	if bytes.Index(p.Data, []byte(`"pingTimeout"`)) < bytes.Index(p.Data, []byte(`"pingInterval"`)) {
		c.maxPackets = pythonMaxPackets // only python-engineio writes them in this order
	}
	c.conf.pingInterval = milliseconds(h.PingInterval)
	c.conf.pingTimeout = milliseconds(h.PingTimeout)
	s := newSocket(context.Background(), h.SID, c.opts.Revision, t, c.conf)
	s.client, s.base64 = c, c.opts.Base64
	return s, h.Upgrades, nil
}

// milliseconds converts a time that a server announces. It limits the time to a day, so that sums do not overflow.
func milliseconds(n int64) time.Duration {
	return time.Duration(min(n, int64(24*time.Hour/time.Millisecond))) * time.Millisecond
}

func (c *client) start(s *Socket) {
	c.wg.Add(1) // finish calls Done
	s.startHeartbeat()
}
