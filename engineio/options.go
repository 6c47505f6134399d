package engineio

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// Defaults and fixed bounds. Those of the protocol are the reference implementation's.
const (
	DefaultPath           = "/engine.io"
	DefaultPingInterval   = 25 * time.Second
	DefaultPingTimeout    = 20 * time.Second
	DefaultUpgradeTimeout = 10 * time.Second
	DefaultWriteTimeout   = 10 * time.Second
	DefaultMaxPayload     = 1_000_000 // bytes
	DefaultQueueLimit     = 1 << 20   // bytes
	DefaultBufferLimit    = 512 << 20 // bytes
	DefaultReceiveLimit   = 8 << 20   // bytes
	// DefaultCompressionThreshold is the size from which on compression is tried, in bytes.
	DefaultCompressionThreshold = 1024
	// DefaultDialMaxPayload bounds what a client accepts in one message or poll, in bytes. It is larger than the
	// servers' limit for one message because a poll may bring many.
	DefaultDialMaxPayload = 16 << 20
)

// closeTimeout bounds how long Close waits for a peer that takes nothing, or for its goodbye, on a WebSocket;
// pollCloseTimeout how long a closed polling session waits for the next poll (30 s in the reference); and closeLimit how long
// Close takes in all.
const (
	closeTimeout     = 5 * time.Second
	pollCloseTimeout = 30 * time.Second
	closeLimit       = 2 * time.Minute
)

// ServerOptions are the options of NewServer, which copies them. The zero value of each field means its default. See Check
// for the values that no server can have.
type ServerOptions struct {
	// Path is where the server answers, with and without a slash behind it. Default: /engine.io. Requests for
	// another path get 404.
	Path string
	// Revisions are the protocol revisions to serve. Default: revision 4 only.
	Revisions []Revision
	// Transports are the transports to serve. Default: Polling and WebSocket. WebTransport also takes a Server of package
	// [github.com/bigcompany/mesh/engineio/webtransport].
	Transports []Transport
	// NoUpgrade keeps sessions on the transport that they started with.
	NoUpgrade bool

	// PingInterval is the time from one heartbeat to the next. Default: 25 s.
	PingInterval time.Duration
	// PingTimeout is the time after which a peer that missed a heartbeat is given up. Default: 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout is how long an upgrade may take until the client has its 3probe. Stock clients stop polling then, and
	// would be stranded if the upgrade was given up: it goes on until they say 5, or the heartbeat ends the session, or they
	// turn out to poll on when another UpgradeTimeout is over. Default: 10 s.
	UpgradeTimeout time.Duration
	// WriteTimeout bounds one write of at most 128 KiB to a connection; the server ends the session of a peer that takes
	// longer. Default: 10 s.
	WriteTimeout time.Duration

	// MaxPayload is the largest message, and the largest body of a POST, that is accepted, in bytes.
	// Default: 1,000,000.
	MaxPayload int
	// QueueLimit bounds what waits to be sent on one socket, in bytes. One message larger than that is accepted
	// when nothing waits. Default: 1 MiB.
	QueueLimit int
	// BufferLimit bounds what waits to be sent on all sockets of the server together, in bytes. A message of Prepare counts
	// once, and the first 16 KiB of a queue do not count. When the limit is reached, the server ends the sessions whose
	// queues are the fullest and have waited the longest, with ErrBufferLimit, until an eighth is free. Default: 512 MiB.
	BufferLimit int64
	// ReceiveLimit bounds what messages and POSTs of more than 32 KiB hold together while they are received, in
	// bytes, and twice MaxPayload beyond it at most. When it is reached, they wait, and their senders with them,
	// until the one that began first is complete; if that takes longer than 5 s, its session is ended.
	// Default: 8 MiB.
	ReceiveLimit int

	// CompressionThreshold is the size, in bytes, from which on messages and the answers to polls are compressed, where
	// they are. Default: 1024.
	CompressionThreshold int
	// NoHTTPCompression sends the answers to polls as they are. Otherwise those of CompressionThreshold bytes and more
	// are compressed by gzip or deflate, if the client accepts that and one message at least is not marked
	// NoCompression.
	NoHTTPCompression bool

	// PerMessageDeflate lets clients compress messages on a WebSocket that offer it (RFC 7692), and does so with messages
	// of CompressionThreshold bytes and more that are not marked NoCompression. Nothing is remembered from one message to
	// the next, so that it costs idle sessions no memory and a message made by Prepare is compressed once for all.
	// Compressing takes 3 to 6 µs a KB. Inflating a KB received takes up to 1.3 ms, and leaves up to 0.9 MB of garbage, if a
	// client means harm: it sends one table of codes after another (see BenchmarkInflate). So a client that sends 1 MB/s
	// can occupy a core. Default: off, as in the reference.
	PerMessageDeflate bool

	// AllowedOrigins are the origins whose pages may open sessions, besides those of the server's own host. An entry is
	// "https://example.com", with a port if the browser's address shows one; "https://*.example.com", which admits every
	// name that ends in ".example.com"; "null" for pages in files; or "*", which admits every page. CheckOrigin rejects
	// all other forms. Default: none. Requests without an Origin header, which come from programs and not from pages,
	// are not concerned.
	AllowedOrigins []string
	// TrustForwardedHost lets X-Forwarded-Host, where it is there, say what the server's own host is. It is for servers
	// behind a proxy that rewrites Host and sets that header itself.
	TrustForwardedHost bool
	// JSONP serves browsers so old that they can ask a server of another origin by script tags only. Pages of other
	// origins still need AllowedOrigins, and are told by the headers Sec-Fetch-Site and Referer, since script tags
	// send no Origin; who sends none of them is refused unless AllowedOrigins has "*".
	JSONP bool

	// AllowRequest decides whether a request may open a session, on any transport, after all checks of the server's own
	// but that of the revision. If it returns an error, the client gets its text with code 4: "Forbidden" if it is
	// empty; by WebTransport, the stream is closed. r must not be kept. Requests of sessions that are open are not
	// asked for. Default: all may.
	AllowRequest func(r *http.Request) error
	// GenerateID returns the ID of the session that r opens. An ID is made of A to Z, a to z, 0 to 9, _ and -, and must
	// not be guessed: whoever knows it owns the session. If it returns an error, or an ID that is none or that another
	// session has, the request is refused with code 3. Default: 144 random bits.
	GenerateID func(r *http.Request) (string, error)
	// InitialMessage is sent to each new session right behind the open packet, in the same payload. As it must go over
	// each transport, text must be valid UTF-8 without U+001E, and a binary message not empty. Default: none.
	InitialMessage *Message
	// Cookie is set in the answer that opens a session. Its value is replaced by the session's ID, and it is always
	// HttpOnly. An empty Name is "io", an empty Path "/", and a SameSite of zero is Lax
	// (http.SameSiteDefaultMode leaves it out). The server never reads it: it is for proxies that keep a session at
	// one server. Default: none.
	Cookie *http.Cookie
	// OnConnectionError is told of each request that is refused, once, on the request's goroutine and mostly before
	// the answer. Default: nobody is.
	OnConnectionError func(e *ConnectionError)

	// Admission limits sessions that the handler has not admitted with Socket.SetAdmitted. Default: nil, the server admits
	// each session when it opens.
	Admission *Admission
	// OnAdmitted is called for each request of an admitted session, before the server answers it. r must not be kept.
	// Default: none.
	OnAdmitted func(r *http.Request)

	// SessionContext returns the context that a session's descends from. When it is done, the session is ended, as by
	// Abort. r is the request that opens the session; what middleware put into its context is passed on with
	// context.WithoutCancel(r.Context()), at the price of keeping what that refers to for the session's life; without
	// WithoutCancel, the session would end with the request. Default: context.Background.
	SessionContext func(r *http.Request) context.Context

	// Logger receives what a server's operator wants to know. Default: silence. Session IDs are never logged.
	Logger *slog.Logger
}

