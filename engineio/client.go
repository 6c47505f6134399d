package engineio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio/internal/wire"
)

// client is the part of a Socket that only a client has.
type client struct {
	url    *url.URL // constant once open
	opts   *DialOptions
	conf   *config // its heartbeat times are constant once open
	http   http.Client
	own    *http.Transport // used by this session only; nil if requests go through another kind of http.RoundTripper
	failed []Transport     // the transports that failed to open the session
	ctx    context.Context // parent of the contexts of all requests
	cancel context.CancelFunc

	sid        string // constant once open
	maxPayload int    // of the server: bytes of one POST; 0 if unknown
	maxPackets int    // of the server: packets of one POST
	requests   atomic.Uint64
	doubleUTF8 atomic.Bool // with Base64: the server encodes text in UTF-8 twice (parser 1.x)
	wg         sync.WaitGroup

	pings, pongs uint64 // total numbers of sent pings and received pongs; guarded by the Socket's lock
}

func newClient(u *url.URL, o *DialOptions) *client {
	c := &client{url: u, opts: o}
	c.http, c.own = sessionClient(o.HTTPClient)
	c.http.CheckRedirect = c.checkRedirect
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.conf = &config{
		upgradeTimeout: o.UpgradeTimeout,
		wire:           wire.Config{MaxPayload: o.MaxPayload, CompressFrom: defaultCompressionThreshold, WriteTimeout: o.WriteTimeout},
		queueLimit:     o.QueueLimit,
		smallQueue:     min(freeAllowance, o.QueueLimit/4),
		log:            o.Logger,
		timers:         new(timers),
		wg:             &c.wg,
	}
	return c
}

// sessionClient returns the HTTP client of one session, with the settings of given, which may be nil. No session uses
// the connections of another: net/http reuses a dead connection for further requests, with HTTP/2 until the system
// gives the connection up. So each session has a copy of the transport, unless the transport is not an *http.Transport.
func sessionClient(given *http.Client) (http.Client, *http.Transport) {
	var c http.Client
	if given == nil {
		c.Jar, _ = cookiejar.New(nil) // never fails
	} else {
		c = *given
	}
	var own *http.Transport
	switch t := c.Transport.(type) {
	case *http.Transport:
		own = t.Clone()
	case nil:
		if standard, ok := http.DefaultTransport.(*http.Transport); ok {
			own = standard.Clone()
		} else if given == nil {
			own = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true}
		}
	}
	if own != nil {
		c.Transport = own
		if own.HTTP2 == nil {
			own.HTTP2 = new(http.HTTP2Config)
		}
		if own.HTTP2.SendPingTimeout == 0 {
			own.HTTP2.SendPingTimeout = silenceTimeout
		}
	}
	return c, own
}

// silenceTimeout is the silence after which net/http tests an HTTP/2 connection. Otherwise a dead connection of an
// ended session would last until the system gives it up.
const silenceTimeout = 30 * time.Second

// recordHint records whether a WebSocket worked. It ignores a failure that the end of the session caused.
func (c *client) recordHint(works bool) {
	if works || c.ctx.Err() == nil {
		c.opts.Hint.record(works)
	}
}

// release frees the session's resources at its end. If the connection failed, later sessions must not use it.
func (c *client) release(failed bool) {
	c.cancel()
	if c.own != nil || failed {
		c.http.CloseIdleConnections()
	}
}

// wait waits for the session's goroutines. The goroutine in Read is not one of them.
func (c *client) wait() { c.wg.Wait() }

// request makes a request for the session or for its handshake.
func (c *client) request(ctx context.Context, method string, t Transport, body io.Reader) (*http.Request, error) {
	u := *c.url
	q := u.Query()
	maps.Copy(q, c.opts.Query)
	q.Del("sid")
	q.Set("EIO", strconv.Itoa(int(c.opts.Revision)))
	q.Set("transport", string(t))
	if c.sid != "" {
		q.Set("sid", c.sid)
	}
	if c.opts.Base64 {
		q.Set("b64", "1")
	} else {
		q.Del("b64")
	}
	if t == Polling { // prevents cached responses; the server takes a client for an old one if its t is digits, a dash and digits, so this t has no dash
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
	if host := r.Header.Get("Host"); host != "" { // net/http takes it from the field Host
		r.Host = host
	}
	return r, nil
}

// do sends a request. Its error does not show the query, which holds the session ID and perhaps a secret of the user.
// The error names the proxy and the redirect, if any.
func (c *client) do(r *http.Request) (*http.Response, error) {
	resp, err := c.http.Do(r)
	if failed, ok := errors.AsType[*url.Error](err); ok {
		failed.URL, _, _ = strings.Cut(failed.URL, "?")
		failed.Err = c.blameProxy(r, failed.Err)
		asked := withoutQuery(r.URL)
		if u, err := url.Parse(failed.URL); err == nil && withoutQuery(u) != asked {
			failed.URL, failed.Err = asked, &RedirectError{To: withoutQuery(u), Err: failed.Err}
		}
	}
	return resp, err
}

// status reads a response whose status is neither 200 nor 101.
func (c *client) status(resp *http.Response) *statusError {
	e := readStatus(resp)
	if p := c.proxyOf(resp.Request); p != nil && e.code < 0 {
		e.message += " (" + p.via() + ")"
	}
	return e
}
