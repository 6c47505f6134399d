package mesh

import (
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/bigcompany/mesh/mesh/internal/dispatch"
	"github.com/bigcompany/mesh/mesh/internal/wire"
	"github.com/bigcompany/mesh/protocol"
)

// Resource is a set of methods under one name, as in the original. An event `creature::talk` from another node runs the
// method talk of the resource creature, if the resource is remote. See Node.Resource.
type Resource struct {
	node *Node
	name string

	group *dispatch.Group

	mu      sync.Mutex
	methods map[string]*listener
}

// ErrNoMethod is the error of Call for a method that the resource does not have.
var ErrNoMethod = errors.New("mesh: no such method")

// Resource returns the node's resource of this name, and the same resource each time. A new resource is not remote.
//
// The name is one part of an event's name. Resource panics if it is empty, is `mesh`, or contains an asterisk or a
// separator.
func (n *Node) Resource(name string) *Resource {
	mustBeMethod(name, "method")
	n.mu.Lock()
	defer n.mu.Unlock()
	r := n.resources[name]
	if r == nil {
		r = &Resource{node: n, name: name, group: n.listeners.NewGroup(), methods: make(map[string]*listener)}
		n.resources[name] = r
	}
	return r
}

// mustBeMethod returns the event of a method. It panics if either name is not exactly one part of the event's name.
func mustBeMethod(resource, method string) (event string) {
	event = resource + separator + method
	if err := protocol.CheckEmit(event); err != nil {
		panic("mesh: resource: " + err.Error())
	}
	if strings.Count(event, separator) != 1 || resource == "" || method == "" || resource[len(resource)-1] == ':' {
		panic(fmt.Sprintf("mesh: resource %q, method %q: each must be one part of a name", resource, method))
	}
	return event
}

// Name returns the resource's name.
func (r *Resource) Name() string { return r.name }

// Remote reports whether other nodes may run the resource's methods.
func (r *Resource) Remote() bool { return r.group.Remote() }

// SetRemote decides whether events of other nodes run the resource's methods and call its listeners, and announces
// that. After SetRemote(false) has returned, no further event does, even if the hub still sends some. A call that is
// already running continues.
func (r *Resource) SetRemote(remote bool) {
	if r.node.listeners.SetRemote(r.group, remote) && !r.node.closed.Load() {
		r.node.role().Announce()
	}
	r.node.callbacks.Barrier() // each call that used the old value has begun
}

// Method adds a method to the resource. The node calls fn once for each event `RESOURCE::NAME` from another node while
// the resource is remote, and once for each Call. An event that this node itself emits does not run the method. A call
// sends nothing to other nodes; fn can emit events.
//
// fn runs like the callbacks of On, and off is as for On. Method panics if fn is nil, if the name is not one part of an
// event's name, or if the resource already has a method of this name.
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

// On calls fn for everything that runs the method of this name, even if there is no such method: the events of other
// nodes while the resource is remote, and each Call. A name may have any number of listeners. The node calls the
// listeners and the method in the order in which they were added. Otherwise On is like Method.
func (r *Resource) On(method string, fn func(Event)) (off func()) {
	return r.node.add(r.listener(method, fn))
}

func (r *Resource) listener(method string, fn func(Event)) *listener {
	if fn == nil {
		panic("mesh: nil callback")
	}
	l := listenerOf(mustBeMethod(r.name, method), fn)
	l.Group = r.group
	return l
}

// Call runs a method of this node's resource, remote or not. It also calls this node's listeners of `RESOURCE::METHOD`:
// those of the resource, and those of Node.On. It sends nothing to other nodes. It returns when the call is queued for
// the callbacks, and a callback may use it. Call encodes the payload as Emit does.
//
// The error is ErrNoMethod, ErrQueueFull if the callback queue is full, ErrClosed, or an error of encoding/json.
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
	raw, err := wire.Encode(event, payload)
	if err != nil {
		return err
	}
	t := task{
		Event:     delivery{Event: Event{Name: event, Payload: raw, From: n.id}},
		Origin:    dispatch.Called,
		Listeners: n.listeners.Match(event),
		Size:      wire.Size(event, raw),
	}
	if err := n.callbacks.Reserve(t.Size); err != nil {
		return err
	}
	n.callbacks.Commit(t)
	return nil
}
