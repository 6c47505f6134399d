package mesh

import (
	"encoding/json"
	"errors"
	"strconv"

	"github.com/bigcompany/mesh/engineio"
	"github.com/bigcompany/mesh/protocol"
)

// Presence says that a node has joined the mesh or left it.
type Presence struct {
	Joined bool // otherwise it left
	Node   NodeInfo
}

// OnPresence calls fn when another node has joined the mesh or left it; a node whose connection broke and that is back
// before the hub noticed joins twice. It is not called with those that are there already: call Nodes after OnPresence,
// and nobody is missed. A client hears nothing while it has no hub, see OnState, and nothing at all from a Node hub, or
// from a hub that is watched by 256 others, or by 64 of the same user. See On for off. It panics if fn is nil.
//
// Of several hubs, one that is lost leaves, and with it all nodes whose NodeInfo.Hub is its ID, for which fn is not called.
// Nor is it when that hub is back: it joins, and may have nodes already. Call Nodes again when a node joins whose Role is Hub.
func (n *Node) OnPresence(fn func(Presence)) (off func()) {
	if fn == nil {
		panic("mesh: nil callback")
	}
	l := &listener{event: func(e Event) {
		p := Presence{Joined: e.Name == protocol.NameJoin}
		if e.Decode(&p.Node) == nil {
			fn(p)
		}
	}}
	n.emitter.watch(&n.emitter.presence, l)
	n.link.watch()
	return func() {
		n.executor.retire(l)
		n.emitter.unwatch(&n.emitter.presence, l)
		n.link.watch()
		n.executor.settle(l)
	}
}

// noticeOf returns what a join or leave is for OnPresence's listeners, if there are any.
func (n *Node) noticeOf(event string, info json.RawMessage) (t task, ok bool) {
	listeners := *n.emitter.presence.Load()
	if len(listeners) == 0 {
		return t, false
	}
	return task{event: Event{Name: event, Payload: info}, listeners: listeners, size: eventSize(event, info)}, true
}

// maxWatchers limits the peers to which a hub reports who comes and goes, and maxWatchersOfMember those of one member.
const (
	maxWatchers         = 256
	maxWatchersOfMember = 64
)

// appear tells those who watch that a peer has joined.
func (p *peer) appear() {
	r := &p.hub.roster
	r.mu.Lock()
	if p.superseded.Load() {
		r.mu.Unlock()
		return
	}
	p.present = true
	told := p.hub.tell(protocol.NameJoin, p)
	r.mu.Unlock()
	if told.finish(); told.own {
		p.hub.node.executor.push(told.task)
	}
}

// vanish tells those who watch that a peer has left, unless it is back already.
func (p *peer) vanish() {
	r := &p.hub.roster
	r.mu.Lock()
	delete(r.watchers, p)
	p.hub.listenForOthers()
	var told notice
	if p.present && !p.superseded.Load() && r.ids[p.id] == p && p.other == nil {
		told = p.hub.tell(protocol.NameLeave, p)
	}
	p.present = false
	r.mu.Unlock()
	if told.finish(); told.own {
		p.hub.node.executor.push(told.task)
	}
}

// vanished is vanish for a peer that was superseded, unless its node is back at this hub. It does not wait for callbacks.
func (h *hub) vanished(p *peer) {
	r := &h.roster
	r.mu.Lock()
	h.listenForOthers()
	var told notice
	if p.present && r.ids[p.id] == nil {
		told = h.tell(protocol.NameLeave, p)
	}
	r.mu.Unlock()
	if told.finish(); told.own && errors.Is(h.node.executor.offer(told.task), ErrQueueFull) {
		h.missed(1, protocol.NameLeave)
	}
}

// notice is what is left to do, without a lock, when those who watch were told of a peer.
type notice struct {
	slow []*peer
	task task // for the hub's own listeners, if own
	own  bool
}

func (n *notice) finish() {
	for _, p := range n.slow {
		p.overflow()
	}
}

// tell tells those who watch about a peer. The caller holds h.roster.mu.
func (h *hub) tell(event string, about *peer) (told notice) {
	own := *h.node.emitter.presence.Load()
	r := &h.roster
	if len(own) == 0 && len(r.watchers) == 0 && h.cluster == nil {
		return told
	}
	info := encodeInfo(h.describe(about))
	told.slow = r.notify(event, info, about)
	h.cluster.tell(event, info)
	told.task, told.own = h.node.noticeOf(event, info)
	return told
}

