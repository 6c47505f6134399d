package mesh

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/bigcompany/mesh/mesh/internal/dispatch"
	"github.com/bigcompany/mesh/mesh/internal/stats"
	"github.com/bigcompany/mesh/mesh/internal/uplink"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Node is a member of a mesh: its hub, or a client of its hub. Make a node with Start, Listen, Connect or NewHub, and
// call Close at the end. Any number of goroutines may call the methods at once, and callbacks may call them.
type Node struct {
	// Set at creation and never changed.
	opts      Options
	id        string
	listeners *dispatch.Registry[delivery]
	callbacks *dispatch.Queue[delivery]
	uplink    *uplink.Uplink // nil at a node that begins as a hub
	inbox     inbox
	done      chan struct{}

	onAny, onState, onPresence dispatch.Observers[delivery]

	current atomic.Pointer[role]        // what the node is now; see role.go
	addr    atomic.Pointer[uplink.Addr] // never nil

	counters stats.Counters
	states   states
	closed   atomic.Bool

	mu        sync.Mutex
	err       error
	resources map[string]*Resource
}

func newNode(o Options, id string, addr address) *Node {
	n := &Node{
		opts:      o,
		id:        id,
		listeners: dispatch.NewRegistry[delivery](),
		inbox:     newInbox(id),
		done:      make(chan struct{}),
		resources: make(map[string]*Resource),
	}
	n.callbacks = dispatch.NewQueue(o.CallbackLimit, n.forget, n.warnOfSlowCallbacks)
	n.setAddr(addr.target())
	return n
}

// Role returns the role of the node. It changes at most once: a client that Start made becomes the hub if the hub has
// died and this client is the first on its machine to take over the address. OnState reports the change.
func (n *Node) Role() Role {
	if n.hub() != nil {
		return RoleHub
	}
	return RoleClient
}

// ID returns the node's ID, 32 hexadecimal digits. A client has the same ID at every hub of this package. The peers of
// a Node.js hub know a client by an ID that the hub chose. The client does not know that ID.
func (n *Node) ID() string { return n.id }

// Name returns Options.Name.
func (n *Node) Name() string { return n.opts.Name }

// Addr returns host:port. For a hub it is the address of its listener, with the port that the system chose for port 0.
// For a client it is the address of its hub, or of its last hub. It is empty for a hub without its own listener.
func (n *Node) Addr() string {
	return n.addr.Load().Host
}

// URL returns the URL that clients connect to, in the form that Options.Addr accepts. It is empty for a hub without its
// own listener.
func (n *Node) URL() string {
	return n.addr.Load().URL
}

func (n *Node) setAddr(addr uplink.Addr) { n.addr.Store(&addr) }

// Hub returns the hub that a client is connected to. It returns false if the client is not connected. At a hub, it
// returns that hub.
func (n *Node) Hub() (HubInfo, bool) { return n.role().hubInfo() }

// Stats returns the node's counters.
func (n *Node) Stats() Stats {
	s := readStats(&n.counters)
	s.CallbackQueue = n.callbacks.Size()
	if h := n.hub(); h != nil {
		s.Apart = h.OthersErr() != nil
	}
	return s
}

// Done returns a channel that is closed when the node has ended: after Close, or when a hub's listener failed.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns nil until Done is closed, and afterwards the reason for the node's end: ErrClosed after Close.
func (n *Node) Err() error {
	select {
	case <-n.done:
		n.mu.Lock()
		defer n.mu.Unlock()
		return n.err
	default:
		return nil
	}
}

// Close ends the node in good order: it writes the queued messages, for at most 3 s, and closes the sessions of its
// peers. A client that has no hub drops its queued events. Close drops the events that wait for a callback. It does not
// wait for the callback that is running, so a callback may call Close: call WaitCallback after Close to wait for the end
// of that callback. No further callback is called. Authorize must not call Close. Close may be called more than once; it
// returns nil.
func (n *Node) Close() error {
	n.end(ErrClosed)
	return nil
}

// end closes the node. cause becomes the result of Err.
func (n *Node) end(cause error) {
	if !n.closed.CompareAndSwap(false, true) {
		<-n.done
		return
	}
	n.callbacks.Stop()
	if n.uplink != nil {
		n.uplink.Close()
	}
	if h := n.hub(); h != nil { // the uplink is closed, so the role does not change any more
		h.Close()
	}
	n.mu.Lock()
	n.err = cause
	n.mu.Unlock()
	n.opts.Logger.Info("mesh: node ended", "role", string(n.Role()), "id", n.id)
	close(n.done)
}

// Emit sends an event to every node that subscribes to it, including this node. It never blocks, and callbacks may call
// it. Each receiver gets the events of one goroutine in the order in which that goroutine emitted them.
//
// Emit encodes the payload as JSON with encoding/json. A json.RawMessage must already be JSON: Emit checks it and sends
// it byte for byte, without the surrounding space. nil, or an empty json.RawMessage, means no payload. encoding/json
// writes a []byte as a string in base64.
//
// A nil error means that the event is on its way. A hub has put it into its peers' queues. A client has passed it to
// its connection or, while it has none, to the queue that it sends after the next handshake. With any other error the
// event reaches no node: ErrQueueFull if a queue of this node is full, ErrTooLarge, ErrClosed, an error of package
// protocol for a name that must not be emitted, or an error of encoding/json.
//
// At one of several hubs, a nil error covers only the hub's own peers. If the backplane does not accept the event for
// the other hubs, the hub logs that with ErrBackplaneFull, or with ErrTooLarge if the backplane carries less than
// Options.MaxMessage, and counts the event in Stats.HubsDropped.
func (n *Node) Emit(event string, payload any) error {
	if !protocol.Relayed(event) {
		return fmt.Errorf("mesh: %w", protocol.CheckEmit(event))
	}
	raw, err := wire.Encode(event, payload)
	if err != nil {
		return err
	}
	return n.send(task{
		Event:     delivery{Event: Event{Name: event, Payload: raw, From: n.id}},
		Origin:    dispatch.Emitted,
		First:     n.onAny.All(),
		Listeners: n.listeners.Match(event),
	}, "")
}

