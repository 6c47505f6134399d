package hub

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/netip"
	"sync/atomic"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/stats"
	"github.com/bigcompany/mesh/mesh/internal/wire"
)

// Config is the configuration of a hub. Package mesh documents the options of the same names.
type Config struct {
	ID, Name string
	Addr     string // on which the hub listens, as host:port; empty if it listens on none
	Path     string // of Engine.IO
	Local    Local
	Counters *stats.Counters
	Logger   *slog.Logger

	Transports         []engineio.Transport
	AllowedOrigins     []string
	TrustForwardedHost bool
	TrustedProxies     []netip.Prefix
	TLS                *tls.Config // nil without TLS
	Page               bool        // serve the web page
	Handler            http.Handler

	Authorize                func(ctx context.Context, p Identity) error // nil admits every peer
	Permit                   func(p Identity, a Action, event string) bool
	AuthTimeout, MuteTimeout time.Duration

	MaxMessage, QueueLimit        int
	BufferLimit                   int64
	Rate                          Rate
	ConnsPerAddr, SessionsPerAddr int
}

// Identity identifies a peer to Authorize and Permit.
type Identity struct{ ID, User, Password, Token, Name, RemoteAddr string }

// Action is an action of a peer.
type Action uint8

// The actions of a peer.
const (
	Emit   Action = 1 << iota // the hub accepts the event from the peer
	Listen                    // the hub sends the event to the peer
)

// Local is the hub's own node: the listeners that the node has itself. Any goroutine may call its methods.
type Local interface {
	// Deliver queues events for the node's listeners, and returns the number of events that it did not queue. If
	// superseded is not nil, the events come from a peer of this hub: Deliver waits while the queue is full, until
	// superseded is set, and copies the payloads. Otherwise it never waits.
	Deliver(events []wire.Event, superseded *atomic.Bool) (missed int)
	// Settle returns when no call of Deliver is in progress that began before superseded was set.
	Settle()
	// Listens reports whether a listener receives an event of another node.
	Listens(event string) bool
	// Interests returns the names and patterns that the node subscribes to, sorted.
	Interests() []string
	// WatchesPresence reports whether the node has listeners for joins and leaves. Presence queues a join or leave for
	// them. It returns false if it must not wait and the queue is full.
	WatchesPresence() bool
	Presence(event string, info json.RawMessage, wait bool) (queued bool)
	// FailRequest ends a request of the node with an error.
	FailRequest(rid string, err error)
	// Fail ends the node, because the hub can no longer accept connections on an address.
	Fail(err error)
	// Done is closed when the node has ended.
	Done() <-chan struct{}
}