func (o *ServerOptions) withDefaults() ServerOptions {
	var c ServerOptions
	if o != nil {
		c = *o
	}
	c.Path = "/" + strings.Trim(orElse(c.Path, DefaultPath), "/")
	if c.Revisions = slices.Clone(c.Revisions); len(c.Revisions) == 0 {
		c.Revisions = []Revision{Revision4}
	}
	if c.Transports = slices.Clone(c.Transports); len(c.Transports) == 0 {
		c.Transports = []Transport{Polling, WebSocket}
	}
	c.AllowedOrigins = slices.Clone(c.AllowedOrigins)
	if c.Cookie != nil {
		c.Cookie = cookieTemplate(*c.Cookie)
	}
	c.CompressionThreshold = orElse(c.CompressionThreshold, DefaultCompressionThreshold)
	c.PingInterval = orElse(c.PingInterval, DefaultPingInterval)
	c.PingTimeout = orElse(c.PingTimeout, DefaultPingTimeout)
	c.UpgradeTimeout = orElse(c.UpgradeTimeout, DefaultUpgradeTimeout)
	c.WriteTimeout = orElse(c.WriteTimeout, DefaultWriteTimeout)
	c.MaxPayload = orElse(c.MaxPayload, DefaultMaxPayload)
	c.QueueLimit = orElse(c.QueueLimit, DefaultQueueLimit)
	c.BufferLimit = orElse(c.BufferLimit, DefaultBufferLimit)
	c.ReceiveLimit = orElse(c.ReceiveLimit, DefaultReceiveLimit)
	c.Admission = c.Admission.withDefaults()
	c.Logger = orElse(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// DialOptions are the options of Dial, which copies them. The zero value of each field means its default.
type DialOptions struct {
	// Revision is the protocol revision to speak. Default: Revision4.
	Revision Revision
	// Transports are the transports to use. The first one opens the session; a session that starts with Polling
	// moves to WebTransport or WebSocket if those are among them and the server offers them. Where both are,
	// WebTransport has a head start of 200 ms. Default: Polling, WebSocket, and WebTransport with the option of that name.
	Transports []Transport
	// TryAllTransports opens the session with the next transport where one fails. One that failed is not used for an
	// upgrade either. Each attempt but the last has UpgradeTimeout.
	TryAllTransports bool
	// WebTransport opens the streams of the transport of that name: it is the Dial of a Dialer of package
	// [github.com/bigcompany/mesh/engineio/webtransport]. r is what to ask for, over HTTP/3; ctx bounds the opening only. If
	// the server refuses, the error comes with its response. Default: none, so that this transport is not used.
	WebTransport func(ctx context.Context, r *http.Request) (Stream, *http.Response, error)
	// NoUpgrade keeps the session on its first transport.
	NoUpgrade bool
	// Remember lets a session start with a WebSocket, if that is among Transports, where an earlier one that shared
	// the memory had one. Default: no memory.
	Remember *UpgradeMemory

	// HTTPClient has the settings for all requests, the WebSocket handshake included: its transport decides on proxies
	// and TLS, and its jar on cookies. It must not have a Timeout, which would end every poll.
	//
	// If its transport is nil or an *http.Transport, each session uses a copy (Transport.Clone) and so has connections
	// that no other session uses. Another http.RoundTripper is used as it is. After a session that ended because its
	// connection failed, that RoundTripper is asked to close its idle connections (http.Client.CloseIdleConnections). For
	// HTTP/2 set http.Transport.HTTP2.SendPingTimeout there as well: otherwise further sessions may get a connection that
	// has gone silent. Default: the settings of http.DefaultTransport, and a cookie jar for the session.
	//
	// A redirect of the request that opens the session is followed if it leads to the same host, not from https to http,
	// and CheckRedirect of the client permits it: the session then uses that address. Every other redirect is an error
	// that names it. No request has a Referer.
	HTTPClient *http.Client
	// Header is added to each request.
	Header http.Header
	// Query is added to the query of each request, and replaces values of the same name in the URL. The protocol's
	// own parameters (EIO, transport, sid, t, b64) cannot be set.
	Query url.Values
	// Subprotocols are offered in WebSocket handshakes, the preferred one first. Default: none.
	Subprotocols []string
	// PerMessageDeflate offers the server to compress messages on a WebSocket (RFC 7692), in both directions. Those of
	// less than 1024 bytes, and those marked NoCompression, are sent as they are. Default: no offer.
	PerMessageDeflate bool
	// Base64 carries binary messages as text in both directions (b64=1), for what stands between and damages bytes.
	Base64 bool

	// UpgradeTimeout bounds an upgrade until the client stops polling for it. The last packet, with which the server moves
	// too, has WriteTimeout. Default: 10 s.
	UpgradeTimeout time.Duration
	// WriteTimeout bounds one write to a WebSocket. A POST has as long as the session lives, since a server may
	// hold it up until its reader is ready. Default: 10 s.
	WriteTimeout time.Duration
	// MaxPayload is the largest message, and the largest answer to a poll, that is accepted, in bytes.
	// Default: 16 MiB.
	MaxPayload int
	// QueueLimit bounds what waits to be sent, in bytes. One message larger than that is accepted when nothing
	// waits. Default: 1 MiB.
	QueueLimit int

	// Logger receives what an operator wants to know. Default: silence.
	Logger *slog.Logger
}

func (o *DialOptions) withDefaults() DialOptions {
	var c DialOptions
	if o != nil {
		c = *o
	}
	c.Revision = orElse(c.Revision, Revision4)
	if c.Transports = slices.Clone(c.Transports); len(c.Transports) == 0 {
		c.Transports = []Transport{Polling, WebSocket}
		if c.WebTransport != nil && c.Revision == Revision4 {
			c.Transports = append(c.Transports, WebTransport)
		}
	}
	c.Header = c.Header.Clone()
	c.Query = maps.Clone(c.Query)
	c.Subprotocols = slices.Clone(c.Subprotocols)
	c.UpgradeTimeout = orElse(c.UpgradeTimeout, DefaultUpgradeTimeout)
	c.WriteTimeout = orElse(c.WriteTimeout, DefaultWriteTimeout)
	c.MaxPayload = orElse(c.MaxPayload, DefaultDialMaxPayload)
	c.QueueLimit = orElse(c.QueueLimit, DefaultQueueLimit)
	c.Logger = orElse(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

func orElse[T comparable](v, otherwise T) T {
	var zero T
	if v == zero {
		return otherwise
	}
	return v
}
