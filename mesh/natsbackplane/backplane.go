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
	defaultPrefix       = "mesh"
	defaultQueueLimit   = 16 << 20 // bytes
	defaultReceiveLimit = 64 << 20 // bytes
)

// overhead is the approximate memory of a message in addition to its data, in bytes.
const overhead = 64

// Options are the options of a backplane. The zero value of a field selects its default. A nil *Options selects all
// defaults.
type Options struct {
	// Prefix is the beginning of all subjects. Hubs with the same prefix form a mesh. Hubs with another prefix form
	// another mesh on the same NATS. It consists of one or more tokens of letters, digits, "_" and "-", separated by
	// dots, and has at most 128 bytes. Default: "mesh".
	Prefix string
	// QueueLimit limits the messages that wait to be sent, in bytes. Default: 16 MiB.
	QueueLimit int
	// ReceiveLimit limits the received messages that wait for the hub, in bytes. Default: 64 MiB.
	ReceiveLimit int
	// MaxMessage is the hub's mesh.Options.MaxMessage, in bytes. The log warns if NATS carries less. Default:
	// mesh.DefaultMaxMessage.
	MaxMessage int
	// Logger receives messages for the operator. Default: the backplane logs nothing.
	Logger *slog.Logger
}

// Backplane joins a hub with other hubs through NATS. It implements mesh.Backplane. Make it with New.
type Backplane struct {
	conn     *nats.Conn
	opts     Options
	counters counters
	joined   atomic.Bool
}

// Stats are a backplane's counters.
type Stats struct {
	Published, Received           uint64 // messages
	PublishedBytes, ReceivedBytes uint64 // bytes of the data of these messages
	// Messages that the hub does not receive. Duplicates are further copies of a message that several subscriptions
	// match. Late are messages that arrived after a later message of the same hub, which had moved to another server.
	// Echoes are the hub's own messages.
	Duplicates, Late, Echoes uint64
	// DroppedOut are messages that failed with mesh.ErrBackplaneFull, or that NATS did not accept. DroppedIn are
	// messages that arrived while the queue for the hub was full; it lags by up to a second.
	DroppedOut, DroppedIn uint64
	Malformed             uint64 // messages that are not valid messages of another hub
	Disconnects           uint64 // of the connection while the hub was a member; the same holds for Reconnects
	Reconnects            uint64
}

type counters struct {
	published, received, publishedBytes, receivedBytes     atomic.Uint64
	duplicates, late, echoes                               atomic.Uint64
	droppedOut, droppedIn, malformed, disconnects, reconns atomic.Uint64
}

// Settings is a nats.Option for the connection of a hub. It sets no echo, and reconnecting soon, forever, and also
// after an authorization error. It makes the client give up a connection that is silent for 6 s or that accepts no data
// for 5 s. Options after Settings override it:
//
//	nats.Connect(url, natsbackplane.Settings, nats.UserCredentials(file))
func Settings(o *nats.Options) error {
	o.NoEcho = true
	o.AllowReconnect, o.MaxReconnect, o.IgnoreAuthErrorAbort = true, -1, true
	o.Timeout = dialTimeout
	o.ReconnectWait, o.ReconnectJitter, o.ReconnectJitterTLS = reconnectWait, reconnectWait, reconnectWait
	o.PingInterval, o.MaxPingsOut = pingInterval, 2
	o.FlusherTimeout, o.ReconnectOnFlusherError = flushTimeout, true
	o.ReconnectErrCB = reportReconnectError
	return nil
}

// New returns a backplane on a connection. The owner keeps the connection and closes it after the hub. A backplane
// serves one hub at a time, so each hub needs its own.
func New(conn *nats.Conn, opts *Options) *Backplane {
	b := &Backplane{conn: conn}
	if opts != nil {
		b.opts = *opts
	}
	b.opts.Prefix = cmp.Or(b.opts.Prefix, defaultPrefix)
	b.opts.QueueLimit = cmp.Or(b.opts.QueueLimit, defaultQueueLimit)
	b.opts.ReceiveLimit = cmp.Or(b.opts.ReceiveLimit, defaultReceiveLimit)
	b.opts.MaxMessage = cmp.Or(b.opts.MaxMessage, mesh.DefaultMaxMessage)
	if b.opts.Logger == nil {
		b.opts.Logger = slog.New(slog.DiscardHandler)
	}
	return b
}

// Stats returns the counters since New. It does not block.
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

// Join makes a hub a member. It fails if the connection is closed, if this backplane already has a member, or if
// Options.Prefix or the hub's ID is invalid. It succeeds if the connection is not established yet or is interrupted;
// the member's Err reports that. Unlike the methods of the member, Join may wait for the connection if NATS stalls.
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