// send sends an event of this node to the other nodes and to the listeners in t.
func (n *Node) send(t task, rid string) error {
	event, raw := t.Event.Name, t.Event.Payload
	// The limit holds for the encoded packet. An encoded name is at most six times as long.
	if len(raw)+6*len(event)+packetOverhead > n.opts.MaxMessage {
		return ErrTooLarge
	}
	if n.closed.Load() {
		return ErrClosed
	}
	if len(t.First) == 0 && len(t.Listeners) == 0 {
		return n.sendOut(event, raw, rid)
	}
	// Reserve room first: if this node cannot deliver the event to its own listeners, other nodes must not get it.
	t.Size = wire.Size(event, raw)
	if err := n.callbacks.Reserve(t.Size); err != nil {
		return err
	}
	if err := n.sendOut(event, raw, rid); err != nil {
		n.callbacks.Cancel(t.Size)
		return err
	}
	n.callbacks.Commit(t)
	return nil
}

// packetOverhead is the size of a packet without payload and name, in bytes: field names, the sender's ID, and a frame.
const packetOverhead = 256

// hear queues an event from a hub for this client's listeners. It waits while their queue is full.
func (n *Node) hear(e wire.Event) {
	if t, ok := n.taskOf(&e, n.listeners.Match(e.Name)); ok {
		n.callbacks.Push(t)
	}
}

// taskOf returns the task that delivers an event to this node's listeners; false if this node has no listener for it.
// If the event is a reply to a request of this node, taskOf first passes it to the inbox.
func (n *Node) taskOf(e *wire.Event, listeners []*listener) (t task, ok bool) {
	if e.Name == n.inbox.name {
		n.inbox.receive(Event{Name: e.Name, Payload: e.Payload, From: e.From})
	}
	if len(listeners) == 0 {
		return t, false
	}
	return task{Event: delivery{Event: Event{Name: e.Name, Payload: e.Payload, From: e.From}}, Listeners: listeners, Size: wire.Size(e.Name, e.Payload)}, true
}

// Flush returns nil when the hub has processed everything that this node emitted and announced before the call. The hub
// has then put every event into the queues of its subscribers and passed it to its backplane, if there are other hubs.
// All other hubs then know the subscriptions of this node. Flush skips hubs that do not respond for 3 s. It does not
// confirm that a subscriber received an event or was permitted to.
//
// While there is no connection, Flush waits for the next one until ctx ends; its error then wraps the cause of ctx's
// end. If the connection broke after events were written to it and before a Flush confirmed them, the events may be
// lost. The next Flush then returns ErrUnconfirmed, once, when all other events are processed. At a single hub Flush
// returns at once. At one of several hubs it returns when the other hubs have processed the events, or have not
// responded for 3 s.
//
// In a callback, Flush may block until ctx ends if the callback queue is full, because the response can be queued after
// the waiting events.
func (n *Node) Flush(ctx context.Context) error {
	if n.closed.Load() {
		return ErrClosed
	}
	if n.uplink == nil {
		return n.role().Flush(ctx)
	}
	mark := n.uplink.LossMark()
	var last role
	err := n.retry(func(r role) error { last = r; return r.Flush(ctx) })
	if _, isHub := last.(hubRole); err == nil && isHub { // the uplink reports its losses itself
		err = n.uplink.LossSince(mark)
	}
	return err
}

var errNoHub = errors.New("mesh: this node is not a hub")

// ServeHTTP serves the hub's Engine.IO. Use it to mount a hub in another server, under any prefix: the path before the
// Engine.IO path does not matter. It also serves the client for browsers, at /mesh.js and /mesh.mjs under any prefix,
// and the client finds its hub under the prefix that it was loaded from. With Options.Page it serves the page
// at every path that ends with a slash. The server must not end before the hub is closed. With http.Server:
//
//	srv.RegisterOnShutdown(func() { hub.Close() })
//
// For other paths, and at a node that is not a hub, ServeHTTP responds with status 404.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := n.hub()
	if h == nil {
		http.Error(w, errNoHub.Error(), http.StatusNotFound)
		return
	}
	h.ServeHTTP(w, r)
}

// Shutdown waits until the node can end without loss, and then closes the node as Close does. If ctx ends first,
// Shutdown closes the node all the same and returns the cause of ctx.
//
// A hub with other hubs in its mesh, see Options.Backplane, first asks its peers of this package to move to another hub
// without loss. From then on the hub rejects new peers, and Ready returns an error. It serves each existing peer until
// that peer has moved. A client with only one address dials it again, where a load balancer may lead to another hub. At
// the end the hub closes all other peers, as Close does. A hub that is alone closes at once, because its peers have no
// other hub.
//
// Shutdown of a client waits as Flush does, and returns the errors of Flush. Like Close, Shutdown does not wait for the
// callback that is running.
func (n *Node) Shutdown(ctx context.Context) error {
	var err error
	if !n.closed.Load() {
		err = n.drain(ctx)
	}
	_ = n.Close()
	return err
}

// drain returns when closing the node loses nothing.
func (n *Node) drain(ctx context.Context) (err error) {
	if n.uplink != nil {
		err = n.Flush(ctx)
	}
	if h := n.hub(); h != nil {
		err = cmp.Or(h.Drain(ctx), err) // an earlier loss does not affect the hub's clients
	}
	return err
}
