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

	"github.com/bigcompany/mesh/engineio/internal/wtstream"
)

// Default values. The defaults of the protocol's settings are those of the reference implementation.
const (
	DefaultPath           = "/engine.io"
	DefaultPingInterval   = 25 * time.Second
	DefaultPingTimeout    = 20 * time.Second
	DefaultUpgradeTimeout = 10 * time.Second
	defaultWriteTimeout   = 10 * time.Second
	DefaultMaxPayload     = 1_000_000 // bytes
	defaultQueueLimit     = 1 << 20   // bytes
	defaultBufferLimit    = 512 << 20 // bytes
	defaultReceiveLimit   = 8 << 20   // bytes
	// defaultCompressionThreshold is the smallest message that is compressed, in bytes.
	defaultCompressionThreshold = 1024
	// defaultDialMaxPayload bounds one message, or the response to one poll, at a client, in bytes. It is larger than
	// the servers' limit for one message because a response to a poll may carry many messages.
	defaultDialMaxPayload = 16 << 20
)

// These constants bound Socket.Close. On a WebSocket, closeTimeout bounds the wait for a peer that accepts no data, and
// the wait for its close frame. pollCloseTimeout bounds the wait of a closed polling session for the next poll (30 s in
// the reference). closeLimit bounds Close as a whole.
const (
	closeTimeout     = 5 * time.Second
	pollCloseTimeout = 30 * time.Second
	closeLimit       = 2 * time.Minute
)