// pass tells those who watch about a node of another hub, or about that hub. It does not wait for callbacks.
func (h *hub) pass(event string, info json.RawMessage) {
	h.roster.mu.Lock()
	slow := h.roster.notify(event, info, nil)
	h.roster.mu.Unlock()
	for _, p := range slow {
		p.overflow()
	}
	if t, ok := h.node.noticeOf(event, info); ok && errors.Is(h.node.executor.offer(t), ErrQueueFull) {
		h.missed(1, event)
	}
}

// notify tells peers about another one, or about a node of another hub, and returns those whose queue is full. The caller
// holds r.mu: nobody may be told that a node is there after having been told that it has left.
func (r *roster) notify(event string, info json.RawMessage, about *peer) (slow []*peer) {
	if len(r.watchers) == 0 {
		return nil
	}
	m := []engineio.Message{engineio.Prepare(reserved(event, info))}
	for p := range r.watchers {
		// Permissions may be others by now than when it asked to be told.
		if p != about && p.may(MayEmit, protocol.NameNodes) && !p.offer(m) {
			slow = append(slow, p)
		}
	}
	return slow
}

func (h *hub) watch() {
	h.roster.mu.Lock()
	defer h.roster.mu.Unlock()
	h.listenForOthers()
}

// watchFor has a peer told who comes and goes, or no more. The caller holds h.roster.mu.
func (h *hub) watchFor(p *peer, on bool) bool {
	ok := h.roster.watch(p, on)
	h.listenForOthers()
	return ok
}

func (p *peer) stopWatching() {
	p.hub.roster.mu.Lock()
	defer p.hub.roster.mu.Unlock()
	_ = p.hub.watchFor(p, false)
}

// watch has a peer told who comes and goes, or no more. The caller holds r.mu.
func (r *roster) watch(p *peer, on bool) bool {
	if !on {
		delete(r.watchers, p)
		return true
	}
	if _, is := r.watchers[p]; is {
		return true
	}
	member, same := p.member(), 0
	for _, other := range r.watchers {
		if member != "" && other == member {
			same++
		}
	}
	if len(r.watchers) == maxWatchers || same == maxWatchersOfMember {
		return false
	}
	if r.watchers == nil {
		r.watchers = make(map[*peer]string)
	}
	r.watchers[p] = member
	return true
}

// member returns the member of the mesh that a peer belongs to: the same for all peers with its credentials or, where the
// hub asks for none, with its address. It is empty for a peer without credentials whose address does not count, see
// Options.ConnsPerAddr.
func (p *peer) member() string {
	c := p.credentials()
	if p.user != "" || c.Token != "" {
		return "credentials " + strconv.Quote(p.user) + c.Token
	}
	if r := p.sock.Request(); r != nil {
		if addr := p.hub.guests.addr(r); addr.IsValid() {
			return addr.String()
		}
	}
	return ""
}

// listenForOthers has the other hubs tell who comes and goes there, if somebody here wants to know. The caller holds
// h.roster.mu.
func (h *hub) listenForOthers() {
	h.cluster.watch(len(h.roster.watchers) > 0 || len(*h.node.emitter.presence.Load()) > 0)
}

// watches returns whether the hub is to tell who comes and goes.
func (c *client) watches() *bool {
	watches := len(*c.node.emitter.presence.Load()) > 0
	return &watches
}

func (c *client) watch() {
	c.mu.Lock()
	h := c.hub
	c.startWatch()
	c.mu.Unlock()
	if h != nil {
		h.watch()
	}
}

// startWatch sees to it that the hub knows whether to tell who comes and goes. The caller holds c.mu.
func (c *client) startWatch() {
	if c.asking || c.closing || c.conn == nil || !c.conn.native || c.conn.watched == *c.watches() {
		return
	}
	c.asking = true
	c.wg.Go(func() {
		var asked bool
		conn, err := c.ask(c.life, protocol.NameNodes, func(rid json.RawMessage) any {
			watch := c.watches()
			asked = *watch
			return nodesQuestion{RID: rid, Limit: 1, Watch: watch}
		}, new(struct{}))
		if conn != nil && err != nil {
			c.node.opts.Logger.Warn("mesh: the hub does not tell who comes and goes", "error", err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.asking = false
		if conn != nil {
			conn.watched = asked
			c.startWatch()
		}
	})
}
