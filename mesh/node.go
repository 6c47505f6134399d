package mesh

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// Role is what a node is in its mesh.
type Role string

// The roles.
const (
	Hub    Role = "hub"
	Client Role = "client"
)

// Node is a member of a mesh: its hub, or a client of that. Make one with Start, Listen, Connect or NewHub, and Close it.
// All methods may be called by any number of goroutines at once, and in callbacks.
type Node struct {
	// Fixed at creation.
	opts     Options
	id       string
	emitter  *emitter
	executor *executor
	link     link
	inbox    inbox
	done     chan struct{}

	hub  atomic.Pointer[hub]     // nil at a client, which may become a hub
	addr atomic.Pointer[address] // never nil

	counters counters
	numbered atomic.Uint64 // the number of the last event that the node has emitted as the hub
	closed   atomic.Bool

	mu  sync.Mutex
	err error
}

// link is a node's way to the others.
type link interface {
	// emit sends an event of this node's own. It does not block. For a request whose rid is given, the node wants to
	// know if nobody listens.
	emit(event string, payload json.RawMessage, rid string) error
	// announce is called when what the node wants to hear has changed.
	announce()
	flush(ctx context.Context) error
	// drain returns when the node can be closed and nothing is lost by that.
	drain(ctx context.Context) error
	sockets() []*engineio.Socket
	// hubInfo says where the link leads.
	hubInfo() (HubInfo, bool)
	nodes(ctx context.Context) ([]NodeInfo, error)
	explain(ctx context.Context, from, to, event string) (Explanation, error)
	// watch is called when OnPresence has got its first listener, or lost its last.
	watch()
	// close ends it in good order and waits for its goroutines, but not for callbacks.
	close()
}

func newNode(o Options, id string, addr address) *Node {
	n := &Node{
		opts:     o,
		id:       id,
		emitter:  newEmitter(),
		executor: newExecutor(o.CallbackLimit, o.Logger),
		inbox:    newInbox(id),
		done:     make(chan struct{}),
	}
	n.executor.spent = n.forget
	n.addr.Store(&addr)
	return n
}

// randomHex returns 128 random bits: the ID of a hub or of a peer that offers no key, or a key.
func randomHex() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// Role returns what the node is. It changes at most once: a client that was made by Start becomes the hub if the hub has
// died and it is the first on its machine to take over the address. OnState tells.
func (n *Node) Role() Role {
	if n.hub.Load() != nil {
		return Hub
	}
	return Client
}

// ID returns the node's ID, 32 hexadecimal digits. A client has the same at every hub of this package. To the peers of
// a Node hub a client has the ID that this hub gave it, which the client does not know.
func (n *Node) ID() string { return n.id }

// Name returns Options.Name.
func (n *Node) Name() string { return n.opts.Name }

// Addr returns host:port: what a hub is bound to, with the port that the system chose if it was to choose one, or what a
// client is connected to, or was last. It is empty at a hub without a listener of its own.
func (n *Node) Addr() string {
	addr := n.addr.Load()
	if addr.host == "" {
		return ""
	}
	return addr.String()
}

// URL returns the URL that clients connect to, as Options.Addr takes it. It is empty at a hub without a listener of its
// own.
func (n *Node) URL() string {
	addr := n.addr.Load()
	if addr.host == "" {
		return ""
	}
	return addr.url()
}

// Hub says which hub a client is connected to; false if it is not connected. A hub gives itself.
func (n *Node) Hub() (HubInfo, bool) { return n.link.hubInfo() }

// Stats returns the node's counters.
func (n *Node) Stats() Stats {
	s := n.counters.read()
	s.CallbackQueue = n.executor.size()
	if h := n.hub.Load(); h != nil && h.cluster != nil {
		s.Apart = h.cluster.member.Err() != nil
	}
	return s
}

// Done is closed when the node has ended: after Close, or when a hub's listener failed.
func (n *Node) Done() <-chan struct{} { return n.done }

// Err returns nil until Done is closed, then why the node ended: ErrClosed after Close.
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

// Close ends the node in good order: what was emitted is written, within 3 s, and peers are told. A client drops what
// waits for a hub to come back. Events that wait for a callback are dropped; Close waits for the callback that is
// running, unless it was called by it. After that no callback is called. It must not be called in Authorize. Close may
// be called more than once; it returns nil.
func (n *Node) Close() error {
	n.end(ErrClosed)
	n.executor.wait()
	return nil
}

// end is Close, but it does not wait for the callback that is running.
func (n *Node) end(cause error) {
	if !n.closed.CompareAndSwap(false, true) {
		<-n.done
		return
	}
	n.executor.halt()
	n.link.close()
	n.mu.Lock()
	n.err = cause
	n.mu.Unlock()
	n.opts.Logger.Info("mesh: node ended", "role", string(n.Role()), "id", n.id)
	close(n.done)
}

