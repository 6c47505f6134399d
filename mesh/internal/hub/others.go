package hub

import (
	"context"
	"encoding/json"

	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Others are the other hubs of the mesh. A hub that is the only one has alone. Any goroutine may call the methods.
type Others interface {
	// Alone reports whether there is no hub to publish to.
	Alone() bool
	// Attend waits, after some seconds in which the process did not run, until the other hubs have reported the nodes
	// that have reconnected to them.
	Attend(ctx context.Context)

	// Publish sends events of one name and emitter to the hubs that subscribe to them. It calls unheard, if not nil,
	// when it is known that no other hub has a subscriber, and unsent, if not nil, if the events cannot be sent.
	Publish(events []wire.Event, unheard func(), unsent func(error))
	// Subscribe counts names and patterns that this hub's peers and listeners subscribe to or unsubscribe from. Await
	// waits until all other hubs know the subscriptions of a version.
	Subscribe(add, remove []string) (version uint64)
	Await(ctx context.Context, version uint64)
	// Sync waits until all other hubs have processed everything that this hub has published, and this hub has processed
	// everything that they had published by then. It returns false if a hub that may be alive has not replied in time.
	Sync(ctx context.Context) (sure bool)
	// Claim reports that a node emits here, on its connection with this number. It returns when the other hubs have
	// routed all earlier events of the node, or have not replied in time.
	Claim(ctx context.Context, id string, conn uint64)

	// WatchPresence turns the reports of joins and leaves at other hubs on or off. ReportPresence reports a join or
	// leave at this hub.
	WatchPresence(on bool)
	ReportPresence(event string, info json.RawMessage)

	// IDs returns the IDs of the other hubs, in the order in which this hub met them, which gives each a number. After
	// returns the hub with the lowest number that is at least n, or 0. Infos returns the descriptions of at most limit
	// hubs. NodeCount returns the number of nodes at all other hubs.
	IDs() []string
	After(n int) (id string, number int)
	Infos(limit int) []protocol.NodeInfo
	NodeCount() int
	// AskNodes asks another hub for a page of its nodes, and AskGroups for the groups of its nodes. They call reply
	// once, with ok false if no reply arrives. The goroutine that processes the other hub's messages calls it, before
	// the hub's later messages.
	AskNodes(hub string, after, limit int, find wire.NodeFilter, reply func(nodes []json.RawMessage, next int, ok bool))
	AskGroups(hub string, reply func(groups []wire.NodeGroup, ungrouped int))
	// AskEmit asks all other hubs which rule stops the node from when it emits an event. AskExplain asks them whether
	// the node with the ID to receives the event; refused is the rule that stops the emitter. ok is false if no hub
	// that replies has the node.
	AskEmit(ctx context.Context, from, event string) (refused protocol.Rule, ok bool)
	AskExplain(ctx context.Context, from, to, event string, refused protocol.Rule) (e protocol.Explanation, ok bool)

	// Err returns the reason why the other hubs cannot be reached, or nil.
	Err() error
	Close()
}

// alone is the Others of a hub that is the only hub of its mesh.
type alone struct{}

func (alone) Alone() bool            { return true }
func (alone) Attend(context.Context) {}

func (alone) Publish(_ []wire.Event, unheard func(), _ func(error)) {
	if unheard != nil {
		unheard()
	}
}
func (alone) Subscribe(_, _ []string) uint64                        { return 0 }
func (alone) Await(context.Context, uint64)                         {}
func (alone) Sync(context.Context) bool                             { return true }
func (alone) Claim(context.Context, string, uint64)                 {}
func (alone) WatchPresence(bool)                                    {}
func (alone) ReportPresence(string, json.RawMessage)                {}
func (alone) IDs() []string                                         { return nil }
func (alone) After(int) (string, int)                               { return "", 0 }
func (alone) Infos(int) []protocol.NodeInfo                         { return nil }
func (alone) NodeCount() int                                        { return 0 }
func (alone) Err() error                                            { return nil }
func (alone) Close()                                                {}
func (alone) AskGroups(_ string, reply func([]wire.NodeGroup, int)) { reply(nil, 0) }

func (alone) AskNodes(_ string, _, _ int, _ wire.NodeFilter, reply func([]json.RawMessage, int, bool)) {
	reply(nil, 0, false)
}

func (alone) AskEmit(context.Context, string, string) (protocol.Rule, bool) { return "", false }

func (alone) AskExplain(context.Context, string, string, string, protocol.Rule) (protocol.Explanation, bool) {
	return protocol.Explanation{}, false
}
