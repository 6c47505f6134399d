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
	DefaultQueueLimit    = 1 << 20   // bytes
	DefaultOfflineLimit  = 1 << 20   // bytes
	DefaultCallbackLimit = 4 << 20   // bytes
	DefaultAuthTimeout   = 5 * time.Second
	DefaultMuteTimeout   = 30 * time.Second

	DefaultConnsPerAddr    = 4096
	DefaultSessionsPerAddr = engineio.DefaultSessionsPerAddr
)

// A hub's heartbeat is the original's, and so are its revisions: 3 for the original and for this package's own clients,
// 4 for today's stock Engine.IO clients.
const (
	pingInterval = 25 * time.Second
	pingTimeout  = 60 * time.Second
)

const (
	// closeTimeout bounds how long Close waits for what is queued to be written, and for peers to say goodbye.
	closeTimeout = 3 * time.Second
	// connectTimeout bounds one attempt to reconnect, moveTimeout that to connect to one of several addresses.
	connectTimeout = 15 * time.Second
	moveTimeout    = 3 * time.Second
	// The pauses between attempts to reconnect double from the one to the other; half of each is random.
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
	// steadyTime is how long a connection has to last for the pauses to begin anew. It bounds how often a hub is called that
	// greets and closes; and the next hub of a mesh whose hub is killed again and again is to be found at once.
	steadyTime = time.Second
)

