package natsbackplane

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/nats-io/nats.go"

	"github.com/bigcompany/mesh/mesh"
)

// Defaults of Options.
const (
	DefaultPrefix       = "mesh"
	DefaultQueueLimit   = 16 << 20 // bytes
	DefaultReceiveLimit = 64 << 20 // bytes
)

// overhead is what a message costs beyond its data, in bytes, roughly.
const overhead = 64

// Options are the options of a backplane. The zero value of each field means its default, and nil means all defaults.
type Options struct {
	// Prefix is what all subjects begin with. Hubs with the same prefix form a mesh, and others at the same NATS another.
	// It is one or more tokens of letters, digits, "_" and "-", separated by dots, at most 128 bytes. Default: "mesh".
	Prefix string
	// QueueLimit bounds what waits to be sent, in bytes. Default: 16 MiB.
	QueueLimit int
	// ReceiveLimit bounds what was received and waits for the hub, in bytes. Default: 64 MiB.
	ReceiveLimit int
	// MaxMessage is the hub's mesh.Options.MaxMessage, in bytes. The log warns if NATS carries less. Default: mesh.DefaultMaxMessage.
	MaxMessage int
	// Logger receives what an operator wants to know. Default: silence.
	Logger *slog.Logger
}

// Backplane joins a hub with others through NATS. It implements mesh.Backplane. Make it with New.
type Backplane struct {
	conn     *nats.Conn
	opts     Options
	counters counters
	joined   atomic.Bool
}

// Stats are a backplane's counters.
type Stats struct {
	Published, Received           uint64 // messages
	PublishedBytes, ReceivedBytes uint64 // data of these
	// Duplicates are messages that came more than once because several subscriptions match. Late are those that came after
	// a later one of the same hub, which was connected to another server by then. Echoes are the hub's own. None of them
	// is received.
	Duplicates, Late, Echoes uint64
	// DroppedOut are messages that were refused with mesh.ErrBackplaneFull, or that NATS did not take. DroppedIn are those
	// that came while too much waited for the hub. It is up to a second late.
	DroppedOut, DroppedIn uint64
	Malformed             uint64 // messages that are no other hub's
	Disconnects           uint64 // of the connection, while the hub was a member
	Reconnects            uint64
}

type counters struct {
	published, received, publishedBytes, receivedBytes     atomic.Uint64
	duplicates, late, echoes                               atomic.Uint64
	droppedOut, droppedIn, malformed, disconnects, reconns atomic.Uint64
}

// Settings is a nats.Option that suits the connection of a hub: no echo, reconnecting for ever, soon, and after an authorization error
// too, a connection that is silent for 6 s or takes nothing for 5 s is given up. What comes behind it goes first:
//
//	nats.Connect(url, natsbackplane.Settings, nats.UserCredentials(file))
func Settings(o *nats.Options) error {
	o.NoEcho = true
	o.AllowReconnect, o.MaxReconnect, o.IgnoreAuthErrorAbort = true, -1, true
	o.Timeout = dialTimeout
	o.ReconnectWait, o.ReconnectJitter, o.ReconnectJitterTLS = reconnectWait, reconnectWait, reconnectWait
	o.PingInterval, o.MaxPingsOut = pingInterval, 2
	o.FlusherTimeout, o.ReconnectOnFlusherError = flushTimeout, true
	o.ReconnectErrCB = reportFailure
	return nil
}

// New returns a backplane on a connection, which stays its owner's, to be closed after the hub. It is for one hub at a
// time, each has its own.
func New(conn *nats.Conn, opts *Options) *Backplane {
	b := &Backplane{conn: conn}
	if opts != nil {
		b.opts = *opts
	}
	b.opts.Prefix = cmp.Or(b.opts.Prefix, DefaultPrefix)
	b.opts.QueueLimit = cmp.Or(b.opts.QueueLimit, DefaultQueueLimit)
	b.opts.ReceiveLimit = cmp.Or(b.opts.ReceiveLimit, DefaultReceiveLimit)
	b.opts.MaxMessage = cmp.Or(b.opts.MaxMessage, mesh.DefaultMaxMessage)
	if b.opts.Logger == nil {
		b.opts.Logger = slog.New(slog.DiscardHandler)
	}
	return b
}

// Stats returns the counters, since New. It waits for nothing.
func (b *Backplane) Stats() Stats {
	c := &b.counters
	return Stats{
		Published: c.published.Load(), Received: c.received.Load(),
		PublishedBytes: c.publishedBytes.Load(), ReceivedBytes: c.receivedBytes.Load(),
		Duplicates: c.duplicates.Load(), Late: c.late.Load(), Echoes: c.echoes.Load(),
		DroppedOut: c.droppedOut.Load(), DroppedIn: c.droppedIn.Load(),
		Malformed: c.malformed.Load(), Disconnects: c.disconnects.Load(), Reconnects: c.reconns.Load(),
	}
}

var errJoined = errors.New("natsbackplane: a hub has joined by this backplane already, each needs its own")

// Join makes a hub a member. It fails if the connection is closed, if a hub is a member by this backplane already, or if
// Options.Prefix or the hub's ID is none. While there is no connection yet, or none at the moment, it succeeds:
// mesh.BackplaneMember's Err tells. Unlike the methods of the member it may wait for the connection, if NATS is stalled.
func (b *Backplane) Join(hub string, receive func(from string, data []byte)) (mesh.BackplaneMember, error) {
	subjects, err := newSubjects(b.opts.Prefix)
	if err != nil {
		return nil, err
	}
	id, err := parseHubID(hub)
	if err != nil {
		return nil, err
	}
	if b.conn.IsClosed() {
		return nil, fmt.Errorf("natsbackplane: %w", nats.ErrConnectionClosed)
	}
	if !b.joined.CompareAndSwap(false, true) {
		return nil, errJoined
	}
	return newMember(b, subjects, id, receive), nil
}
