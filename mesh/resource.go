package mesh

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/bigcompany/mesh/protocol"
)

// Resource is a set of methods under one name, as the original has them: the event `creature::talk` of any other node
// runs the method talk of the resource creature, if that is remote. See Node.Resource.
type Resource struct {
	node *Node
	name string

	remote atomic.Bool    // changed under the emitter's mu
	wanted map[string]int // listeners and methods of each event; guarded by the emitter's mu

	mu      sync.Mutex
	methods map[string]*listener
}

// ErrNoMethod is Call's answer for a method that the resource does not have.
var ErrNoMethod = errors.New("mesh: no such method")

// Resource returns the node's resource of this name, the same one each time. It is not remote at first.
//
// The name is one part of an event's: Resource panics if it is empty, is `mesh`, or has an asterisk or a separator in it.
func (n *Node) Resource(name string) *Resource {
	mustBeMethod(name, "method")
	n.emitter.mu.Lock()
	defer n.emitter.mu.Unlock()
	r := n.emitter.resources[name]
	if r == nil {
		r = &Resource{node: n, name: name, wanted: make(map[string]int), methods: make(map[string]*listener)}
		n.emitter.resources[name] = r
	}
	return r
}

// mustBeMethod returns the event of a method. It panics if either name is not one whole part of that.
func mustBeMethod(resource, method string) (event string) {
	event = resource + separator + method
	if err := protocol.CheckEmit(event); err != nil {
		panic("mesh: resource: " + err.Error())
	}
	if !twoParts(event) || resource == "" || method == "" || resource[len(resource)-1] == ':' {
		panic(fmt.Sprintf("mesh: resource %q, method %q: each must be one part of a name", resource, method))
	}
	return event
}

// Name returns the resource's name.
func (r *Resource) Name() string { return r.name }

// Remote tells whether other nodes may run the resource's methods.
func (r *Resource) Remote() bool { return r.remote.Load() }

// SetRemote decides whether the events of other nodes run the resource's methods and call its listeners, and announces
// it. After SetRemote(false) has returned no event does, whatever the hub still sends; a call that is under way goes on.
func (r *Resource) SetRemote(remote bool) {
	if r.node.emitter.setRemote(r, remote) && !r.node.closed.Load() {
		r.node.link.announce()
	}
	// Whoever saw the old value with this lock has begun the call when it is free.
	r.node.executor.mu.Lock()
	defer r.node.executor.mu.Unlock()
}

// Method gives the resource a method: fn is called once for each event `RESOURCE::NAME` that another node emits, while
// the resource is remote, and for each Call. What this node itself emits under that name does not run it. Nothing is
// sent because of a call: what fn has to tell the others, it emits.
//
// fn runs as the callbacks of On do, and off is that of On. Method panics if fn is nil, if the name is not one part of
// an event's name, or if the resource has such a method already.
func (r *Resource) Method(name string, fn func(Event)) (off func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.methods[name] != nil {
		panic(fmt.Sprintf("mesh: resource %q has a method %q already", r.name, name))
	}
	l := r.listener(name, fn)
	r.methods[name] = l
	end := r.node.add(l)
	return func() {
		r.mu.Lock()
		if r.methods[name] == l {
			delete(r.methods, name)
		}
		r.mu.Unlock()
		end()
	}
}

// On calls fn for all that runs the method of this name, whether or not there is such a method: the events of other
// nodes, while the resource is remote, and each Call. A name may have any number of listeners; they and the method are
// called in the order in which they were added. Otherwise On is like Method.
func (r *Resource) On(method string, fn func(Event)) (off func()) {
	return r.node.add(r.listener(method, fn))
}

func (r *Resource) listener(method string, fn func(Event)) *listener {
	if fn == nil {
		panic("mesh: nil callback")
	}
	return &listener{pattern: mustBeMethod(r.name, method), event: fn, resource: r}
}

// Call runs a method of this node's own, remote or not, and calls this node's listeners of `RESOURCE::METHOD`: those of
// the resource, and those of Node.On. Nothing is sent. It returns when the call is queued with the other callbacks, and
// may be called in one. The payload is that of Emit.
//
// The error is ErrNoMethod, ErrQueueFull if the queue of callbacks is full, ErrClosed, or one of encoding/json.
func (r *Resource) Call(method string, payload any) error {
	n := r.node
	if n.closed.Load() {
		return ErrClosed
	}
	r.mu.Lock()
	known := r.methods[method] != nil
	r.mu.Unlock()
	if !known {
		return fmt.Errorf("%w: %q of resource %q", ErrNoMethod, method, r.name)
	}
	event := r.name + separator + method
	raw, err := encodePayload(event, payload)
	if err != nil {
		return err
	}
	t := task{
		event:     Event{Name: event, Payload: raw, From: n.id},
		origin:    called,
		listeners: n.emitter.hearers(event),
		size:      eventSize(event, raw),
	}
	if err := n.executor.reserve(t.size); err != nil {
		return err
	}
	n.executor.commit(t)
	return nil
}

// origin says how an event came to this node.
type origin uint8

const (
	received origin = iota // from a peer
	emitted                // by this node
	called                 // by Call
)

// hears tells whether a listener is there for events of this origin. All but those of resources are.
func (l *listener) hears(from origin) bool {
	return l.resource == nil || from == called || from == received && l.resource.remote.Load()
}
