package uplink

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"time"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/mesh/internal/stats"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Config is the configuration of an uplink. Package mesh documents the options of the same names.
type Config struct {
	ID, Key        string // the ID of the node, and the secret that the ID is made from
	Name           string
	User, Password string
	Addrs          []Addr // of hubs, in the order of the first attempts
	Local          Local
	Counters       *stats.Counters
	Logger         *slog.Logger

	Transports []engineio.Transport
	HTTPClient *http.Client
	Header     http.Header
	Transport  *http.Transport // for all requests of the uplink; nil if each session has a separate one

	MaxMessage, QueueLimit, OfflineLimit int
	HoldLimit                            int // bytes of the events that the uplink holds while it moves to another hub

	// TakeOver makes the node a hub, if the address Own is free and may belong to this node. Otherwise it returns nil,
	// and the address that leads to the hub there. It is nil for a node that always remains a client.
	TakeOver func(ctx context.Context, own Addr) (Successor, Addr)
	Own      Addr // one of Addrs; not used without TakeOver
}

// Addr is the address of a hub.
type Addr struct {
	URL  string // the URL that the uplink dials
	Host string // host:port, for people
}

// Hub describes the hub that a connection leads to.
type Hub struct {
	Legacy   bool // a Node.js hub; the other fields are empty
	ID, Name string
}

// State is a report of the uplink: a connection was made or lost, or an attempt failed.
type State struct {
	Connected bool
	Hub       Hub           // if Connected
	Err       error         // otherwise the reason
	Attempt   int           // failed attempts since the connection was lost
	Retry     time.Duration // the pause before the next attempt
}

// Rejection is the error of a hub that does not admit the node.
type Rejection struct {
	Message string // at most maxRejection bytes
}

func (e *Rejection) Error() string {
	return fmt.Sprintf("mesh: the hub rejected this node: %q", e.Message)
}

// Local is the node of the uplink. Any goroutine may call its methods, also while it holds the uplink's lock, except
// Receive, Presence and Report: these three wait while the node's queue for callbacks is full.
type Local interface {
	// Version counts the changes of the node's subscriptions. Table returns the event table that announces them, and
	// its version.
	Version() uint64
	Table() (protocol.EventTable, uint64)
	// WatchesPresence reports whether the node has listeners for joins and leaves. Presence queues a join or leave for
	// them.
	WatchesPresence() bool
	Presence(event string, info json.RawMessage, wait bool) (queued bool)
	// Receive queues an event of another node for the node's listeners.
	Receive(e wire.Event)
	// FailRequest ends a request of the node with an error.
	FailRequest(rid string, err error)
	// Reached is called with the address of each connection that becomes the uplink's, before Report. MetLegacyHub is
	// called when a Node.js hub has replied, which does not support patterns.
	Reached(addr Addr)
	MetLegacyHub()
	// Report queues a report for the node's listeners.
	Report(s State)
}

// Successor is the hub that the node has become. TakeOver returns it before it serves.
type Successor interface {
	// Abandon undoes TakeOver. The uplink calls it instead of all other methods if it is being closed.
	Abandon()
	// Begin makes the node a hub whose queue the uplink still has. The uplink holds its lock.
	Begin()
	// Serve makes the hub accept connections.
	Serve()
	// Report reports to the node's listeners that the node is the hub. It waits while their queue is full.
	Report()
	// Continue passes on the sequence number of the last event that the uplink has sent. Accept then passes on the
	// queued events, and End makes the hub receive later ones. The uplink holds its lock during these calls.
	Continue(seq uint64)
	Accept(event string, payload json.RawMessage, rid string) error
	End()
}

const (
	// closeTimeout bounds how long Close waits until a move has ended and queued messages are written.
	closeTimeout = 3 * time.Second
	// connectTimeout bounds an attempt to reconnect to the only address, or to take over. moveTimeout bounds an attempt
	// at one of several addresses, and the connection and handshake of a move.
	connectTimeout = 15 * time.Second
	moveTimeout    = 3 * time.Second
	// The pause between attempts to reconnect doubles from minBackoff to maxBackoff. Half of each pause is random.
	minBackoff = 50 * time.Millisecond
	maxBackoff = 5 * time.Second
	// After a connection that lasted for steadyTime, the pauses start again at minBackoff. steadyTime limits how often
	// a client calls a hub that accepts and closes each connection. It is short because a client must find the next hub
	// at once in a mesh whose hubs are killed repeatedly.
	steadyTime = time.Second
)