// ServerOptions are the options of NewServer, which copies them. The zero value of each field means its default. Check
// lists the invalid values.
type ServerOptions struct {
	// Path is the URL path at which the server responds, with or without a trailing slash; it also responds below that
	// path. Requests for another path get status 404. Default: /engine.io.
	Path string
	// Revisions are the protocol revisions to serve. Default: revision 4 only.
	Revisions []Revision
	// Transports are the transports to serve. WebTransport also needs a Server or a Handler of package
	// [github.com/bigcompany/mesh/engineio/webtransport]. Default: Polling and WebSocket.
	Transports []Transport
	// NoUpgrade keeps each session on its first transport.
	NoUpgrade bool

	// PingInterval is the time from one heartbeat to the next. Default: 25 s.
	PingInterval time.Duration
	// PingTimeout is how long the server waits for a late heartbeat before it ends the session. Default: 20 s.
	PingTimeout time.Duration
	// UpgradeTimeout bounds an upgrade until the client has received the reply to its probe ("3probe"). Stock clients
	// stop polling then and would be stranded if the server abandoned the upgrade. So the server waits longer, until
	// the client completes the upgrade ("5") or the heartbeat ends the session. It abandons the upgrade if it finds,
	// after another UpgradeTimeout, that the client still polls. Default: 10 s.
	UpgradeTimeout time.Duration
	// WriteTimeout bounds each write of at most 128 KiB to a WebSocket or a WebTransport stream, and each HTTP response
	// as a whole. The server ends the session of a peer that takes longer. Default: 10 s.
	WriteTimeout time.Duration

	// MaxPayload is the largest message, and the largest body of a POST, that the server accepts, in bytes. Default:
	// 1,000,000.
	MaxPayload int
	// QueueLimit bounds the unsent messages of one socket, in bytes. An empty queue accepts one message that is larger
	// than QueueLimit. Default: 1 MiB.
	QueueLimit int
	// BufferLimit bounds the unsent messages of all sockets of the server together, in bytes. A message made by Prepare
	// counts once, and the first 16 KiB of a queue do not count. When the limit is reached, the server ends sessions
	// with ErrBufferLimit until an eighth of the limit is free. It begins with the session for which queued bytes times
	// waiting time is largest. Default: 512 MiB.
	BufferLimit int64
	// ReceiveLimit bounds the memory of all messages and POST bodies of more than 32 KiB that the server is receiving,
	// in bytes. The server may exceed it by up to twice MaxPayload. When the limit is reached, these messages and their
	// senders wait until the message that began first is complete. If that takes longer than 5 s, the server ends the
	// session of that message. Default: 8 MiB.
	ReceiveLimit int

	// CompressionThreshold is the smallest message, or response to a poll, that the server compresses, in bytes. It
	// matters only where compression is on. Default: 1024.
	CompressionThreshold int
	// NoHTTPCompression disables the compression of responses to polls. By default the server compresses a response of
	// at least CompressionThreshold bytes with gzip or deflate if the client accepts that and at least one of the
	// messages is not marked NoCompression.
	NoHTTPCompression bool

	// PerMessageDeflate lets clients that offer it (RFC 7692) compress messages on a WebSocket. The server then
	// compresses messages of at least CompressionThreshold bytes that are not marked NoCompression. Each message is
	// compressed on its own, so an idle session needs no memory for it, and a message made by Prepare is compressed
	// once for all sockets. Compressing takes 3 to 6 µs per KB. A malicious client can make the server spend up to 1.3
	// ms, and leave up to 0.9 MB of garbage, for each KB that it sends: it sends one code table after another (see
	// BenchmarkInflate). So a client that sends 1 MB/s can occupy a core. Default: off, as in the reference.
	PerMessageDeflate bool

	// AllowedOrigins are the origins whose pages may open sessions. Pages of the server's own host need no entry. An
	// entry is "https://example.com", with a port if the browser's address bar shows one; "https://*.example.com",
	// which admits every host name that ends in ".example.com"; "null" for pages in files; or "*", which admits every
	// page. CheckOrigin rejects all other forms. Any site can give a frame in its page the origin "null", so "null"
	// admits, in effect, every page too. The server does not check requests without an Origin header, because they come
	// from programs and not from pages. Default: no other origins.
	AllowedOrigins []string
	// TrustForwardedHost takes the server's own host from the header X-Forwarded-Host if a request has that header. It
	// is for servers behind a proxy that rewrites Host and sets that header itself.
	TrustForwardedHost bool
	// JSONP serves old browsers, which can send requests to a server of another origin by script tags only. Pages of
	// other origins still need AllowedOrigins. Script tags send no Origin, so the server finds the page's origin in the
	// headers Sec-Fetch-Site and Referer. A page can suppress Referer, and a page in a file has none. The server gives
	// such a page the origin "null", so it rejects the page unless AllowedOrigins has "null" or "*".
	JSONP bool

	// AllowRequest decides whether r may open a session, on any transport. The server calls it after its own checks of
	// r, except that it checks the revision of an HTTP request later. If AllowRequest returns an error, the server
	// rejects the request with code 4 and the error's text, or "Forbidden" if the text is empty; on WebTransport, the
	// server closes the stream. A WebSocket client does not get the code. AllowRequest must not keep r. The server does
	// not call it for requests of open sessions. Default: all requests may open sessions.
	AllowRequest func(r *http.Request) error
	// GenerateID returns the ID of the session that r opens. An ID consists of A to Z, a to z, 0 to 9, _ and -. It must
	// be hard to guess, because a client that knows it controls the session. If GenerateID returns an error, an invalid
	// ID, or the ID of an open session, the server rejects the request with code 3. Default: 144 random bits.
	GenerateID func(r *http.Request) (string, error)
	// InitialMessage is sent to each new session immediately after the open packet, in the same payload. Every
	// transport must be able to carry it: text must be valid UTF-8 without U+001E, and a binary message must not be
	// empty. Default: none.
	InitialMessage *Message
	// Cookie is set in the HTTP response that opens a session by polling or by WebSocket. The server replaces its value
	// with the session's ID and makes it HttpOnly. An empty Name means "io", an empty Path means "/", and a SameSite of
	// zero means Lax (http.SameSiteDefaultMode omits the attribute). The server never reads the cookie: it is for
	// proxies that route all requests of a session to one server. Default: none.
	Cookie *http.Cookie
	// OnConnectionError is called once for each request that the server rejects, on the request's goroutine and usually
	// before the response is sent. Default: not called.
	OnConnectionError func(e *ConnectionError)

	// Admission limits the sessions that the handler has not admitted with Socket.SetAdmitted. Default: nil, and the
	// server admits each session when it opens.
	Admission *Admission
	// OnAdmitted is called for each request of an admitted session, before the server responds to it. It must not keep
	// r. Default: none.
	OnAdmitted func(r *http.Request)

	// SessionContext returns the parent of a session's context. When it is done, the server ends the session, as Abort
	// does. r is the request that opens the session. To pass on the values that middleware put into the request's
	// context, return context.WithoutCancel(r.Context()); the session then holds these values until it ends. Without
	// WithoutCancel, the session would end with the request. Default: context.Background.
	SessionContext func(r *http.Request) context.Context

	// Logger receives messages for the server's operator. Session IDs are never logged. Default: no log.
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
	c.CompressionThreshold = orElse(c.CompressionThreshold, defaultCompressionThreshold)
	c.PingInterval = orElse(c.PingInterval, DefaultPingInterval)
	c.PingTimeout = orElse(c.PingTimeout, DefaultPingTimeout)
	c.UpgradeTimeout = orElse(c.UpgradeTimeout, DefaultUpgradeTimeout)
	c.WriteTimeout = orElse(c.WriteTimeout, defaultWriteTimeout)
	c.MaxPayload = orElse(c.MaxPayload, DefaultMaxPayload)
	c.QueueLimit = orElse(c.QueueLimit, defaultQueueLimit)
	c.BufferLimit = orElse(c.BufferLimit, defaultBufferLimit)
	c.ReceiveLimit = orElse(c.ReceiveLimit, defaultReceiveLimit)
	c.Admission = c.Admission.withDefaults()
	c.Logger = orElse(c.Logger, slog.New(slog.DiscardHandler))
	return c
}