// Emit sends an event to every node that listens to it, this one included. It never blocks and may be called in
// callbacks. What one goroutine emits, each receiver gets in that order.
//
// The payload is encoded as JSON by encoding/json, except that a json.RawMessage or []byte is taken as JSON already,
// checked, and sent byte for byte without the space around it. nil, or no bytes, means no payload.
//
// A nil error means that the event is on its way: a hub has handed it to its peers' queues, a client to its connection
// or, while it has none, to the queue that goes out after the next handshake. Otherwise the event reaches nobody:
// ErrQueueFull if a queue of this node is full, ErrTooLarge, ErrClosed, an error of package protocol for a name that may
// not be emitted, or one of encoding/json.
//
// At one of several hubs that holds for the hub's own peers. What the backplane does not take for the other hubs is logged,
// and counted in Stats.HubsDropped: with ErrBackplaneFull, or with ErrTooLarge if it carries less than Options.MaxMessage.
func (n *Node) Emit(event string, payload any) error {
	if !protocol.Relayed(event) {
		return fmt.Errorf("mesh: %w", protocol.CheckEmit(event))
	}
	raw, err := encodePayload(event, payload)
	if err != nil {
		return err
	}
	return n.send(task{
		event:     Event{Name: event, Payload: raw, From: n.id},
		origin:    emitted,
		any:       *n.emitter.any.Load(),
		listeners: n.emitter.hearers(event),
	}, "")
}

// send sends an event of this node's own to the others, and to those of its listeners that t has.
func (n *Node) send(t task, rid string) error {
	event, raw := t.event.Name, t.event.Payload
	// As encoded, the worst case for the name included.
	if len(raw)+6*len(event)+packetOverhead > n.opts.MaxMessage {
		return ErrTooLarge
	}
	if n.closed.Load() {
		return ErrClosed
	}
	if len(t.any) == 0 && len(t.listeners) == 0 {
		return n.link.emit(event, raw, rid)
	}
	// The room is taken first: an event that this node cannot hear must not be heard by others.
	t.size = eventSize(event, raw)
	if err := n.executor.reserve(t.size); err != nil {
		return err
	}
	if err := n.link.emit(event, raw, rid); err != nil {
		n.executor.cancel(t.size)
		return err
	}
	n.executor.commit(t)
	return nil
}

// packetOverhead is what a packet has beyond payload and name: field names, the sender's ID, a frame.
const packetOverhead = 256

// hear hands an event that a hub has sent to this client's listeners. While their queue is full it waits.
func (n *Node) hear(e Event) {
	if t, ok := n.taskOf(&e, n.emitter.hearers(e.Name)); ok {
		n.executor.push(t)
	}
}

// hearRow hands events that have come together to this hub's own listeners. From a peer, it waits while their queue is full,
// and the memory of the payloads is used again when it returns. From another hub, it never waits: with it would wait all that
// this hub's peers hear from others: from is nil then. It returns how many were not queued.
func (n *Node) hearRow(events []routed, from *peer) (missed int) {
	var listeners []*listener
	for i := range events {
		if i == 0 || events[i].Name != events[i-1].Name {
			listeners = n.emitter.hearers(events[i].Name)
		}
		t, ok := n.taskOf(&events[i].Event, listeners)
		switch {
		case !ok:
		case from != nil:
			t.event.Payload = bytes.Clone(t.event.Payload)
			if !n.executor.pushFor(t, &from.superseded) {
				missed++
			}
		case errors.Is(n.executor.offer(t), ErrQueueFull):
			missed++
		}
	}
	return missed
}

// taskOf returns what an event is for this node's listeners, if there are any. An answer to a request of this node does not
// go their way.
func (n *Node) taskOf(e *Event, listeners []*listener) (t task, ok bool) {
	if e.Name == n.inbox.name {
		n.inbox.receive(*e)
	}
	if len(listeners) == 0 {
		return t, false
	}
	return task{event: *e, listeners: listeners, size: eventSize(e.Name, e.Payload)}, true
}

// Flush returns nil when the hub has processed all that this node emitted and announced before the call: it has handed
// it to the queues of those who listen, and to its backplane if it has other hubs, all of which know by then what this
// node listens to, except those that have not answered for 3 s. That does not mean that they got it, or were allowed to.
//
// While there is no connection, Flush waits for the next one, until ctx ends; its error is then the cause of that. If
// the connection broke after events were written to it and before a Flush confirmed them, they may be lost: the next
// Flush returns ErrUnconfirmed, once, when everything else is processed. At a hub that is alone Flush returns at once, at
// one of several when the others have dealt with what it emitted, or have not answered for 3 s.
//
// In a callback Flush can only succeed while there is room in the queue for callbacks, which the answer may stand
// behind.
func (n *Node) Flush(ctx context.Context) error {
	if n.closed.Load() {
		return ErrClosed
	}
	return n.link.flush(ctx)
}

var errNoHub = errors.New("mesh: this node is no hub")

// ServeHTTP serves the hub's Engine.IO, for those who mount a hub in a server of their own, under any prefix: what comes
// before the path of Engine.IO does not matter. Nor does it before /mesh.js and /mesh.mjs, the client for browsers, which
// finds its hub under the prefix that it was loaded from, nor before the page: it is at every path that ends with a slash,
// unless there is Options.NoPage. The server must not end before the hub is closed; with
// http.Server:
//
//	srv.RegisterOnShutdown(func() { hub.Close() })
//
// Other paths, and nodes that are no hub, get 404.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := n.hub.Load()
	if h == nil {
		http.Error(w, errNoHub.Error(), http.StatusNotFound)
		return
	}
	h.serveMounted(w, r)
}
