package mesh

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"log/slog"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"github.com/bigcompany/mesh/engineio"
)

// Defaults and fixed bounds.
const (
	DefaultAddr          = "localhost:8888"
	DefaultMaxMessage    = 1_000_000 // bytes
	defaultQueueLimit    = 1 << 20   // bytes
	defaultOfflineLimit  = 1 << 20   // bytes
	defaultCallbackLimit = 4 << 20   // bytes
	defaultAuthTimeout   = 5 * time.Second
	defaultMuteTimeout   = 30 * time.Second

	DefaultConnsPerAddr    = 4096
	DefaultSessionsPerAddr = 4096
)

// Options are the options of a node. The node copies them. The zero value of a field selects its default. A nil
// *Options selects all defaults.
type Options struct {
	// Addr is the address of the hub: host:port or a URL. Default: localhost:8888, which also supplies a missing host
	// or port.
	//
	// The path of a URL (http, https, ws, wss) is the path at which the hub serves Engine.IO; default: /engine.io/. A
	// URL without a port uses the default port of its scheme.
	//
	// To listen on all interfaces, use 0.0.0.0 or [::] as the host. A hub without Authorize then admits every client
	// that can reach it. With port 0 the system chooses a port, see Node.Addr.
	//
	// Connect and Start accept several addresses, separated by commas. Connect tries the addresses in random order and
	// uses the first at which a hub responds. Start can make the node the hub at the first address. Write a comma in a
	// path as %2C.
	Addr string
	// Name is shown to peers of this package. It is UTF-8 of at most 512 bytes. Default: no name.
	Name string

	// User and Password are the credentials that a client sends to its hub. Default: none.
	User, Password string
	// Token is a further credential of a client, alone or in addition to User and Password. The client sends it in each
	// HTTP request as `Authorization: Bearer <token>`, which hubs of this package read. It consists of visible ASCII
	// characters, at most 8 KiB. Default: none.
	Token string
	// Authorize decides whether a hub admits a peer: it admits the peer by returning nil. The hub calls it with the
	// first packet of each peer, and again when a peer sends other credentials. It runs on the goroutine that reads the
	// connection, so the hub can call it for several peers at once. It must return when ctx is done. A result after
	// AuthTimeout counts as a rejection. The error is neither logged nor sent to the peer. Default: the hub admits
	// every peer. See BasicAuth and BearerAuth.
	Authorize func(ctx context.Context, c Credentials) error

	// NoTakeover prevents a client that Start made from becoming the hub after the hub has died. See Start.
	NoTakeover bool

	// Backplane joins a hub with other hubs into one mesh: LocalBackplane, or package natsbackplane. A client uses it
	// only when it becomes the hub. Default: none, the hub is the only hub of its mesh.
	Backplane Backplane

	// Permit decides whether a peer of a hub may take an action. With ActionEmit, it decides whether the hub accepts an
	// event from the peer. With ActionListen, it decides whether the hub sends an event to the peer. A pattern delivers
	// only the permitted events among its matches. The hub also calls Permit with ActionEmit for the queries $mesh.nodes
	// and $mesh.explain. The hub does not call it for its own events and listeners.
	//
	// Replies to Node.Request are events named `reply-ID`, with the ID of the requesting node. The replying peer must
	// be permitted to emit that name, and the requesting peer must be permitted to listen to it. Otherwise the request
	// waits until its context ends.
	//
	// The hub remembers about 500 decisions for each peer, until the peer sends other credentials or until
	// ForgetPermits is called. Several goroutines may call Permit at once. Permit must not block and must not call
	// methods of the node. The hub drops and counts the events that Permit rejects. Default: everything is permitted.
	Permit func(p PeerInfo, a Action, event string) bool

	// Transports are the transports that a client uses and that a hub serves. Default: long-polling and WebSocket. A
	// client starts with the first transport. From Polling it moves to WebSocket if the list has WebSocket and the hub
	// offers it.
	Transports []engineio.Transport
	// HTTPClient makes a client's HTTP requests; see engineio.DialOptions. Default: the node makes a client for itself.
	HTTPClient *http.Client
	// AllowedOrigins are the origins whose pages may connect to a hub, in addition to the hub's own origin. Forms:
	// "https://example.com", "https://*.example.com" for every name that ends in ".example.com", "null" for pages in
	// files and, in effect, for all pages, since any site can give a frame that origin, and "*" for all pages. The node
	// does not start with an origin that engineio.CheckOrigin rejects. If a proxy on the same machine forwards a Host
	// with a dot, list the origin of the hub's own pages too. Otherwise the hub's own listener rejects them, because a
	// foreign site could make its own name resolve to this machine (DNS rebinding). Default: none.
	AllowedOrigins []string
	// TrustForwardedHost makes a hub read its own host from X-Forwarded-Host in requests that have this header. Set it
	// for a hub behind a proxy that rewrites Host and sets X-Forwarded-Host itself, as Apache does. Default: the hub
	// uses Host.
	TrustForwardedHost bool

	// CertFile and KeyFile name the PEM files of the certificate and the key with which a hub's own listener serves
	// TLS. The hub reads the files again when they have changed. An Addr without a scheme then means https, also for
	// clients that Start makes. Default: no TLS.
	CertFile, KeyFile string
	// CAFile names a PEM file of the certificate authorities that a client trusts instead of the system's authorities.
	// It cannot be combined with HTTPClient. Default: the system's authorities.
	CAFile string

	// Page makes a hub serve a web page at / of its listener, or of the prefix that it is mounted under. The page shows
	// the nodes and the events of the mesh to every user whom the hub admits. It is an ordinary client and has no
	// further rights. Default: no page.
	Page bool
	// Handler serves the requests to a hub's own listener whose paths the hub does not serve itself. The hub serves its
	// Engine.IO path, its client for browsers, its page, and / with a line of text if it has no page. A request's body must arrive within 5 s. The response must
	// be written, and read by the client, within 30 s of the request. A Handler that streams for longer sets another
	// deadline with http.ResponseController.SetWriteDeadline. Without a deadline, a client that does not read holds the
	// response's memory and goroutine forever. Close breaks the connections of Handler and does not wait for it.
	// Default: status 404.
	Handler http.Handler

	// MaxMessage limits an event in bytes, as encoded: the events that a node emits, and the events that a hub accepts
	// from a peer. Use the same value at all nodes of a mesh. A Backplane must carry messages of this size; in NATS the
	// limit is max_payload. Default: 1,000,000.
	MaxMessage int
	// QueueLimit limits the bytes that wait to be written to one peer. A hub disconnects a peer whose queue has no room
	// for a message: see Slow peers in the package comment. Default: 1 MiB.
	QueueLimit int
	// BufferLimit limits the bytes that wait to be written to all peers of a hub together. An event counts once,
	// however many peers it waits for. When the limit is reached, the hub disconnects peers until an eighth is free. It
	// begins with the peer for which queued bytes times waiting time is largest: see engineio.ServerOptions. Default:
	// 512 MiB.
	BufferLimit int64
	// OfflineLimit limits the bytes of the events that a client queues while it has no hub, while it moves to another
	// hub, and while the queue of its connection is full. Default: 1 MiB.
	OfflineLimit int
	// CallbackLimit limits the bytes of the events that wait for the node's callbacks. A client that moves to another
	// hub holds up to the same number of bytes again. When the queue is full, the node stops reading from the peer that
	// sends more. A hub drops events from other hubs for its own callbacks instead, see Stats.Missed. Default: 4 MiB.
	CallbackLimit int

	// Rate limits the messages that each peer may send to a hub. Default: no limits.
	Rate Rate

	// AuthTimeout limits the duration of a call of Authorize. Default: 5 s.
	AuthTimeout time.Duration
	// MuteTimeout is the time after which a hub disconnects a peer that it has not admitted. The hub delivers no events
	// to such a peer and drops the events that it emits. Default: 30 s.
	MuteTimeout time.Duration

	// ConnsPerAddr limits the connections from one address to a hub's own listener. A connection counts until it serves
	// a peer that the hub has admitted. The hub rejects a further connection: it responds with status 503, a text and
	// Retry-After, and closes it. More than a quarter above the limit, the hub closes connections without a response.
	// The 64-bit network of an IPv6 address counts as one address. Connections from loopback do not count, except
	// through a proxy in TrustedProxies. Through such proxies, and at a mounted hub (NewHub), the limit applies to each
	// client's requests in progress. Default: 4096.
	ConnsPerAddr int
	// SessionsPerAddr limits the sessions of one address that a hub with Authorize has not admitted. The hub responds
	// to a further one with status 503, a text and Retry-After. Addresses count as for ConnsPerAddr. Default: 4096.
	SessionsPerAddr int
	// TrustedProxies are the addresses and networks (CIDR: 10.0.0.0/8) of proxies that set X-Forwarded-For. In a
	// request from such a proxy, ConnsPerAddr and SessionsPerAddr count the last address of that header that is not a
	// trusted proxy. Default: none, and the hub ignores the header.
	TrustedProxies []string

	// Logger receives messages for the operator of the node. The node never logs credentials, keys or session IDs.
	// Default: the node logs nothing.
	Logger *slog.Logger

	// The contents of CertFile and KeyFile, and of CAFile.
	tls   *tls.Config
	roots *x509.CertPool
	// The parsed TrustedProxies.
	proxies []netip.Prefix
}

// withDefaults returns a copy in which each field without a value has its default.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	c.Transports = slices.Clone(c.Transports)
	c.AllowedOrigins = slices.Clone(c.AllowedOrigins)
	c.MaxMessage = cmp.Or(c.MaxMessage, DefaultMaxMessage)
	c.QueueLimit = cmp.Or(c.QueueLimit, defaultQueueLimit)
	c.OfflineLimit = cmp.Or(c.OfflineLimit, defaultOfflineLimit)
	c.CallbackLimit = cmp.Or(c.CallbackLimit, defaultCallbackLimit)
	c.AuthTimeout = cmp.Or(c.AuthTimeout, defaultAuthTimeout)
	c.MuteTimeout = cmp.Or(c.MuteTimeout, defaultMuteTimeout)
	c.ConnsPerAddr = cmp.Or(c.ConnsPerAddr, DefaultConnsPerAddr)
	c.SessionsPerAddr = cmp.Or(c.SessionsPerAddr, DefaultSessionsPerAddr)
	if c.Handler == nil {
		c.Handler = http.NotFoundHandler()
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}
