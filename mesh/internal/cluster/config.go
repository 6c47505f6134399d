package cluster

import (
	"encoding/json"
	"log/slog"

	"github.com/bigcompany/mesh/mesh/internal/stats"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Config is the configuration of a cluster.
type Config struct {
	ID       string // of this hub
	Hub      Hub
	Counters *stats.Counters
	Logger   *slog.Logger
}

// Hub is this hub. Any goroutine may call its methods.
type Hub interface {
	// Announce subscribes to the subscriptions of the hub's own listeners.
	Announce()
	// Describe returns the description of the hub, and Count the number of its nodes, including itself.
	Describe() protocol.NodeInfo
	Count() int
	// Receive routes events of one emitter at another hub to the hub's peers and listeners.
	Receive(events []wire.Event, from string)
	// Presence reports a join or leave at another hub to the hub's peers and listeners.
	Presence(event string, info json.RawMessage)
	// Quiesce waits until the events that the hub was routing at the time of the call are in the queues of the peers,
	// and published.
	Quiesce()
	// Supersede ends the peers whose nodes have newer connections at another hub. conns has the numbers of those
	// connections by the node's ID. If a node has connected here since, Supersede adds the connection to newer.
	// Otherwise it calls expect, before it ends the peer.
	Supersede(conns map[string]uint64, expect func(id string, conn uint64)) (newer map[string]uint64)

	// Page returns a page of the hub's nodes as JSON, and the start of the next page; 0 after the last one. Groups
	// returns the groups of its nodes, and the number of the other nodes.
	Page(after, limit int, find wire.NodeFilter) (nodes []json.RawMessage, next int)
	Groups() (groups []wire.NodeGroup, ungrouped int)
	// ExplainOwn reports whether the hub's node to receives an event, and MayEmitOwn which rule stops the hub's node
	// from when it emits it. ok is false if the hub has no such node.
	ExplainOwn(from, to, event string, refused protocol.Rule) (e protocol.Explanation, ok bool)
	MayEmitOwn(from, event string) (refused protocol.Rule, ok bool)
}

// Member is the hub's membership in the backplane: mesh.BackplaneMember, which documents it.
type Member interface {
	Subscribe(patterns ...string)
	Unsubscribe(patterns ...string)
	Publish(name string, data []byte, unheard func()) error
	Err() error
	Close() error
}