// DialOptions are the options of Dial, which copies them. The zero value of each field means its default.
type DialOptions struct {
	// Revision is the protocol revision to speak. Default: Revision4.
	Revision Revision
	// Transports are the transports to use. The first one opens the session. A session that starts with Polling moves
	// to WebTransport or WebSocket if the list has them and the server offers them. If it has both, WebTransport gets a
	// head start of 200 ms. Default: Polling, WebSocket and, if the option WebTransport is set, WebTransport.
	Transports []Transport
	// TryAllTransports tries the next transport if one fails to open the session. A transport that failed is not used
	// for an upgrade either. UpgradeTimeout bounds each attempt but the last.
	TryAllTransports bool
	// WebTransport opens the streams of the transport WebTransport. It is the method Dial of a Dialer of package
	// [github.com/bigcompany/mesh/engineio/webtransport]. Default: none, and the transport is not used.
	WebTransport func(ctx context.Context, r *http.Request) (wtstream.Stream, *http.Response, error)
	// NoUpgrade keeps the session on its first transport.
	NoUpgrade bool
	// Hint makes a session start with a WebSocket, if Transports has it, when an earlier session that shared this hint
	// used one. Default: no hint.
	Hint *TransportHint

	// HTTPClient has the settings of all requests, and of the WebSocket handshake: its transport decides on proxies and
	// TLS, and its jar on cookies. It must not have a Timeout, which would end every poll.
	//
	// If its transport is nil or an *http.Transport, each session uses a copy (Transport.Clone), so no two sessions
	// share a connection. Sessions share any other http.RoundTripper. If a session ends because its connection failed,
	// the session asks that RoundTripper to close its idle connections (http.Client.CloseIdleConnections). For HTTP/2
	// also set http.Transport.HTTP2.SendPingTimeout in such a RoundTripper: otherwise later sessions may get a dead
	// connection. Default: the settings of http.DefaultTransport, and a cookie jar for the session.
	//
	// The client follows a redirect of the request that opens the session if the redirect leads to the same host, does
	// not lead from https to http, and CheckRedirect of the HTTP client permits it. The session then uses the new
	// address. Every other redirect is an error that names it. No request has a Referer header.
	HTTPClient *http.Client
	// Header is added to each request.
	Header http.Header
	// Query is added to the query of each request. It replaces values of the same name in the URL. It cannot set the
	// protocol's own parameters (EIO, transport, sid, t, b64).
	Query url.Values
	// Subprotocols are offered in WebSocket handshakes, in order of preference. Default: none.
	Subprotocols []string
	// PerMessageDeflate offers the server the compression of messages on a WebSocket, in both directions (RFC 7692).
	// The client does not compress messages of less than 1024 bytes, or messages that are marked NoCompression.
	// Default: no offer.
	PerMessageDeflate bool
	// Base64 carries binary messages as text in both directions (b64=1). It is for intermediaries that corrupt binary
	// data.
	Base64 bool

	// UpgradeTimeout bounds an upgrade until the client has stopped polling. WriteTimeout then bounds the upgrade
	// packet, with which the server moves too. Default: 10 s.
	UpgradeTimeout time.Duration
	// WriteTimeout bounds each write of at most 128 KiB to a WebSocket or a WebTransport stream. It does not bound a
	// POST, because a server may delay the response until its reader is ready. Default: 10 s.
	WriteTimeout time.Duration
	// MaxPayload is the largest message, and the largest response to a poll, that the client accepts, in bytes.
	// Default: 16 MiB.
	MaxPayload int
	// QueueLimit bounds the unsent messages, in bytes. An empty queue accepts one message that is larger than
	// QueueLimit. Default: 1 MiB.
	QueueLimit int

	// Logger receives messages for the client's operator. Default: no log.
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
	c.WriteTimeout = orElse(c.WriteTimeout, defaultWriteTimeout)
	c.MaxPayload = orElse(c.MaxPayload, defaultDialMaxPayload)
	c.QueueLimit = orElse(c.QueueLimit, defaultQueueLimit)
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