// Options are the options of a node. They are copied. The zero value of each field means its default, and nil means all
// defaults.
type Options struct {
	// Addr is where the hub is, or is to be: host:port or a URL. Default: localhost:8888, which also fills in for a
	// host or a port that is missing.
	//
	// A URL (http, https, ws, wss) has the path at which the hub serves Engine.IO; default: /engine.io/. A URL
	// without a port means the port of its scheme.
	//
	// To listen on all interfaces, give 0.0.0.0 or [::] as host: a hub without Authorize admits whoever can reach
	// it. Port 0 lets the system choose one, see Node.Addr.
	//
	// Connect also takes several, separated by commas: it uses one where a hub answers. So does Start, at the first of
	// which the node itself may be the hub. A comma in a path is %2C.
	Addr string
	// Name is shown to peers of this package; at most 512 bytes. Default: none.
	Name string

	// User and Password are what a client presents. Default: none.
	User, Password string
	// Token is what a client presents, or presents as well: it goes along in the header Authorization of each HTTP request,
	// as Bearer, which hubs of this package read. Characters that one can see, at most 8 KiB. Default: none.
	Token string
	// Authorize decides whom a hub admits: nil from it admits. It runs on the connection's reader, so that it may be
	// called for several peers at once, and what it returns after AuthTimeout counts as a refusal. It must return
	// when ctx is done. It is called with the first packet of each peer, and again when a peer presents other
	// credentials. Its error goes nowhere. Default: everybody is admitted. See Pair and Bearer.
	Authorize func(ctx context.Context, c Credentials) error

	// NoAutoheal keeps a node that Start made a client from becoming the hub when the hub has died. See Start.
	NoAutoheal bool

	// Backplane joins a hub with others into one mesh: LocalBackplane, or package natsbackplane. Their peers are then those
	// of one mesh. A client does not use it, unless it becomes the hub. Default: none, the hub is the only one.
	Backplane Backplane

	// Permit decides what a peer of a hub may do: with MayEmit whether the hub takes an event from it, with MayListen
	// whether it sends one to it, however the peer came to listen: a pattern is narrowed to what is permitted. It is
	// asked with MayEmit for the questions $mesh.nodes and $mesh.explain, too. It is not asked about the hub itself.
	//
	// Answers to Node.Request are events named `reply-ID`, with the ID of the node that asked: who answers must be
	// permitted to emit that name, and who asks to hear it, or the request waits until its context ends.
	//
	// Its decisions are remembered, some 500 names a peer, until the peer presents other credentials or ForgetPermits is
	// called. It may be called by any goroutine, several at once, and must not block or call methods of the node. What
	// it refuses is dropped and counted. Default: everything is permitted.
	Permit func(p PeerInfo, a Action, event string) bool

	// Transports are those that a client uses, and that a hub serves. Default: long-polling and WebSocket; a client
	// starts with the first and moves to WebSocket if it can.
	Transports []engineio.Transport
	// HTTPClient makes a client's requests; see engineio.DialOptions. Default: one of the node's own.
	HTTPClient *http.Client
	// AllowedOrigins are the origins whose pages may connect to a hub, besides the hub's own: "https://example.com",
	// "https://*.example.com" for every name that ends in ".example.com", "null" for pages in files, "*" for all pages.
	// engineio.CheckOrigin rejects all other forms, and so does the start. The hub's own listener also needs the origin of
	// its own pages where a proxy on the same machine passes on a Host with a dot: a foreign site could give its name to
	// this machine. Default: none.
	AllowedOrigins []string
	// TrustForwardedHost makes a hub take its own host from X-Forwarded-Host, where a request has this header. It is for
	// a hub behind a proxy that rewrites Host and sets X-Forwarded-Host itself, as Apache does. Default: the hub uses Host.
	TrustForwardedHost bool

	// CertFile and KeyFile are the certificate and the key, in PEM, with which a hub's own listener speaks TLS. They are
	// read anew when they have changed. Addr then means https, also where it has no scheme, for Start's clients too.
	// Default: no TLS.
	CertFile, KeyFile string
	// CAFile has the certificates of the authorities, in PEM, that a client trusts instead of the system's. It excludes
	// HTTPClient. Default: the system's.
	CAFile string

	// NoPage keeps a hub from serving its page, at / of its own listener or of the prefix that it is mounted under. The
	// page shows who is in the mesh and what is emitted to whomever the hub admits, by no other means than those of any
	// client. Default: it is served.
	NoPage bool
	// Handler answers the requests to a hub's own listener that are not for the hub: other paths than that of its
	// Engine.IO, and than those that the hub serves itself. A request's body must come within 5 s. The response must be
	// written, and read by the client, within 30 s of the request; a Handler that needs longer, because it streams, sets
	// another deadline by http.ResponseController.SetWriteDeadline. Without a deadline, a client that does not read holds
	// the response's memory and goroutine forever. Close breaks its connections and does not wait for it. Default: 404 for
	// all of them.
	Handler http.Handler

	// MaxMessage bounds an event: what a node emits, and what a hub accepts from a peer, in bytes as encoded.
	// All nodes of a mesh should have the same, and a Backplane has to carry as much: max_payload of NATS. Default: 1,000,000.
	MaxMessage int
	// QueueLimit bounds what waits to be written to one peer, in bytes. A hub closes a peer whose queue is full.
	// Default: 1 MiB.
	QueueLimit int
	// BufferLimit bounds what waits to be written to all peers of a hub together, in bytes. An event counts once, however many
	// peers it waits for. When the limit is reached, the hub closes the peers whose queues are the fullest and have waited the
	// longest, until an eighth is free: see engineio.ServerOptions. Default: 512 MiB.
	BufferLimit int64
	// OfflineLimit bounds what a client keeps while it has no hub, moves to another, or its connection is full, in bytes.
	// Default: 1 MiB.
	OfflineLimit int
	// CallbackLimit bounds the events that wait for the node's callbacks, in bytes, and once more those that a client
	// keeps while it moves to another hub. What a peer sends waits while they are so many; what comes from other hubs is
	// dropped for the hub's own callbacks, see Stats.Missed. Default: 4 MiB.
	CallbackLimit int

	// Rate bounds what each peer may send to a hub. Default: no bounds.
	Rate Rate

	// AuthTimeout bounds a call of Authorize. Default: 5 s.
	AuthTimeout time.Duration
	// MuteTimeout is how long a hub keeps a peer that it has not admitted. Such a peer hears nothing and what it
	// emits is dropped. Default: 30 s.
	MuteTimeout time.Duration

	// ConnsPerAddr limits the connections of one address to a hub's own listener, as long as they serve no peer that the hub
	// has admitted. The hub answers status 503 with a text and Retry-After on one more connection, and closes it. When
	// there are a quarter more than that, it closes further ones without an answer. The 64-bit network of an IPv6 address
	// counts as one address. Connections from loopback do not count, unless TrustedProxies tells which client they serve.
	// The limit then holds for the client's requests in progress, and so it does for a hub in a server of yours.
	// Default: 4096.
	ConnsPerAddr int
	// SessionsPerAddr limits the sessions of one address that a hub with Authorize has not admitted. The hub answers status
	// 503 with a text and Retry-After to one more. Addresses count as for ConnsPerAddr. Default: 4096.
	SessionsPerAddr int
	// TrustedProxies are the addresses and networks (CIDR: 10.0.0.0/8) of proxies that set X-Forwarded-For. For a request
	// from one of them, ConnsPerAddr and SessionsPerAddr use the last address of that header that is not one of them.
	// Default: none, and the hub ignores the header.
	TrustedProxies []string

	// Logger receives what a node's operator wants to know. Credentials, keys and session IDs are never logged.
	// Default: silence.
	Logger *slog.Logger

	// What the files hold.
	tls   *tls.Config
	roots *x509.CertPool
	// What TrustedProxies says.
	proxies []netip.Prefix
}

// withDefaults returns a copy in which every field has its value.
func (o *Options) withDefaults() Options {
	var c Options
	if o != nil {
		c = *o
	}
	c.Addr = cmp.Or(c.Addr, DefaultAddr)
	c.Transports = slices.Clone(c.Transports)
	c.AllowedOrigins = slices.Clone(c.AllowedOrigins)
	c.MaxMessage = cmp.Or(c.MaxMessage, DefaultMaxMessage)
	c.QueueLimit = cmp.Or(c.QueueLimit, DefaultQueueLimit)
	c.OfflineLimit = cmp.Or(c.OfflineLimit, DefaultOfflineLimit)
	c.CallbackLimit = cmp.Or(c.CallbackLimit, DefaultCallbackLimit)
	c.Rate = c.Rate.withDefaults(c.MaxMessage)
	c.AuthTimeout = cmp.Or(c.AuthTimeout, DefaultAuthTimeout)
	c.MuteTimeout = cmp.Or(c.MuteTimeout, DefaultMuteTimeout)
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
